"""The engines that a card's program is written for in SQL, and what differs between them.

A step divides whole numbers that are not negative by one that is positive, so that truncating division is the
program's own; `/` is not, where an engine makes a fraction of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from estimator.errors import DialectUnknown
from estimator.sentences import nearest

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$-]*")


class Dialect(NamedTuple):
    """How an engine writes what differs.

    `failure` is an integer that cannot be computed and says the text. `fence`, at the end of a part of a statement,
    keeps it apart from what reads it; "" for an engine that computes a column once, however often it is read.
    """

    integer: str
    division: str
    failure: str
    mark: str
    escapes: bool
    is_tested: bool
    fence: str = ""

    def name(self, name: str) -> str:
        """A column or table by its exact name."""
        return f"{self.mark}{name.replace(self.mark, self.mark * 2)}{self.mark}"

    def text(self, value: str) -> str:
        """A text as a literal."""
        if self.escapes:
            return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
        return "'" + value.replace("'", "''") + "'"

    def rows(self, alias: str, names: Sequence[str], rows: Sequence[Sequence[int]]) -> str:
        """A table of constants in a FROM clause."""
        if self.is_tested:
            listed = ",\n    ".join(f"({', '.join(map(str, row))})" for row in rows)
            return f"(VALUES\n    {listed}\n  ) AS {alias} ({', '.join(names)})"
        fields = ", ".join(f"{name} {self.integer}" for name in names)
        listed = ",\n    ".join(f"({', '.join(map(str, row))})" for row in rows)
        return f"UNNEST(ARRAY<STRUCT<{fields}>>[\n    {listed}\n  ]) AS {alias}"


DIALECTS: Mapping[str, Dialect] = {
    "duckdb": Dialect("BIGINT", "{} // {}", "error({})", '"', False, True),
    "postgresql": Dialect("BIGINT", "{} / {}", "CAST({} AS BIGINT)", '"', False, True, "OFFSET 0"),
    "spark": Dialect("BIGINT", "{} div {}", "raise_error({})", "`", True, True),
    "bigquery": Dialect("INT64", "DIV({}, {})", "ERROR({})", "`", True, False),
}
"""By name. What is not `is_tested` was never executed by its engine."""


def find_dialect(name: str, *, untested: bool = False) -> Dialect:
    """The dialect of an engine. Raises `DialectUnknown`, for one that was never executed unless that is asked for."""
    dialect = DIALECTS.get(name)
    if dialect is None:
        raise DialectUnknown(name, f"No SQL is written for {name!r}. {nearest(name, DIALECTS)}")
    if not dialect.is_tested and not untested:
        message = f"The SQL for {name!r} was never executed. Ask for it as untested, and compare what it answers."
        raise DialectUnknown(name, message)
    return dialect


def is_name(text: str) -> bool:
    """True for a table's or schema's name that can be quoted in every dialect."""
    return _NAME.fullmatch(text) is not None
