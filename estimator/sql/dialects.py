"""The SQL dialects that a card's program can be written in, and what differs between them.

A step divides a non-negative integer by a positive one, so truncating division gives the program's result; `/` does
not, in an engine where it gives a fraction.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from estimator.errors import DialectUnknown
from estimator.sentences import nearest

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$-]*")


class Dialect(NamedTuple):
    """What one engine writes in its own way.

    `failure` is an integer expression that fails with a text. `fence`, at the end of a subquery, keeps the engine
    from merging it into its readers; "" for an engine that computes a column once however often it is read.
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
"""By name. A dialect that is not `is_tested` was never executed by its engine."""


def find_dialect(name: str, *, untested: bool = False) -> Dialect:
    """The dialect of an engine. Raises `DialectUnknown`, also for an untested one unless `untested`."""
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
