"""SQLite's statements, sent by the driver itself. There are no round trips to save.

Many keys are one JSON text, and the rows of a table go through `executemany`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from json import dumps
from typing import Any

from sqlalchemy import Connection

from ledger.storage.driver import driver_cursor
from ledger.storage.engines import BEGINS_IMMEDIATE
from ledger.storage.shapes import Write
from ledger.storage.stores.base import Request, Store, write_of_row
from ledger.storage.stores.selects import Key, Select


class SqliteStore(Store):
    """The statements of SQLite, for its driver and for aiosqlite."""

    __slots__ = ()
    sql_of_hex = "lower(hex({}))"

    @staticmethod
    def sql_of_json(column: str, path: Sequence[str]) -> str:
        """SQL of the text at a path in a column of JSON."""
        return f"json_extract({column}, '$.{'.'.join(path)}')"

    def select_many(self, select: Select, keys: Sequence[Key], extras: Sequence[Any]) -> Request:
        """One statement, whose keys are one JSON text."""
        return Request(_many(select), (*extras, dumps(keys)))

    def lock_database(self, connection: Connection) -> None:
        """Take the lock of the file, where the host's own engine begins transactions late."""
        if BEGINS_IMMEDIATE not in connection.info:
            # A write, even of no row, takes it.
            self.run(connection, [Request("UPDATE ledger_account SET sequence = sequence WHERE account_id = ''")])

    def writes(self, writes: Sequence[Write]) -> list[Request]:
        """A statement for each write."""
        return [
            Request(write_of_row(write.shape, write.is_update, "?"), write.rows, is_each=True, has_rows=False)
            for write in writes
        ]

    def run(self, connection: Connection, requests: Sequence[Request]) -> list[list[tuple[Any, ...]]]:
        """The rows of each request."""
        found: list[list[tuple[Any, ...]]] = []
        with driver_cursor(connection) as cursor:
            for sql, values, is_each, _, has_rows in requests:
                if not is_each:
                    cursor.execute(sql, _named(values))
                    found.append(cursor.fetchall())
                elif has_rows:
                    rows: list[tuple[Any, ...]] = []
                    for each in values:
                        cursor.execute(sql, _named(each))
                        rows += cursor.fetchall()
                    found.append(rows)
                else:
                    cursor.executemany(sql, values)
                    found.append([])
        return found

    def has_ended(self, connection: Connection) -> bool:
        """Whether the connection is in no transaction, though the library's engine began one."""
        driver: Any = connection.connection.driver_connection
        return BEGINS_IMMEDIATE in connection.info and not driver.in_transaction

    def stream(
        self, connection: Connection, sql: str, values: Sequence[Any], size: int
    ) -> Iterator[Sequence[tuple[Any, ...]]]:
        """The rows of a SELECT, `size` at a time."""
        with driver_cursor(connection) as cursor:
            cursor.execute(sql, _named(values))
            while part := cursor.fetchmany(size):
                yield part


def _named(values: Iterable[Any]) -> dict[str, Any]:
    """Values as SQLite takes those of `$1`, `$2`: by name."""
    return {str(number): value for number, value in enumerate(values, 1)}


@lru_cache(maxsize=64)
def _many(select: Select) -> str:
    values = ", ".join(f"json_extract(value, '$[{index}]') AS {name}" for index, name in enumerate(select.key))
    keys = f"(SELECT {values} FROM json_each(${select.extras + 1})) AS k"
    # SQLite keeps the order of a CROSS JOIN: it reads the keys first, then makes one look-up by index for each.
    match = " AND ".join(f"t.{name} = k.{name}" for name in select.key)
    return select.sql_where(f"{keys} CROSS JOIN {select.table} t", match)
