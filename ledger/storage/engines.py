"""Engines that are safe for the ledger: what a host's engine needs, on SQLite above all."""

from __future__ import annotations

from typing import Any

import sqlalchemy
from sqlalchemy import Engine, event
from sqlalchemy.engine import URL, make_url

from ledger.schema.databases import check_dialect, check_url
from ledger.storage.driver import driver_cursor

BEGINS_IMMEDIATE = "ledger_begins_immediate"
"""Marks, in a connection's `info`, that its transactions begin by taking SQLite's write lock."""


_BUSY_SECONDS = 30


_CACHE_KIB = 32 * 1024


def create_engine(url: str | URL, **options: Any) -> Engine:
    """An engine that is safe for the ledger: `sqlalchemy.create_engine`, then `prepare_engine`.

    Name the driver: `postgresql+psycopg://...`; SQLite is `sqlite:///file.sqlite`.
    """
    url = make_url(url)
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    check_url(url)
    return prepare_engine(sqlalchemy.create_engine(url, **options))


def prepare_engine(engine: Engine) -> Engine:
    """Make a host's own engine safe for the ledger (for an async engine, pass its `sync_engine`).

    On SQLite: write-ahead log, every commit on disk before it is acknowledged, foreign keys, patience with other
    writers, room for the pages at work, and transactions that begin by taking the write lock. PostgreSQL needs nothing.
    On both, most of the ledger's statements go through the driver itself: `echo`, cursor and `handle_error` events of
    SQLAlchemy do not show them, nor do errors say their text; the logs of the database do.
    """
    check_dialect(engine.dialect)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_immediate)
    return engine


def _configure_sqlite(connection: Any, record: Any) -> None:
    record.info[BEGINS_IMMEDIATE] = True
    # The driver must not begin transactions of its own: it would begin them too late.
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
