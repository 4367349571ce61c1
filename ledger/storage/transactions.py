"""Transactions for callers who have none: committed, or tried again where the database certainly rolled back."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from ledger.errors import CommitUnknown

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

Answer = TypeVar("Answer")

_PAUSE_SECONDS = 0.01
_PAUSE_DOUBLINGS = 7
_RETRIED_SQLSTATES = frozenset({"40001", "40P01", "55P03"})
_COMPLETION_UNKNOWN = "40003"
_LOST_SQLSTATES = frozenset({"57P01", "57P02", "57P03"})
_ROLLED_BACK_SQLITE = ("SQLITE_CONSTRAINT", "SQLITE_FULL")
_RETRIED_SQLITE = ("SQLITE_BUSY", "SQLITE_LOCKED")


def run_transaction(
    engine: Engine, work: Callable[[Session], Answer], *, attempts: int = 5, keyed: bool = False
) -> Answer:
    """Run `work(session)` in a transaction of its own and commit it.

    `work` is tried again where the database certainly rolled it back: after a deadlock, a serialization failure, a busy
    SQLite file, and a connection or server lost before the commit was sent. There are up to `attempts` attempts with
    growing, jittered pauses: 0.3 seconds in all by default, about one second each from the seventh on. So `work` should
    do nothing but use its session.

    When the connection is lost at the commit, it is not known whether the commit happened. With `keyed`, which says
    that every command in `work` carries a key, the work is repeated, and what was committed is answered as a replay.
    Without it, and where repeating fails too, this raises `CommitUnknown`. Any other error is raised as it is.
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
    """`run_transaction` on an async engine: the same `work` and the same retries, without blocking other tasks.

    When the task is cancelled during the commit, it is not known whether the commit happened: repeat with the same
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
    """Decides after each failed attempt of a transaction whether there is another, and when."""

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
            # Later attempts were certainly rolled back, but the one that lost its connection may have committed.
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
    """Seconds to wait after `made` attempts: growing up to 128 times `seconds`, at random so that callers spread."""
    longest: float = seconds * 2 ** min(made, _PAUSE_DOUBLINGS)
    return random.uniform(0.5, 1) * longest  # noqa: S311  # spreads callers, guards nothing


def is_retryable(error: DBAPIError) -> bool:
    """True when the database rolled the transaction back, for certain, because of its neighbours."""
    original = error.orig
    if getattr(original, "sqlstate", None) in _RETRIED_SQLSTATES:
        return True
    return str(getattr(original, "sqlite_errorname", "")).startswith(_RETRIED_SQLITE)


def was_rolled_back(error: DBAPIError) -> bool:
    """True when the database answered a COMMIT with a refusal, so that its fate is known."""
    if is_lost(error):
        return False
    if is_retryable(error):
        return True
    sqlstate = getattr(error.orig, "sqlstate", None)
    if sqlstate is not None:
        return bool(sqlstate != _COMPLETION_UNKNOWN)
    return str(getattr(error.orig, "sqlite_errorname", "")).startswith(_ROLLED_BACK_SQLITE)


def is_lost(error: DBAPIError) -> bool:
    """True when the connection, or the server behind it, is gone: what was not committed before is rolled back."""
    if error.connection_invalidated:
        return True
    sqlstate = getattr(error.orig, "sqlstate", "")
    if sqlstate is None:
        # The driver's own: it could not connect, or read what it was waiting for.
        return isinstance(error, OperationalError | InterfaceError)
    return str(sqlstate)[:2] == "08" or sqlstate in _LOST_SQLSTATES
