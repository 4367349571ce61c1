"""Transactions for callers who have none: committed, or tried again where the database certainly rolled back."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from ledger.errors import CommandInvalid, CommitUnknown, EngineUnusable, PreparedStatementsLost, TransactionEnded
from ledger.model.checks import check_id
from ledger.schema.databases import Database, check_blocking, check_engine, database_of
from ledger.schema.roles import ACCOUNT_SETTING
from ledger.storage.driver import tell_connect_failures
from ledger.storage.failures import is_lost, is_prepared_statement_lost, is_retryable, is_standby, was_rolled_back
from ledger.storage.own_sessions import Ending, OwnSession, begun_by, ready_to_commit
from ledger.storage.stores.opening import Opening

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

Answer = TypeVar("Answer")

_PAUSE_SECONDS = 0.01
_PAUSE_DOUBLINGS = 7


def run_transaction(
    engine: Engine,
    work: Callable[[Session], Answer],
    *,
    attempts: int = 5,
    keyed: bool = False,
    account_id: str | None = None,
) -> Answer:
    """Run `work(session)` in a transaction of its own and commit it.

    `work` is tried again where the database certainly rolled it back: after a deadlock, a serialization failure, a busy
    SQLite file, a connection or server lost before the commit was sent, and a PostgreSQL server that only reads. There
    are up to `attempts` attempts with growing, jittered pauses: 0.3 seconds in all by default, about one second each
    from the seventh on; 60 attempts outlast a failover of 30 seconds. So `work` should do nothing but use its session.

    When the connection is lost at the commit, it is not known whether the commit happened. The same is true where
    someone cancels the commit's wait for a synchronous standby. With `keyed`, which says that every command in `work`
    carries a key, the work is repeated, and what was committed is answered as a replay. Without it, and where repeating
    fails too, this raises `CommitUnknown`. Any other error is raised as it is.

    `account_id` is the account whose rows the transaction sees under PostgreSQL's row-level security, as `set_account`
    says it. Raises `EngineUnusable`, `DatabaseUnsupported`, `PreparedStatementsLost` behind a pooler that needs a
    setting, and `CommandInvalid` for an `account_id` where no rows are hidden.
    """
    return transact(engine, work, opening_of(engine, account_id), attempts=attempts, keyed=keyed)


def opening_of(engine: object, account_id: str | None) -> Opening:
    """What begins a transaction that sees the rows of one account, or, without one, what its role sees."""
    if account_id is None:
        return Opening()
    check_id(account_id, "account_id")
    check_hides_rows(database_of(check_engine(getattr(engine, "sync_engine", engine)).dialect))
    return Opening(((ACCOUNT_SETTING, account_id),))


def check_hides_rows(database: Database) -> None:
    """Raise `CommandInvalid` where an account cannot be set."""
    if not database.can.hides_rows:
        message = (
            f"cannot be set on {database.begin}, which has no row-level security; leave it out, or use PostgreSQL."
        )
        raise CommandInvalid("account_id", message)


def transact(
    engine: Engine, work: Callable[[Session], Answer], opening: Opening, *, attempts: int, keyed: bool
) -> Answer:
    """`run_transaction` with what begins each attempt."""
    tell_connect_failures(check_blocking(engine))

    def attempt(ending: Ending) -> Answer:
        with OwnSession(engine, opening=opening, ending=ending) as session, session.begin():
            answer = _done(session, work, ending)
            ending.is_committing = True
        return answer

    return repeated(attempt, attempts, keyed)


def repeated(attempt: Callable[[Ending], Answer], attempts: int, keyed: bool) -> Answer:
    """The answer of the first attempt whose transaction is committed. Raises what `run_transaction` does."""
    retries = Retries(attempts, keyed)
    while True:
        ending = Ending()
        try:
            answer = attempt(ending)
            _check_replicated(ending.warnings)
            return answer
        except (SQLAlchemyError, PreparedStatementsLost) as error:
            pause = retries.pause_after(error, ending.is_committing)
            if pause is None:
                raise
        time.sleep(pause)


async def run_transaction_async(
    engine: AsyncEngine,
    work: Callable[[Session], Answer],
    *,
    attempts: int = 5,
    keyed: bool = False,
    account_id: str | None = None,
) -> Answer:
    """`run_transaction` on an async engine: the same `work` and the same retries, without blocking other tasks.

    When the task is cancelled during the commit, it is not known whether the commit happened: repeat with the same
    keys. Raises what `run_transaction` raises.
    """
    return await transact_async(engine, work, opening_of(engine, account_id), attempts=attempts, keyed=keyed)


async def transact_async(
    engine: AsyncEngine, work: Callable[[Session], Answer], opening: Opening, *, attempts: int, keyed: bool
) -> Answer:
    """`run_transaction_async` with what begins each attempt."""
    # Needs greenlet, which an installation without the extra `async` does not have.
    from sqlalchemy.ext.asyncio import AsyncSession

    tell_connect_failures(check_engine(sync_engine_of(engine)))

    async def attempt(ending: Ending) -> Answer:
        options: dict[str, Any] = {"sync_session_class": OwnSession, "opening": opening, "ending": ending}
        async with AsyncSession(engine, **options) as session, session.begin():
            answer = await session.run_sync(_done, work, ending)
            ending.is_committing = True
        return answer

    return await repeated_async(attempt, attempts, keyed)


async def repeated_async(attempt: Callable[[Ending], Awaitable[Answer]], attempts: int, keyed: bool) -> Answer:
    """`repeated` for attempts on an async engine."""
    retries = Retries(attempts, keyed)
    while True:
        ending = Ending()
        try:
            answer = await attempt(ending)
            _check_replicated(ending.warnings)
            return answer
        except (SQLAlchemyError, PreparedStatementsLost) as error:
            pause = retries.pause_after(error, ending.is_committing)
            if pause is None:
                raise
        await asyncio.sleep(pause)


def sync_engine_of(engine: object) -> Engine:
    """The engine behind an `AsyncEngine`. Raises `EngineUnusable` for anything else."""
    found = getattr(engine, "sync_engine", None)
    if not isinstance(found, Engine):
        raise EngineUnusable(
            f"is of type {type(engine).__name__}, and an AsyncEngine is expected. Use `run_transaction`."
        )
    return found


def _done(session: Session, work: Callable[[Session], Answer], ending: Ending) -> Answer:
    """The answer of the work, all of it sent. Raises `TransactionEnded`."""
    transaction = session.get_transaction()
    try:
        answer = work(session)
        if session.get_transaction() is not transaction:
            raise TransactionEnded
        session.flush()
    except DBAPIError as error:
        let_go_of_standby(begun_by(session), error)
        raise
    begun = begun_by(session)
    if begun is not None:
        ready_to_commit(begun, ending)
    return answer


def let_go_of_standby(connection: Connection | None, error: DBAPIError) -> None:
    """Throw a connection away on which a standby refused to write: the next attempt has to look for the primary."""
    if connection is not None and is_standby(error):
        with suppress(SQLAlchemyError):
            connection.invalidate(error)


class _NotReplicated(Exception):
    """What the server warned of, as the error that it stands for: whether the statement is complete is unknown."""

    sqlstate = "40003"


def _check_replicated(warnings: list[str]) -> None:
    """Raise what a commit of unknown fate is raised as, where the server warned of it."""
    if warnings:
        raise OperationalError("COMMIT", None, _NotReplicated(*warnings))


class Retries:
    """Decides after each failed attempt of a transaction whether there is another, and when."""

    def __init__(self, attempts: int, keyed: bool) -> None:
        if attempts < 1:
            raise ValueError(f"attempts is {attempts} and must be at least 1, which is to try once")
        self._attempts = attempts
        self._keyed = keyed
        self._made = 0
        self._lost_commit: SQLAlchemyError | None = None

    def pause_after(self, error: SQLAlchemyError | PreparedStatementsLost, is_committing: bool) -> float | None:
        """Seconds to wait before the next attempt, None to let the error through.

        Raises `CommitUnknown` and `PreparedStatementsLost`.
        """
        self._made += 1
        if self._may_repeat(error, is_committing) and self._made < self._attempts:
            return pause_before(self._made)
        if self._lost_commit is not None:
            # Later attempts were certainly rolled back, but the one that lost its connection may have committed.
            if isinstance(getattr(self._lost_commit, "orig", None), _NotReplicated):
                raise CommitUnknown("The commit's wait for the standby was cancelled") from self._lost_commit
            raise CommitUnknown from self._lost_commit
        if is_prepared_statement_lost(error):
            raise PreparedStatementsLost from error
        return None

    def _may_repeat(self, error: Exception, is_committing: bool) -> bool:
        if not isinstance(error, DBAPIError):
            return False
        if is_committing and not was_rolled_back(error):
            self._lost_commit = self._lost_commit or error
            return self._keyed
        if is_prepared_statement_lost(error):
            return False
        return is_retryable(error) or is_lost(error) or is_standby(error)


def pause_before(made: int, seconds: float = _PAUSE_SECONDS) -> float:
    """Seconds to wait after `made` attempts: growing up to 128 times `seconds`, at random so that callers spread."""
    longest: float = seconds * 2 ** min(made, _PAUSE_DOUBLINGS)
    return random.uniform(0.5, 1) * longest  # noqa: S311  # spreads callers, guards nothing
