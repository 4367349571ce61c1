"""Writes of a batch: rows inserted, and rows updated by key.

PostgreSQL gets all of them as one statement (`postgresql.writes`). SQLite has no round trips to save, and gets the rows
of each table through the driver's `executemany`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection

from ledger.storage.driver import driver_cursor
from ledger.storage.postgresql.writes import write_statement
from ledger.storage.shapes import RowShape, Write


def execute_writes(connection: Connection, writes: Sequence[Write]) -> None:
    """Carry out writes, at most one insert and one update of each table. Writes without rows are skipped."""
    writes = [write for write in writes if write.rows]
    if not writes:
        return
    if connection.dialect.name == "postgresql":
        statement, parameters = write_statement(writes)
        statement.carry_out(connection, parameters)
    else:
        _write_sqlite(connection, writes)


def _write_sqlite(connection: Connection, writes: Sequence[Write]) -> None:
    with driver_cursor(connection) as cursor:
        for write in writes:
            rows: Iterable[tuple[Any, ...]] = write.rows
            if write.is_update:
                size = len(write.shape.key)
                rows = [(*row[size:], *row[:size]) for row in rows]
            cursor.executemany(_sqlite_write(write.shape, write.is_update), list(rows))


@lru_cache(maxsize=128)
def _sqlite_write(shape: RowShape, is_update: bool) -> str:
    if is_update:
        changes = ", ".join(f"{name} = ?" for name in shape.columns if name not in shape.key)
        return f"UPDATE {shape.table} SET {changes} WHERE {' AND '.join(f'{name} = ?' for name in shape.key)}"
    marks = ", ".join("?" * len(shape.columns))
    return f"INSERT INTO {shape.table} ({', '.join(shape.columns)}) VALUES ({marks})"
