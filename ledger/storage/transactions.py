"""Engines and transactions: what SQLite needs to be safe, and a transaction for callers who own none."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy
from sqlalchemy import Engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from ledger.errors import CommitUnknown
from ledger.storage.driver import driver_cursor
from ledger.storage.failures import is_lost, is_retryable, was_rolled_back
from ledger.storage.snapshots import BEGINS_IMMEDIATE

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

Answer = TypeVar("Answer")

_BUSY_SECONDS = 30
_CACHE_KIB = 32 * 1024
_PAUSE_SECONDS = 0.01
_PAUSE_DOUBLINGS = 7


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
    writers, room for the pages at work, and transactions that begin by taking the write lock. PostgreSQL needs nothing.
    On both, most of the ledger's statements go through the driver itself: `echo`, cursor and `handle_error` events of
    SQLAlchemy do not show them, nor do errors say their text; the logs of the database do.
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
        cursor.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    finally:
        cursor.close()


def _begin_immediate(connection: sqlalchemy.Connection) -> None:
    with driver_cursor(connection) as cursor:
        cursor.execute("BEGIN IMMEDIATE")


def run_transaction(
    engine: Engine, work: Callable[[Session], Answer], *, attempts: int = 5, keyed: bool = False
) -> Answer:
    """Run `work(session)` in a transaction of its own and commit it.

    What the database certainly rolled back is tried again, on a new connection where the old one is lost, up to
    `attempts` times with growing, jittered pauses (0.3 seconds of them in all by default, about one second each from
    the seventh on): a deadlock, a serialization failure, a busy SQLite file, a connection or a server lost before the
    commit was sent. So `work` should do nothing but use its session.

    A connection lost at the commit leaves open whether it happened. Say `keyed` when every command in `work`
    carries a key: it is then repeated, and what had been committed is answered as a replay. Otherwise, and where
    repeating it does not succeed either, raises `CommitUnknown`. Any other error is raised as it is.
    """
    retries = Retries(attempts, keyed)
    while True:
        is_committing = False
        try:
            with Session(engine, expire_on_commit=False) as session, session.begin():
                answer = work(session)
                session.flush()
                is_committing = True
            return answer
        except SQLAlchemyError as error:
            pause = retries.pause_after(error, is_committing)
            if pause is None:
                raise
        time.sleep(pause)


async def run_transaction_async(
    engine: AsyncEngine, work: Callable[[Session], Answer], *, attempts: int = 5, keyed: bool = False
) -> Answer:
    """`run_transaction` on an async engine: the same `work`, the same retries, and no other task is kept waiting.

    Whoever cancels it while it commits does not know whether that happened either, and should repeat with the same
    keys. Raises what `run_transaction` raises.
    """
    # Needs greenlet, which an installation without the extra `async` does not have.
    from sqlalchemy.ext.asyncio import AsyncSession

    retries = Retries(attempts, keyed)
    while True:
        is_committing = False
        try:
            async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
                answer = await session.run_sync(work)
                await session.flush()
                is_committing = True
            return answer
        except SQLAlchemyError as error:
            pause = retries.pause_after(error, is_committing)
            if pause is None:
                raise
        await asyncio.sleep(pause)


class Retries:
    """What becomes of a transaction whose attempts fail one after another."""

    def __init__(self, attempts: int, keyed: bool) -> None:
        if attempts < 1:
            raise ValueError(f"attempts is {attempts} and must be at least 1, which is to try once")
        self._attempts = attempts
        self._keyed = keyed
        self._made = 0
        self._lost_commit: SQLAlchemyError | None = None

    def pause_after(self, error: SQLAlchemyError, is_committing: bool) -> float | None:
        """Seconds to wait before the next attempt, None to let the error through. Raises `CommitUnknown`."""
        self._made += 1
        if self._may_repeat(error, is_committing) and self._made < self._attempts:
            return pause_before(self._made)
        if self._lost_commit is not None:
            # However certainly the later attempts were undone: the one whose answer is missing may have happened.
            raise CommitUnknown from self._lost_commit
        return None

    def _may_repeat(self, error: SQLAlchemyError, is_committing: bool) -> bool:
        if not isinstance(error, DBAPIError):
            return False
        if is_committing and not was_rolled_back(error):
            self._lost_commit = self._lost_commit or error
            return self._keyed
        return is_retryable(error) or is_lost(error)


def pause_before(made: int, seconds: float = _PAUSE_SECONDS) -> float:
    """Seconds to wait once so many attempts were made: growing up to 128 times `seconds`, and never in step."""
    longest: float = seconds * 2 ** min(made, _PAUSE_DOUBLINGS)
    return random.uniform(0.5, 1) * longest  # noqa: S311  # spreads callers, guards nothing
