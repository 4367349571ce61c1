"""How often a verb waits for PostgreSQL, counted at a proxy: what a network costs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

import ledger
from estimator import RunOutcome
from tests.ledger.test_runs import BODY, launch
from tests.ledger.verbs import launch_command
from tests.round_trips import RoundTrips

ESTIMATE = BODY | {"estimate": True}
HUNDRED = [f"account-{number:02}" for number in range(100)]


@pytest.fixture
def trips(postgresql_url: str) -> Iterator[RoundTrips]:
    """A proxy to a database with accounts that have credits."""
    engine = ledger.create_engine(postgresql_url)
    with Session(engine) as session, session.begin():
        for name in ("acme", *HUNDRED):
            ledger.open_account(session, name)
            ledger.grant_credits(session, name, 1_000_000)
    engine.dispose()
    with RoundTrips.counted(postgresql_url) as proxy:
        yield proxy


@dataclass
class Counted:
    """An engine behind the proxy, on one connection whose statements are known to both sides."""

    engine: Engine
    trips: RoundTrips

    def of(self, work: Callable[[Session], Any]) -> int:
        """The round trips of a transaction of the library's own."""
        before = self.trips.count
        ledger.run_transaction(self.engine, work)
        return self.trips.count - before


@pytest.fixture
def counted(trips: RoundTrips) -> Iterator[Counted]:
    engine = ledger.create_engine(trips.url, pool_size=1, max_overflow=0)
    ledger.run_transaction(engine, lambda session: ledger.get_balance(session, "acme"))
    yield Counted(engine, trips)
    engine.dispose()


def reserve(session: Session) -> str:
    """Hold credits of the account, and answer the hold's id."""
    return ledger.reserve(session, "acme", Decimal("1.5")).reservation_id


def test_a_reservation_a_capture_and_a_release_wait_three_times(counted: Counted) -> None:
    """For what is read, for what is written, and for the commit; BEGIN goes with the first."""
    held = [ledger.run_transaction(counted.engine, reserve) for _ in range(2)]
    assert counted.of(lambda session: ledger.reserve(session, "acme", 1, key="once")) == 3
    assert counted.of(lambda session: ledger.capture(session, held[0], 1, key="taken")) == 3
    assert counted.of(lambda session: ledger.release(session, held[1], key="freed")) == 3


def test_a_launch_waits_three_times_and_its_settlement_four(counted: Counted) -> None:
    """The entry that launched a run can be read when its hold was, together with whatever else that calls for."""
    launched: list[ledger.Launch] = []
    assert counted.of(lambda session: launched.append(launch(session, at=None))) == 3
    outcome = RunOutcome(status="succeeded", rows_processed=50)
    run_id = launched[0].run_id or ""
    assert (
        counted.of(lambda session: ledger.settle_run(session, account_id="acme", run_id=run_id, outcome=outcome)) == 4
    )


def test_a_balance_and_an_estimate_wait_twice(counted: Counted) -> None:
    assert counted.of(lambda session: ledger.get_balance(session, "acme")) == 2
    assert counted.of(lambda session: launch(session, ESTIMATE, at=None)) == 2


def test_a_batch_of_a_thousand_over_a_hundred_accounts_waits_three_times(counted: Counted) -> None:
    commands = [ledger.Reserve(HUNDRED[number % 100], 1, f"k{number}") for number in range(1000)]
    results: list[Any] = []
    assert counted.of(lambda session: results.extend(ledger.execute(session, commands))) == 3
    assert [type(result) for result in results] == [ledger.Reservation] * 1000


def test_a_batch_of_a_batcher_waits_twice_because_its_commit_goes_with_its_writes(counted: Counted) -> None:
    with ledger.Batcher(counted.engine) as batcher:
        before = counted.trips.count
        assert batcher.execute(ledger.Reserve("acme", 1, "once")).replayed is False  # type: ignore[union-attr]
        assert counted.trips.count - before == 2


def test_commands_in_a_transaction_of_their_own_wait_twice(counted: Counted) -> None:
    before = counted.trips.count
    (hold,) = ledger.run_commands(counted.engine, [ledger.Reserve("acme", 5, "once")])
    assert counted.trips.count - before == 2
    (again,) = ledger.run_commands(counted.engine, [ledger.Reserve("acme", 5, "once")])
    assert isinstance(hold, ledger.Reservation)
    assert isinstance(again, ledger.Reservation)
    assert (hold.replayed, again.replayed, again.reservation_id) == (False, True, hold.reservation_id)


def test_a_launch_alone_waits_twice_and_its_settlement_three_times(counted: Counted) -> None:
    before = counted.trips.count
    (launched,) = ledger.run_commands(counted.engine, [launch_command("acme")])
    assert counted.trips.count - before == 2
    assert isinstance(launched, ledger.Launch)
    outcome = RunOutcome(status="succeeded", rows_processed=50, rows_delivered=50)
    (settled,) = ledger.run_commands(counted.engine, [ledger.SettleRun("acme", str(launched.run_id), outcome)])
    assert counted.trips.count - before == 5
    assert isinstance(settled, ledger.RunSettlement)


def test_in_a_transaction_of_the_hosts_a_verb_waits_once_to_read_and_once_to_write(counted: Counted) -> None:
    with Session(counted.engine) as session, session.begin():
        session.execute(text("SELECT 1"))
        before = counted.trips.count
        reserve(session)
        assert counted.trips.count - before == 2


def test_an_async_engine_waits_as_often(trips: RoundTrips) -> None:
    async def measured() -> list[int]:
        engine = create_async_engine(trips.url, pool_size=1, max_overflow=0)
        found: list[int] = []
        for work in (lambda session: ledger.get_balance(session, "acme"), reserve, reserve):
            before = trips.count
            await ledger.run_transaction_async(engine, work)
            found.append(trips.count - before)
        before = trips.count
        await ledger.run_commands_async(engine, [ledger.Reserve("acme", 5, "once")])
        found.append(trips.count - before)
        await engine.dispose()
        return found

    # The first connects, and looks at the schema.
    assert asyncio.run(measured())[1:] == [3, 3, 2]
