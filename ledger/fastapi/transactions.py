"""Transactions of the routes: begun after the request is read, committed before the answer is written.

    given a database of          work runs                        and is tried again
    an `Engine`                  in a thread                      when the database certainly undid it
    an `AsyncEngine`             on the event loop's greenlets    the same
    a dependency that gives a    in a thread, or for an           by the client, which is answered 503
    `Session`, `AsyncSession`    `AsyncSession` on the loop

A session of the host is committed here, before the answer. A dependency that commits after its `yield` then has nothing
left to commit, so no answer is sent before a commit that fails.
"""

# Without postponed annotations: the framework could not resolve the names in the annotations of nested functions.

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Depends
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from ledger.errors import CommitUnknown, TransactionEnded
from ledger.outbox import Handler, RunStart
from ledger.schema.roles import ACCOUNT_SETTING
from ledger.storage.failures import was_rolled_back
from ledger.storage.transactions import run_transaction, run_transaction_async

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

Answer = TypeVar("Answer")
Work = Callable[[Session], Answer]

# All settings in one statement, which is one round trip.
_SETTINGS = text(
    "SELECT set_config('statement_timeout', coalesce(:limit, current_setting('statement_timeout')), true),"
    " set_config('idle_in_transaction_session_timeout',"
    " coalesce(:limit, current_setting('idle_in_transaction_session_timeout')), true),"
    f" set_config('{ACCOUNT_SETTING}', :account_id, true)"
)


class Transactions(Protocol):
    """Where a route's work is done."""

    async def run(self, work: Work[Answer], account_id: str | None, *, keyed: bool) -> Answer:
        """Do the work in one transaction and commit it. `keyed`: doing it twice has no second effect.

        `account_id` is the account whose rows the transaction may see under row-level security; None: all.
        """
        ...  # pragma: no cover


def bounded(work: Work[Answer], seconds: int | None, account_id: str | None) -> Work[Answer]:
    """The work within limits that PostgreSQL enforces: of time, and to the rows of one account.

    PostgreSQL ends a statement that runs or waits for more than `seconds`, and a transaction that is idle for as long.
    Under row-level security it shows the rows of `account_id`. On SQLite the timeout of the engine decides how long a
    statement waits for the file. Raises `TransactionEnded` where the work ends the transaction.
    """
    limit = None if seconds is None else str(int(seconds * 1000))

    def within(session: Session) -> Answer:
        connection = session.connection()
        if connection.dialect.name == "postgresql" and (limit is not None or account_id is not None):
            connection.execute(_SETTINGS, {"limit": limit, "account_id": account_id or ""}).close()
        transaction = session.get_transaction()
        answer = work(session)
        if session.get_transaction() is not transaction:
            raise TransactionEnded
        return answer

    return within


class EngineTransactions:
    """Transactions of their own on the host's engine, in threads that the routes share."""

    def __init__(self, engine: Engine, threads: int, seconds: int | None) -> None:
        self._engine = engine
        self._limiter = CapacityLimiter(threads)
        self._seconds = seconds

    async def run(self, work: Work[Answer], account_id: str | None, *, keyed: bool) -> Answer:
        """In a thread, so that the event loop goes on reading other requests."""

        def transact() -> Answer:
            return run_transaction(
                self._engine, bounded(work, self._seconds, account_id), attempts=_attempts(self._engine), keyed=keyed
            )

        return await to_thread.run_sync(transact, limiter=self._limiter)


class AsyncEngineTransactions:
    """Transactions of their own on the host's async engine."""

    def __init__(self, engine: "AsyncEngine", seconds: int | None) -> None:
        self._engine = engine
        self._seconds = seconds

    async def run(self, work: Work[Answer], account_id: str | None, *, keyed: bool) -> Answer:
        """On the event loop."""
        attempts = _attempts(self._engine.sync_engine)
        return await run_transaction_async(
            self._engine, bounded(work, self._seconds, account_id), attempts=attempts, keyed=keyed
        )


def _attempts(engine: Engine) -> int:
    """How often a transaction is tried: once on SQLite, which has waited for its file already."""
    return 1 if engine.dialect.name == "sqlite" else 5


class SessionTransactions:
    """The host's own session of this request, from its own dependency; in no transaction yet."""

    def __init__(self, session: "Session | AsyncSession", limiter: CapacityLimiter, seconds: int) -> None:
        self._session = session
        self._limiter = limiter
        self._seconds = seconds

    async def run(self, work: Work[Answer], account_id: str | None, *, keyed: bool) -> Answer:
        """In the host's session, which is committed, or rolled back where the work raises."""
        within = bounded(work, self._seconds, account_id)
        if not isinstance(self._session, Session):
            return await self._session.run_sync(_committed, within)
        return await to_thread.run_sync(_committed, self._session, within, limiter=self._limiter)


def _committed(session: Session, work: Work[Answer]) -> Answer:
    try:
        answer = work(session)
        session.flush()
    except BaseException:
        session.rollback()
        raise
    try:
        session.commit()
    except SQLAlchemyError as error:
        session.rollback()
        if isinstance(error, DBAPIError) and not was_rolled_back(error):
            raise CommitUnknown from error
        raise
    return answer


def opener(database: Any, threads: int, seconds: int) -> Callable[..., Any]:
    """A dependency that gives the transactions of a request. Raises `ValueError` for what is no database."""
    own = _of_engine(database, threads, seconds)
    if own is not None:

        async def opened() -> Transactions:
            return own

        return opened
    if not callable(database):
        raise ValueError(
            f"database is {type(database).__name__}; give an Engine, an AsyncEngine, or a dependency that yields a"
            " Session or an AsyncSession."
        )
    limiter = CapacityLimiter(threads)

    async def with_session(session: Annotated[Any, Depends(database)]) -> Transactions:
        return SessionTransactions(session, limiter, seconds)

    return with_session


def delivering(database: Any, handler: Handler) -> tuple[Transactions, Handler]:
    """Transactions without a limit of time for a handler, and the handler as it is called within them.

    Raises `ValueError` without an engine.
    """
    own = _of_engine(database, 1, None)
    if own is None:
        raise ValueError(
            "start needs an Engine or an AsyncEngine to deliver with. Give one as database, or leave start out and"
            " call ledger.deliver_outbox in a worker of yours."
        )
    return own, _in_a_thread(handler) if isinstance(own, AsyncEngineTransactions) else handler


def _in_a_thread(handler: Handler) -> Handler:
    """The handler in a thread, for work on the event loop's greenlets: the loop goes on meanwhile."""
    # Imported here: it needs greenlet, which is installed with async engines only.
    from sqlalchemy.util import await_only

    def handed(run: RunStart) -> object:
        return await_only(to_thread.run_sync(handler, run))

    return handed


def _of_engine(database: Any, threads: int, seconds: int | None) -> Transactions | None:
    if isinstance(database, Engine):
        return EngineTransactions(database, threads, seconds)
    # An AsyncEngine, recognised by what it wraps: importing its class needs greenlet.
    if isinstance(getattr(database, "sync_engine", None), Engine):
        return AsyncEngineTransactions(database, seconds)
    return None
