"""The scratch database that a reconciliation works in: DuckDB, which joins on disk what does not fit into memory.

Both sides stand in it as rows of one shape, amounts as whole numbers (BIGINT micro-credits or rows; HUGEINT of 10^-18
of a currency's unit), moments as microseconds since 1970 UTC. No float and no rounding is anywhere near them.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from estimator.errors import ExtraMissing

MEMORY = "512MB"
"""What DuckDB may keep in memory before it uses the disk."""

ROWS_AT_ONCE = 10_000
"""Rows that go in or out at a time."""

_QUIET = "SET enable_progress_bar = false"
"""Of each connection: a bar of its own would print among what a command prints."""

FIELDS = ("ref", "account", "amount", "currency", "moment", "status", "id", "rate")
"""The columns of a record, in either side; `rate` is what a credit of a grant cost, as exact text."""


class Scratch:
    """A DuckDB connection and a folder, both gone when it is closed, or forgotten."""

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
        """Forget everything."""
        self.connection.close()
        self._gone()

    def execute(self, statement: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Carry out one statement; answers its rows, all of them."""
        rows: list[tuple[Any, ...]] = self.connection.execute(statement, values or {}).fetchall()
        return rows

    def one(self, statement: str, values: dict[str, Any] | None = None) -> tuple[Any, ...]:
        """The only row of a query."""
        (row,) = self.execute(statement, values)
        return row

    def stream(self, statement: str, values: dict[str, Any] | None = None) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, some at a time, whatever else is asked meanwhile."""
        cursor = self.connection.cursor()
        try:
            cursor.execute(_QUIET)
            found = cursor.execute(statement, values or {})
            while rows := found.fetchmany(ROWS_AT_ONCE):
                yield from rows
        finally:
            cursor.close()

    def fill(self, table: str, columns: dict[str, str], rows: Iterable[Sequence[Any]]) -> int:
        """Append rows to a table, some at a time; answers how many. HUGEINT goes in as text, exactly."""
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
        """An empty table."""
        self.execute(f"CREATE TABLE {table} ({', '.join(f'{name} {kind}' for name, kind in columns.items())})")

    @property
    def record_columns(self) -> dict[str, str]:
        """The columns of a side, and their types."""
        kinds = {"amount": self.amount_type, "moment": "BIGINT"}
        return {name: kinds.get(name, "VARCHAR") for name in FIELDS}


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
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def named(column: str) -> str:
    """A column's name as SQL writes it."""
    return '"' + column.replace('"', '""') + '"'
