"""Engines that are safe for the ledger: the settings that a host's engine needs, most of them on SQLite."""

from __future__ import annotations

from typing import Any

import sqlalchemy
from sqlalchemy import Engine, event
from sqlalchemy.engine import URL, make_url

from ledger.errors import EngineUnusable
from ledger.schema.databases import check_engine, check_url
from ledger.storage.driver import driver_cursor, tell_connect_failures

BEGINS_IMMEDIATE = "ledger_begins_immediate"
"""A key of a connection's `info`: its transactions begin by taking SQLite's write lock."""


_BUSY_SECONDS = 30


_CACHE_KIB = 32 * 1024


def create_engine(url: str | URL, **options: Any) -> Engine:
    """An engine that is safe for the ledger: `sqlalchemy.create_engine`, then `prepare_engine`.

    Name the driver: `postgresql+psycopg://...`; SQLite is `sqlite:///file.sqlite`. Behind PgBouncer in transaction mode
    pass `connect_args={"prepare_threshold": None}`. Raises `DatabaseUnsupported`, and `EngineUnusable` for a driver of
    async engines only.
    """
    url = make_url(url)
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    if (database := check_url(url)).is_async_only:
        raise EngineUnusable(
            f"would be synchronous, and {database.begin} is for async engines only. Make one by"
            " `engine = sqlalchemy.ext.asyncio.create_async_engine(url)`, and"
            " `ledger.prepare_engine(engine.sync_engine)`."
        )
    return prepare_engine(sqlalchemy.create_engine(url, **options))


def prepare_engine(engine: Engine) -> Engine:
    """Make a host's own engine safe for the ledger (for an async engine, pass its `sync_engine`).

    On SQLite it sets: a write-ahead log, commits that are on disk before they are acknowledged, foreign keys, 30
    seconds of waiting for other writers, a page cache of 32 MiB, and transactions that begin by taking the write lock.
    PostgreSQL needs no setting; where asyncpg cannot connect, its engine raises SQLAlchemy's `OperationalError` from
    then on, not the operating system's error. On both, most of the ledger's statements go through the driver itself:
    `echo` and the cursor and `handle_error` events of SQLAlchemy do not show them, and errors do not quote them. The
    database's log shows them. Raises `DatabaseUnsupported`.
    """
    check_engine(engine)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_immediate)
    tell_connect_failures(engine)
    return engine


def _configure_sqlite(connection: Any, record: Any) -> None:
    record.info[BEGINS_IMMEDIATE] = True
    # The driver must not begin transactions itself, because it begins them after the first read.
    connection.isolation_level = None
    cursor = connection.cursor()
    try:
        cursor.execute(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    finally:
        cursor.close()


def _begin_immediate(connection: sqlalchemy.Connection) -> None:
    with driver_cursor(connection) as cursor:
        cursor.execute("BEGIN IMMEDIATE")
