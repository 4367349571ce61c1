"""The store of each database and driver: the only place where a statement's text or way depends on either.

A statement has its parameters as `$1`, `$2`, its values are of native types, and those of many rows are `arrays`. May
import `schema`, `storage.driver` and `storage.shapes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection

from ledger.schema.databases import database_of
from ledger.storage.shapes import Write
from ledger.storage.stores.base import Request, Store
from ledger.storage.stores.selects import Key, Select

_STORE = "ledger_store"
"""A key of a connection's `info`: the store of that connection of the driver."""


def store_of(connection: Connection) -> Store:
    """The store of a connection, chosen when that connection of the driver is first used."""
    info = connection.info
    store: Store | None = info.get(_STORE)
    if store is None:
        store = info[_STORE] = _made(connection)
    return store


def _made(connection: Connection) -> Store:
    database, is_async = database_of(connection.dialect), connection.dialect.is_async
    # Imported where one is needed: each imports its driver.
    if not database.can.locks_rows:
        from ledger.storage.stores.sqlite import SqliteStore

        return SqliteStore(database.can)
    if not database.can.pipelines:
        from ledger.storage.stores.asyncpg import AsyncpgStore

        return AsyncpgStore(database.can)
    from ledger.storage.stores.psycopg import AsyncPsycopgStore, PsycopgStore

    return AsyncPsycopgStore(database.can) if is_async else PsycopgStore(database.can)


def fetch(connection: Connection, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """The rows of one statement; `sql` has its parameters as `$1`, `$2`."""
    return store_of(connection).run(connection, [Request(sql, values)])[0]


def fetch_one(connection: Connection, sql: str, *values: Any) -> tuple[Any, ...] | None:
    """The first row of a statement; None where it has none."""
    rows = fetch(connection, sql, *values)
    return rows[0] if rows else None


def fetch_keys(connection: Connection, select: Select, keys: Iterable[Key], *extras: Any) -> list[tuple[Any, ...]]:
    """The rows that a `Select` finds of some keys. Without keys no statement is sent."""
    store = store_of(connection)
    request = store.select(select, list(keys), extras)
    return [] if request is None else store.run(connection, [request])[0]


def stream(
    connection: Connection, sql: str, values: Sequence[Any] = (), *, size: int = 5_000
) -> Iterator[Sequence[tuple[Any, ...]]]:
    """The rows of a SELECT, `size` at a time: one statement, never all rows in memory."""
    return store_of(connection).stream(connection, sql, values, size)


def execute_writes(connection: Connection, writes: Sequence[Write]) -> None:
    """Carry out writes in their order; those without rows are left out."""
    store = store_of(connection)
    requests = store.writes([write for write in writes if write.rows])
    if requests:
        store.run(connection, requests)
