"""Another process holds the write lock of a SQLite file: it is waited for, or the transaction tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

import ledger
from ledger.storage import transactions
from tests.ledger.conftest import START
from tests.processes import tasks
from tests.processes.together import context

_PATIENCE_SECONDS = 60


@pytest.fixture
def let_go(sqlite_url: str) -> Iterator[Callable[[], None]]:
    """A file with account `acme` of 10 credits whose lock another process holds until this is called."""
    engine = ledger.create_engine(sqlite_url)
    with Session(engine) as session, session.begin():
        ledger.open_account(session, "acme", at=START)
        ledger.grant_credits(session, "acme", 10, at=START)
    engine.dispose()
    ours, theirs = context.Pipe()
    process = context.Process(target=tasks.hold_lock, args=(sqlite_url.removeprefix("sqlite:///"), theirs), daemon=True)
    process.start()
    theirs.close()
    assert ours.poll(_PATIENCE_SECONDS)
    assert ours.recv() == "held"

    def release() -> None:
        ours.send("let go")
        assert ours.poll(_PATIENCE_SECONDS)
        assert ours.recv() == "let go"

    yield release
    process.kill()
    process.join()
    process.close()
    ours.close()


def reserve(session: Session) -> ledger.Reservation:
    """A hold without a key: were it made twice, the book would show it."""
    return ledger.reserve(session, "acme", 4, at=START)


def held(sqlite_url: str) -> list[str]:
    """The holds in the book, which proves itself."""
    engine = ledger.create_engine(sqlite_url)
    with Session(engine) as session:
        ledger.require_clean(session)
        found = [hold.reservation_id for hold in ledger.list_reservations(session, "acme")]
    engine.dispose()
    return found


def impatient(sqlite_url: str, prepare: Callable[[Engine], Engine]) -> Engine:
    """A host's engine that does not wait for the lock at all, whatever else was prepared."""
    engine = prepare(sa.create_engine(sqlite_url, connect_args={"timeout": 0}))
    sa.event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout = 0"))
    return engine


def as_it_is(engine: Engine) -> Engine:
    """An engine that the ledger did not prepare."""
    return engine


@pytest.mark.parametrize("prepare", [ledger.prepare_engine, as_it_is])
def test_a_file_that_is_locked_at_first_is_tried_again(
    sqlite_url: str,
    let_go: Callable[[], None],
    prepare: Callable[[Engine], Engine],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            let_go()

    monkeypatch.setattr(transactions.time, "sleep", pause)
    engine = impatient(sqlite_url, prepare)
    hold = ledger.run_transaction(engine, reserve)
    engine.dispose()
    assert len(pauses) == 2
    assert held(sqlite_url) == [hold.reservation_id]


def test_a_file_that_stays_locked_is_given_up_and_nothing_was_written(
    sqlite_url: str, let_go: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(transactions.time, "sleep", pauses.append)
    engine = impatient(sqlite_url, ledger.prepare_engine)
    with pytest.raises(OperationalError, match="locked"):
        ledger.run_transaction(engine, reserve, attempts=3)
    engine.dispose()
    assert len(pauses) == 2
    let_go()
    assert held(sqlite_url) == []


def test_a_task_tries_a_locked_file_again_while_other_tasks_run(sqlite_url: str, let_go: Callable[[], None]) -> None:
    async def scenario() -> ledger.Reservation:
        engine = create_async_engine(sqlite_url.replace("sqlite:///", "sqlite+aiosqlite:///"))
        impatience = "PRAGMA busy_timeout = 0"
        ledger.prepare_engine(engine.sync_engine)
        sa.event.listen(engine.sync_engine, "connect", lambda connection, _: connection.execute(impatience))
        has_failed = asyncio.Event()

        def work(session: Session) -> ledger.Reservation:
            try:
                return reserve(session)
            except DBAPIError:
                has_failed.set()
                raise

        waiting = asyncio.create_task(ledger.run_transaction_async(engine, work, attempts=20))
        await asyncio.wait_for(has_failed.wait(), _PATIENCE_SECONDS)
        assert not waiting.done()
        let_go()
        hold = await waiting
        await engine.dispose()
        return hold

    hold = asyncio.run(scenario())
    assert held(sqlite_url) == [hold.reservation_id]
