"""A primary killed in mid-load and its standby promoted: what was acknowledged is there, once, under its key."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

import ledger
from tests.processes.spending import ACCOUNTS, Spenders, Told, answer_id
from tests.standby import Pair, wait_until

CLIENTS = 16
_DATABASE = "book"


pytestmark = pytest.mark.external


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A primary and its standby, with the accounts of the clients."""
    with Pair.start() as pair:
        pair.primary.databases.create(_DATABASE)
        engine = ledger.create_engine(pair.url(_DATABASE))
        ledger.upgrade(engine)
        with Session(engine) as session, session.begin():
            for number in range(ACCOUNTS):
                ledger.open_account(session, f"account-{number}")
                ledger.grant_credits(session, f"account-{number}", 10)
        engine.dispose()
        yield pair


def fail_over(pair: Pair) -> None:
    """Kill the primary, let clients meet a server that only reads, and promote the standby."""
    before = pair.turned_away(_DATABASE)
    pair.primary.kill()
    wait_until(lambda: pair.turned_away(_DATABASE) >= before + 2 * CLIENTS)
    pair.promote()


def reserve(session: Session) -> ledger.Reservation:
    """A hold with a key."""
    return ledger.reserve(session, "account-0", 4, key="once")


def repeated(session: Session, told: list[Told]) -> list[tuple[str, bool]]:
    """The ids that commands sent again are answered with, and whether as replays."""
    results = ledger.execute(session, [one.command for one in told])
    return [(answer_id(result), getattr(result, "replayed", False)) for result in results]


@pytest.mark.parametrize("stall", [None, Pair.hold_back, Pair.cut_off], ids=["in mid-load", "not applied", "not sent"])
def test_a_failover_loses_and_doubles_nothing_that_was_acknowledged(
    pair: Pair, stall: Callable[[Pair], None] | None
) -> None:
    """Of commits that wait for the standby when the primary is killed, it has none or all: the keys tell."""
    url = pair.url(_DATABASE)
    with Spenders.start(url, CLIENTS) as spenders:
        spenders.gather(6)
        if stall is not None:
            stall(pair)
            wait_until(lambda: len(pair.waiting_commits()) == ACCOUNTS)
        fail_over(pair)
        spenders.gather(6)
        told = spenders.finish()
    engine = ledger.create_engine(url)
    with Session(engine) as session:
        keys = session.execute(text("SELECT key FROM ledger_entry WHERE key IS NOT NULL")).scalars()
        assert Counter(keys) == Counter(getattr(one.command, "key", None) for one in told)
        assert list(ledger.audit(session)) == []
        assert repeated(session, told) == [(one.answer_id, True) for one in told]
    engine.dispose()
    assert stall is None or any(one.doubts for one in told)


def test_what_a_standby_did_not_have_is_filled_in_by_the_same_key(pair: Pair) -> None:
    """Where the primary does not wait for the standby, a failover loses what was acknowledged."""
    pair.wait_for_standby(is_awaited=False)
    pair.cut_off()
    engine = ledger.create_engine(pair.url(_DATABASE))
    assert not ledger.run_transaction(engine, reserve).replayed
    pair.primary.kill()
    pair.promote()
    assert [ledger.run_transaction(engine, reserve).replayed for _ in range(2)] == [False, True]
    with Session(engine) as session:
        assert list(ledger.audit(session)) == []
    engine.dispose()


def test_a_commit_whose_wait_for_the_standby_is_cancelled_is_not_acknowledged(pair: Pair) -> None:
    """PostgreSQL acknowledges it with a warning; sent again, it waits until the standby has the first one."""
    pair.cut_off()
    engine = ledger.create_engine(pair.url(_DATABASE))
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(ledger.run_transaction, engine, reserve)
        wait_until(lambda: len(pair.waiting_commits()) == 1)
        pair.cancel_waiting()
        with pytest.raises(ledger.CommitUnknown, match="wait for the standby was cancelled"):
            first.result()
        again = thread.submit(ledger.run_transaction, engine, reserve)
        wait_until(lambda: len(pair.waiting_commits()) == 1)
        pair.primary.kill()
        with pytest.raises(ledger.CommitUnknown, match="connection was lost"):
            again.result()
    pair.promote()
    assert not ledger.run_transaction(engine, reserve).replayed
    engine.dispose()


def test_keyed_work_whose_wait_is_cancelled_is_answered_when_the_standby_has_it(pair: Pair) -> None:
    pair.hold_back()
    engine = create_async_engine(pair.url(_DATABASE))

    async def scenario() -> ledger.Reservation:
        task = asyncio.create_task(ledger.run_transaction_async(engine, reserve, keyed=True))
        for then in (pair.cancel_waiting, pair.let_go_on):
            await asyncio.to_thread(wait_until, lambda: len(pair.waiting_commits()) == 1)
            await asyncio.to_thread(then)
        hold = await task
        await engine.dispose()
        return hold

    assert asyncio.run(scenario()).replayed


def test_work_refused_by_a_standby_is_done_on_another_connection_once_it_is_promoted(pair: Pair) -> None:
    """A URL that names no `target_session_attrs`: the address leads to whichever server has it."""
    standby = make_url(pair.standby.databases.url(_DATABASE))
    engine = ledger.create_engine(standby)
    processes: list[int] = []

    def work(session: Session) -> ledger.Reservation:
        if processes:
            pair.promote()
        processes.append(session.execute(text("SELECT pg_backend_pid()")).scalar_one())
        return reserve(session)

    assert ledger.run_transaction(engine, work, attempts=2).amount == 4
    assert len(set(processes)) == 2
    engine.dispose()
