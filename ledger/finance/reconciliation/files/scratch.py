"""The scratch database of a reconciliation: DuckDB, which joins on disk what does not fit into memory.

Both sides are tables of one shape: amounts as whole numbers (BIGINT micro-credits or rows; HUGEINT of 10^-18 of a
currency's unit), moments as microseconds since 1970 UTC. No float touches an amount, and nothing is rounded.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from estimator.errors import ExtraMissing
from ledger.finance.calendar import AccountingPeriod
from ledger.model.moments import to_moment

MEMORY = "512MB"
"""What DuckDB may keep in memory before it uses the disk."""

ROWS_AT_ONCE = 10_000
"""Rows that are written or read at a time."""

_QUIET = "SET enable_progress_bar = false"
"""For every connection: DuckDB's own progress bar would mix with what a command prints."""

FIELDS = ("ref", "account", "amount", "currency", "moment", "status", "id", "rate")
"""The columns of a record, in either side; `rate` is what a credit of a grant cost, as exact text."""


class Scratch:
    """A DuckDB connection and a folder; both are removed when it is closed or collected."""

    def __init__(self, scale: int) -> None:
        try:
            import duckdb
            import pyarrow  # noqa: F401  # how rows go in
        except ImportError:
            raise ExtraMissing("Reconciliation", "reconcile") from None
        self.folder = Path(tempfile.mkdtemp(prefix="credits-reconcile-"))
        self._gone = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self.amount_type = "BIGINT" if scale <= 6 else "HUGEINT"
        self.connection: Any = duckdb.connect(":memory:")
        for name, value in {
            "memory_limit": MEMORY,
            "temp_directory": str(self.folder / "spilled"),
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
            "TimeZone": "UTC",
        }.items():
            self.connection.execute(f"SET {name} = $value", {"value": value})
        self.connection.execute(_QUIET)
        self.failures: tuple[type[Exception], ...] = (duckdb.Error,)

    def close(self) -> None:
        """Close the connection and remove the folder."""
        self.connection.close()
        self._gone()

    def execute(self, statement: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Run one statement; answers all of its rows."""
        rows: list[tuple[Any, ...]] = self.connection.execute(statement, values or {}).fetchall()
        return rows

    def one(self, statement: str, values: dict[str, Any] | None = None) -> tuple[Any, ...]:
        """The only row of a query."""
        (row,) = self.execute(statement, values)
        return row

    def stream(self, statement: str, values: dict[str, Any] | None = None) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, some at a time; other statements may run meanwhile."""
        cursor = self.connection.cursor()
        try:
            cursor.execute(_QUIET)
            found = cursor.execute(statement, values or {})
            while rows := found.fetchmany(ROWS_AT_ONCE):
                yield from rows
        finally:
            cursor.close()

    def fill(self, table: str, columns: dict[str, str], rows: Iterable[Sequence[Any]]) -> int:
        """Append rows to a table, some at a time; answers how many. HUGEINT is passed as text, which is exact."""
        import pyarrow as pa

        kinds = {"BIGINT": pa.int64(), "INTEGER": pa.int32()}
        schema = pa.schema([(name, kinds.get(kind, pa.string())) for name, kind in columns.items()])
        texts = [index for index, kind in enumerate(columns.values()) if kind == "HUGEINT"]
        chosen = ", ".join(f"CAST({name} AS {kind})" for name, kind in columns.items())
        count = 0
        for part in _parts(rows, 5 * ROWS_AT_ONCE):
            taken = [list(values) for values in zip(*part, strict=True)]
            for index in texts:
                taken[index] = [None if value is None else str(value) for value in taken[index]]
            batch = pa.Table.from_arrays(
                [pa.array(values, kind) for values, kind in zip(taken, schema.types, strict=True)], schema=schema
            )
            self.connection.register("batch", batch)
            self.execute(f"INSERT INTO {table} SELECT {chosen} FROM batch")
            self.connection.unregister("batch")
            count += len(part)
        return count

    def create(self, table: str, columns: dict[str, str]) -> None:
        """Make an empty table."""
        self.execute(f"CREATE TABLE {table} ({', '.join(f'{name} {kind}' for name, kind in columns.items())})")

    @property
    def record_columns(self) -> dict[str, str]:
        """The columns of a side, and their types."""
        kinds = {"amount": self.amount_type, "moment": "BIGINT"}
        return {name: kinds.get(name, "VARCHAR") for name in FIELDS}


@dataclass(frozen=True, slots=True)
class Period:
    """Moments in [since, until), or all (None). A record without a moment is in every period."""

    bounds: tuple[int, int] | None

    @classmethod
    def of(cls, period: AccountingPeriod | None) -> Period:
        """The period of a calendar; all moments for None."""
        if period is None:
            return cls(None)
        return cls((to_moment(period.since, "period"), to_moment(period.until, "period")))

    def has(self, moment: int | None) -> bool:
        """True for a moment in it."""
        return self.bounds is None or moment is None or self.bounds[0] <= moment < self.bounds[1]

    def sql(self, column: str) -> str:
        """SQL that is true for a moment in it."""
        if self.bounds is None:
            return "true"
        return f"coalesce({column} >= {self.bounds[0]} AND {column} < {self.bounds[1]}, true)"


def _parts(rows: Iterable[Sequence[Any]], size: int) -> Iterator[list[Sequence[Any]]]:
    part: list[Sequence[Any]] = []
    for row in rows:
        part.append(row)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part


def quoted(text: str) -> str:
    """A text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def named(column: str) -> str:
    """A column's name, quoted for SQL."""
    return '"' + column.replace('"', '""') + '"'
