"""The connection to PostgreSQL is cut, really, before and after COMMIT: nothing is lost and nothing doubled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

import ledger
from tests.drivers import create_engine, over
from tests.ledger.conftest import START
from tests.postgres import PostgresServer
from tests.proxy import Cut, Proxy


@pytest.fixture
def funded_url(postgresql_url: str) -> str:
    """A new database with account `acme` of 10 credits."""
    engine = create_engine(postgresql_url)
    with Session(engine) as session, session.begin():
        ledger.open_account(session, "acme", at=START)
        ledger.grant_credits(session, "acme", 10, at=START)
    engine.dispose()
    return postgresql_url


@pytest.fixture
def proxy(funded_url: str) -> Iterator[Proxy]:
    """A way to that database that can be cut."""
    with Proxy.start(funded_url) as proxy:
        yield proxy


@pytest.fixture
def engine(proxy: Proxy) -> Iterator[Engine]:
    """An engine by way of the proxy."""
    engine = create_engine(proxy.url)
    yield engine
    engine.dispose()


def held(engine: Engine) -> list[ledger.Reservation]:
    """What is in the book, which proves itself."""
    with Session(engine) as session:
        ledger.require_clean(session)
        return ledger.list_reservations(session, "acme")


def reserve(session: Session) -> ledger.Reservation:
    """A hold without a key."""
    return ledger.reserve(session, "acme", 4, at=START)


def reserve_keyed(session: Session) -> ledger.Reservation:
    """A hold with a key."""
    return ledger.reserve(session, "acme", 4, key="once", at=START)


def test_a_connection_lost_in_the_work_is_replaced_and_the_work_done_once(proxy: Proxy, engine: Engine) -> None:
    proxy.cut(Cut.IN_WORK)
    hold = ledger.run_transaction(engine, reserve)
    assert proxy.cuts_made == 1
    assert [found.reservation_id for found in held(engine)] == [hold.reservation_id]


@pytest.mark.parametrize(("where", "count"), [(Cut.BEFORE_COMMIT, 0), (Cut.AFTER_COMMIT, 1)])
def test_without_a_key_a_lost_commit_is_told_and_not_repeated(
    proxy: Proxy, engine: Engine, where: Cut, count: int
) -> None:
    proxy.cut(where)
    with pytest.raises(ledger.CommitUnknown, match="same keys"):
        ledger.run_transaction(engine, reserve)
    assert proxy.cuts_made == 1
    assert len(held(engine)) == count


@pytest.mark.parametrize("where", [Cut.BEFORE_COMMIT, Cut.AFTER_COMMIT])
def test_with_keys_a_lost_commit_is_healed_by_asking_again(proxy: Proxy, engine: Engine, where: Cut) -> None:
    proxy.cut(where)
    hold = ledger.run_transaction(engine, reserve_keyed, keyed=True)
    assert hold.replayed == (where is Cut.AFTER_COMMIT)
    assert [found.reservation_id for found in held(engine)] == [hold.reservation_id]
    again = ledger.run_transaction(engine, reserve_keyed)
    assert (again.replayed, again.reservation_id) == (True, hold.reservation_id)


def test_work_that_was_half_done_when_its_connection_was_lost_is_done_once(proxy: Proxy, engine: Engine) -> None:
    calls: list[int] = []

    def reserve_twice(session: Session) -> list[str]:
        calls.append(1)
        first = reserve(session)
        if len(calls) == 1:
            proxy.cut(Cut.IN_WORK)
        return [first.reservation_id, reserve(session).reservation_id]

    holds = ledger.run_transaction(engine, reserve_twice)
    assert (len(calls), proxy.cuts_made) == (2, 1)
    assert [found.reservation_id for found in held(engine)] == holds


def test_a_commit_of_unknown_fate_stays_so_when_no_later_attempt_gets_through(
    proxy: Proxy, engine: Engine, funded_url: str
) -> None:
    calls: list[int] = []

    def work(session: Session) -> ledger.Reservation:
        calls.append(1)
        if len(calls) == 2:
            proxy.close()
        return reserve_keyed(session)

    proxy.cut(Cut.AFTER_COMMIT)
    with pytest.raises(ledger.CommitUnknown) as error:
        ledger.run_transaction(engine, work, keyed=True, attempts=4)
    assert len(calls) == 4
    assert isinstance(error.value.__cause__, DBAPIError)
    direct = create_engine(funded_url)
    assert len(held(direct)) == 1
    assert ledger.run_transaction(direct, reserve_keyed).replayed
    direct.dispose()


def test_a_commit_of_unknown_fate_stays_so_when_no_connection_is_free_to_repeat_it(proxy: Proxy) -> None:
    engine = create_engine(proxy.url, pool_size=1, max_overflow=0, pool_timeout=0)
    with ExitStack() as stack:
        stack.callback(engine.dispose)

        def work(session: Session) -> ledger.Reservation:
            if proxy.cuts_made:
                stack.enter_context(engine.connect())
            return reserve_keyed(session)

        proxy.cut(Cut.BEFORE_COMMIT)
        with pytest.raises(ledger.CommitUnknown) as error:
            ledger.run_transaction(engine, work, keyed=True)
        assert isinstance(error.value.__context__, NoConnectionFree)
        assert isinstance(error.value.__cause__, DBAPIError)
    assert held(engine) == []
    engine.dispose()


def test_a_refusal_of_the_repeated_work_says_that_the_lost_commit_did_not_happen(
    proxy: Proxy, engine: Engine, funded_url: str
) -> None:
    calls: list[int] = []

    def work(session: Session) -> ledger.Reservation:
        calls.append(1)
        if len(calls) == 2:
            direct = create_engine(funded_url)
            ledger.run_transaction(direct, lambda other: ledger.reserve(other, "acme", 9, at=START))
            direct.dispose()
        return reserve_keyed(session)

    proxy.cut(Cut.BEFORE_COMMIT)
    with pytest.raises(ledger.InsufficientCredits):
        ledger.run_transaction(engine, work, keyed=True)
    assert [int(found.amount) for found in held(engine)] == [9]


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
@pytest.mark.parametrize("where", list(Cut))
def test_tasks_lose_and_heal_as_threads_do(proxy: Proxy, engine: Engine, where: Cut, driver: str) -> None:
    async def scenario() -> ledger.Reservation:
        asynchronous = create_async_engine(over(proxy.url, f"postgresql+{driver}"))
        try:
            proxy.cut(where)
            if where is not Cut.IN_WORK:
                with pytest.raises(ledger.CommitUnknown):
                    await ledger.run_transaction_async(asynchronous, reserve_keyed)
                proxy.cut(where)
            return await ledger.run_transaction_async(asynchronous, reserve_keyed, keyed=True)
        finally:
            await asynchronous.dispose()

    hold = asyncio.run(scenario())
    assert proxy.cuts_made == (1 if where is Cut.IN_WORK else 2)
    assert hold.replayed == (where is Cut.AFTER_COMMIT)
    assert [found.reservation_id for found in held(engine)] == [hold.reservation_id]


def test_work_whose_session_the_server_ends_is_done_in_another(funded_url: str) -> None:
    engine, administrator = (create_engine(funded_url) for _ in range(2))
    ended: list[int] = []

    def work(session: Session) -> list[str]:
        first = reserve(session)
        if not ended:
            ended.append(session.execute(text("SELECT pg_backend_pid()")).scalar_one())
            with administrator.connect() as connection:
                connection.execute(text("SELECT pg_terminate_backend(CAST(:pid AS integer), 10000)"), {"pid": ended[0]})
        return [first.reservation_id, reserve(session).reservation_id]

    holds = ledger.run_transaction(engine, work, attempts=2)
    assert [found.reservation_id for found in held(engine)] == holds
    for used in (engine, administrator):
        used.dispose()


def test_every_commit_lost_is_given_up_in_the_end(proxy: Proxy, engine: Engine) -> None:
    for _ in range(3):
        proxy.cut(Cut.BEFORE_COMMIT)
    with pytest.raises(ledger.CommitUnknown):
        ledger.run_transaction(engine, reserve_keyed, keyed=True, attempts=3)
    assert proxy.cuts_made == 3
    assert held(engine) == []


@pytest.mark.parametrize("end", [PostgresServer.kill, PostgresServer.stop])
def test_a_server_that_was_restarted_is_found_again_though_every_pooled_connection_is_dead(
    end: Callable[[PostgresServer], None],
) -> None:
    with PostgresServer.start() as server:
        engine = create_engine(server.databases.create(), pool_size=5)
        ledger.upgrade(engine)
        with Session(engine) as session, session.begin():
            ledger.open_account(session, "acme", at=START)
            ledger.grant_credits(session, "acme", 10, at=START)
        pooled = [engine.connect() for _ in range(5)]
        for connection in pooled:
            connection.execute(text("SELECT 1"))
            connection.close()
        end(server)
        server.restart()
        # One attempt finds out; the next must not meet another dead connection of the pool.
        assert ledger.run_transaction(engine, reserve_keyed, attempts=2).amount == 4
        assert len(held(engine)) == 1
        engine.dispose()


@pytest.mark.parametrize("level", ["SERIALIZABLE", "REPEATABLE READ"])
def test_a_transaction_that_cannot_be_serialized_is_tried_again(postgresql_url: str, level: str) -> None:
    engine = create_engine(postgresql_url, isolation_level=level)
    ledger.run_transaction(engine, lambda session: ledger.open_account(session, "acme", at=START))
    ledger.run_transaction(engine, lambda session: ledger.grant_credits(session, "acme", 10, at=START))
    calls: list[int] = []

    def work(session: Session) -> ledger.Reservation:
        session.execute(text("SELECT 1 FROM ledger_account"))  # the transaction sees the book as it is now
        calls.append(1)
        if len(calls) == 1:
            other = create_engine(postgresql_url)
            ledger.run_transaction(other, reserve)
            other.dispose()
        return reserve(session)

    assert ledger.run_transaction(engine, work).amount == 4
    assert len(calls) == 2
    assert len(held(engine)) == 2
    engine.dispose()
