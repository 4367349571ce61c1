"""What PostgreSQL undoes, or does not answer, is tried again by tasks over each driver, and told as by threads."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import Session

import ledger
from ledger.storage.failures import Failure, kind_of
from tests.postgres import PostgresServer

pytestmark = pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
PATIENCE_SECONDS = 30


def url_of(url: str, driver: str) -> URL:
    """A database's URL with another driver."""
    return make_url(url).set(drivername=f"postgresql+{driver}")


def fund(session: Session) -> None:
    """Accounts `a` and `b` with 10 credits each."""
    for name in ("a", "b"):
        ledger.open_account(session, name)
        ledger.grant_credits(session, name, 10)


def held(session: Session) -> list[int]:
    """The whole credits on hold of each account."""
    return [int(ledger.get_balance(session, name).held) for name in ("a", "b")]


def test_a_deadlock_between_two_tasks_is_resolved_by_trying_again(postgresql_url: str, driver: str) -> None:
    """PostgreSQL undoes one of the two, which begins anew."""
    tries: list[str] = []

    def first(session: Session, name: str) -> None:
        tries.append(name)
        ledger.reserve(session, name, 1)

    async def scenario() -> list[int]:
        engine = create_async_engine(url_of(postgresql_url, driver))
        await ledger.run_transaction_async(engine, fund)
        both_hold_one = asyncio.Barrier(2)

        def work(names: str, session: Session) -> None:
            first(session, names[0])
            if len(tries) <= 2:
                wait_for(both_hold_one.wait())
            ledger.reserve(session, names[1], 1)

        await asyncio.gather(*(ledger.run_transaction_async(engine, partial(work, names)) for names in ("ab", "ba")))
        found = await ledger.run_transaction_async(engine, held)
        await engine.dispose()
        return found

    assert asyncio.run(scenario()) == [2, 2]
    assert len(tries) == 3


def wait_for(awaited: object) -> None:
    """Wait within the work of a task, which lets the other one go on."""
    from sqlalchemy.util import await_only

    await_only(asyncio.wait_for(awaited, PATIENCE_SECONDS))  # type: ignore[arg-type]


def test_a_task_that_cannot_be_serialized_is_tried_again(postgresql_url: str, driver: str) -> None:
    """Another transaction writes to the account after this one has seen it."""
    calls: list[int] = []

    async def scenario() -> list[int]:
        engine, other = (create_async_engine(url_of(postgresql_url, driver), **options) for options in _LEVELS)
        await ledger.run_transaction_async(engine, fund)

        def work(session: Session) -> None:
            session.execute(text("SELECT 1 FROM ledger_account"))
            calls.append(1)
            if len(calls) == 1:
                wait_for(ledger.run_transaction_async(other, reserve))
            reserve(session)

        await ledger.run_transaction_async(engine, work)
        found = await ledger.run_transaction_async(engine, held)
        for used in (engine, other):
            await used.dispose()
        return found

    assert asyncio.run(scenario()) == [2, 0]
    assert len(calls) == 2


_LEVELS: tuple[dict[str, str], ...] = ({"isolation_level": "REPEATABLE READ"}, {})


def reserve(session: Session) -> ledger.Reservation:
    """A hold of one credit."""
    return ledger.reserve(session, "a", 1)


@pytest.mark.parametrize("is_prepared", [True, False], ids=["prepared", "as it was made"])
def test_a_server_that_is_down_is_told_as_such_and_found_again(driver: str, is_prepared: bool) -> None:
    """Every attempt is made; a driver that raises the operating system's error raises SQLAlchemy's in its place."""
    tries: list[int] = []

    async def scenario(server: PostgresServer) -> Failure:
        engine = create_async_engine(url_of(server.databases.create(), driver))
        if is_prepared:
            ledger.prepare_engine(engine.sync_engine)
        async with engine.begin() as connection:
            await connection.run_sync(ledger.upgrade)
        await ledger.run_transaction_async(engine, fund)
        server.kill()

        def work(session: Session) -> None:
            tries.append(1)
            session.execute(text("SELECT 1"))

        with pytest.raises(DBAPIError) as raised:
            await ledger.run_transaction_async(engine, work, attempts=3)
        server.restart()
        await found_again(engine)
        await engine.dispose()
        return kind_of(raised.value)

    with PostgresServer.start() as server:
        assert asyncio.run(scenario(server)) is Failure.LOST
    assert len(tries) == 3


async def found_again(engine: AsyncEngine) -> None:
    """One attempt finds out that the pool's connection is dead, the next makes another."""
    assert (await ledger.run_transaction_async(engine, reserve, attempts=2)).amount == 1
