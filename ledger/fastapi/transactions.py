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
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Depends
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from ledger.errors import CommitUnknown, SessionUnusable, TransactionEnded
from ledger.outbox import Handler, RunStart
from ledger.schema.databases import database_of
from ledger.schema.roles import ACCOUNT_SETTING
from ledger.storage.failures import was_rolled_back
from ledger.storage.sessions import connection_of
from ledger.storage.stores import store_of
from ledger.storage.stores.opening import Opening
from ledger.storage.transactions import transact, transact_async

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

Answer = TypeVar("Answer")
Work = Callable[[Session], Answer]

_LIMITS_OF_TIME = ("statement_timeout", "idle_in_transaction_session_timeout")


class Transactions(Protocol):
    """Where a route's work is done."""

    async def run(self, work: Work[Answer], account_id: str | None, *, keyed: bool, reads: bool = False) -> Answer:
        """Do the work in one transaction and commit it. `keyed`: doing it twice has no second effect.

        `account_id` is the account whose rows the transaction may see under row-level security; None: all. `reads`: the
        work calls reading verbs, and nothing of the host's after the first of them; each may then be one round trip.
        """
        ...  # pragma: no cover


def settings_of(seconds: int | None, account_id: str | None) -> tuple[tuple[str, str], ...]:
    """The settings of a transaction within limits that PostgreSQL enforces: of time, and to the rows of one account.

    PostgreSQL ends a statement that runs or waits for more than `seconds`, and a transaction that is idle for as long.
    Under row-level security it shows the rows of `account_id`. On SQLite the timeout of the engine decides how long a
    statement waits for the file.
    """
    limits = () if seconds is None else tuple((name, str(int(seconds * 1000))) for name in _LIMITS_OF_TIME)
    return limits if account_id is None else (*limits, (ACCOUNT_SETTING, account_id))


class EngineTransactions:
    """Transactions of their own on the host's engine, in threads that the routes share."""

    def __init__(self, engine: Engine, threads: int, seconds: int | None) -> None:
        self._engine = engine
        self._limiter = CapacityLimiter(threads)
        self._seconds = seconds

    async def run(self, work: Work[Answer], account_id: str | None, *, keyed: bool, reads: bool = False) -> Answer:
        """In a thread, so that the event loop goes on reading other requests."""

        opening = Opening(settings_of(self._seconds, account_id), is_each_alone=reads)
        done = partial(transact, self._engine, work, opening, attempts=_attempts(self._engine), keyed=keyed)
        return await to_thread.run_sync(done, limiter=self._limiter)


class AsyncEngineTransactions:
    """Transactions of their own on the host's async engine."""

    def __init__(self, engine: "AsyncEngine", seconds: int | None) -> None:
        self._engine = engine
        self._seconds = seconds

    async def run(self, work: Work[Answer], account_id: str | None, *, keyed: bool, reads: bool = False) -> Answer:
        """On the event loop."""
        opening = Opening(settings_of(self._seconds, account_id), is_each_alone=reads)
        attempts = _attempts(self._engine.sync_engine)
        return await transact_async(self._engine, work, opening, attempts=attempts, keyed=keyed)


def _attempts(engine: Engine) -> int:
    """How often a transaction is tried: once on SQLite, which has waited for its file already."""
    return 1 if database_of(engine.dialect).can.waits_for_file else 5


class SessionTransactions:
    """The host's own session of this request, from its own dependency; in no transaction yet."""

    def __init__(self, session: "Session | AsyncSession", limiter: CapacityLimiter, seconds: int) -> None:
        if not isinstance(session, Session) and not hasattr(session, "sync_session"):
            raise SessionUnusable(
                f"that the dependency yields is of type {type(session).__name__}. Let it yield a Session or an"
                " AsyncSession; of a scoped_session, what it gives when it is called."
            )
        self._session = session
        self._limiter = limiter
        self._seconds = seconds

    async def run(self, work: Work[Answer], account_id: str | None, *, keyed: bool, reads: bool = False) -> Answer:
        """In the host's session, which is committed, or rolled back where the work raises."""
        within = partial(_committed, work=work, settings=Opening(settings_of(self._seconds, account_id)))
        if not isinstance(self._session, Session):
            return await self._session.run_sync(within)
        return await to_thread.run_sync(within, self._session, limiter=self._limiter)


def _committed(session: Session, *, work: Work[Answer], settings: Opening) -> Answer:
    try:
        connection = connection_of(session)
        store = store_of(connection)
        if store.can.hides_rows:
            store.run(connection, settings.requests())
        transaction = session.get_transaction()
        answer = work(session)
        if session.get_transaction() is not transaction:
            raise TransactionEnded
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
