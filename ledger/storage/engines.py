"""Engines that are safe for the ledger: the settings that a host's engine needs, most of them on SQLite."""

from __future__ import annotations

from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import URL, make_url

from ledger.errors import EngineUnusable, PreparedStatementsLost
from ledger.schema.databases import check_engine, check_url, database_of
from ledger.storage.driver import driver_cursor, tell_connect_failures

BEGINS_IMMEDIATE = "ledger_begins_immediate"
"""A key of a connection's `info`: its transactions begin by taking SQLite's write lock."""


_BUSY_SECONDS = 30


_CACHE_KIB = 32 * 1024

_PREPARE_THRESHOLD = 5
"""How often psycopg sends a statement before it prepares it, unless it was told another number."""


def create_engine(url: str | URL, **options: Any) -> Engine:
    """An engine that is safe for the ledger: `sqlalchemy.create_engine`, then `prepare_engine`.

    Name the driver: `postgresql+psycopg://...`; SQLite is `sqlite:///file.sqlite`. Raises `DatabaseUnsupported`, and
    `EngineUnusable` for a driver of async engines only.
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
    On PostgreSQL a new connection through a pooler such as PgBouncer is set to prepare no statements, unless the host
    has set a `prepare_threshold`; where asyncpg cannot connect, its engine raises SQLAlchemy's `OperationalError` from
    then on, not the operating system's error. On both, most of the ledger's statements go through the driver itself:
    `echo` and the cursor and `handle_error` events of SQLAlchemy do not show them, and errors do not quote them. The
    database's log shows them. Raises `DatabaseUnsupported`.
    """
    check_engine(engine)
    can = database_of(engine.dialect).can
    if not can.locks_rows:
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_immediate)
    elif can.pipelines:
        event.listen(engine, "connect", unprepare_behind_pooler)
    tell_connect_failures(engine)
    return engine


def unprepare_behind_pooler(connection: Any, _record: Any) -> None:
    """Let a new connection of psycopg prepare no statements where a pooler is between it and the server.

    The driver prepares a statement on one server connection. The pooler may give the next transaction another one,
    where the statement is missing. Where another client prepared a statement of the same name there, that one is
    executed. A pooler is recognised by the process number that it gives a client, which is not the server's.
    """
    driver = getattr(connection, "driver_connection", connection)
    if driver.prepare_threshold != _PREPARE_THRESHOLD:
        return
    autocommit = connection.autocommit
    try:
        # One round trip, and no transaction for the connection to be left in.
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("SELECT pg_backend_pid()")
        (process,) = cursor.fetchone()
        cursor.close()
        connection.autocommit = autocommit
    except BaseException:
        connection.close()
        raise
    if process != driver.info.backend_pid:
        driver.prepare_threshold = None


def check_pooler(connection: Connection) -> None:
    """Raise `PreparedStatementsLost` where psycopg prepares statements and a pooler is between it and the server."""
    driver: Any = connection.connection.driver_connection
    if driver.prepare_threshold == _PREPARE_THRESHOLD:
        process = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        if process != driver.info.backend_pid:
            raise PreparedStatementsLost


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


def _begin_immediate(connection: Connection) -> None:
    with driver_cursor(connection) as cursor:
        cursor.execute("BEGIN IMMEDIATE")
