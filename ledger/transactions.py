"""Engines and transactions: what SQLite needs to be safe, and a transaction for callers who own none."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy
from sqlalchemy import Engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from ledger.bulk import sqlite_cursor
from ledger.snapshots import BEGINS_IMMEDIATE

Answer = TypeVar("Answer")

_BUSY_SECONDS = 30
_RETRIED_SQLSTATES = frozenset({"40001", "40P01", "55P03"})
_RETRIED_SQLITE = ("SQLITE_BUSY", "SQLITE_LOCKED")


def create_engine(url: str | URL, **options: Any) -> Engine:
    """An engine that is safe for the ledger: `sqlalchemy.create_engine`, then `prepare_engine`.

    Name the driver: `postgresql+psycopg://...`; SQLite is `sqlite:///file.sqlite`.
    """
    url = make_url(url)
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    return prepare_engine(sqlalchemy.create_engine(url, **options))


def prepare_engine(engine: Engine) -> Engine:
    """Make a host's own engine safe for the ledger (for an async engine, pass its `sync_engine`).

    On SQLite: write-ahead log, every commit on disk before it is acknowledged, foreign keys, patience with other
    writers, and transactions that begin by taking the write lock. PostgreSQL needs nothing.
    """
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
    finally:
        cursor.close()


def _begin_immediate(connection: sqlalchemy.Connection) -> None:
    with sqlite_cursor(connection) as cursor:
        cursor.execute("BEGIN IMMEDIATE")


def run_transaction(engine: Engine, work: Callable[[Session], Answer], *, attempts: int = 5) -> Answer:
    """Run `work(session)` in a transaction of its own and commit it.

    A deadlock, a serialization failure or a busy SQLite file rolls all of it back and is tried again, up to
    `attempts` times with growing, jittered pauses; so `work` should do nothing but use its session. Any other
    error, and a connection lost at the commit (whose fate is unknown: repeat the command with its key), is raised.
    """
    for attempt in range(1, attempts + 1):
        try:
            with Session(engine, expire_on_commit=False) as session, session.begin():
                return work(session)
        except DBAPIError as error:
            if attempt == attempts or not is_retryable(error):
                raise
            time.sleep(random.uniform(0.5, 1) * 0.01 * 2**attempt)  # noqa: S311  # spreads callers, guards nothing
    raise ValueError("attempts must be at least 1")


def is_retryable(error: DBAPIError) -> bool:
    """True when the database rolled the transaction back, for certain, because of its neighbours."""
    original = error.orig
    if getattr(original, "sqlstate", None) in _RETRIED_SQLSTATES:
        return True
    return str(getattr(original, "sqlite_errorname", "")).startswith(_RETRIED_SQLITE)
