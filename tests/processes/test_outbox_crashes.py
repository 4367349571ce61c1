"""`kill -9` around the outbox: between commit and delivery, between a handler and its commit, and anywhere."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import ledger
from tests.processes import tasks
from tests.processes.together import context, run_together

_PATIENCE_SECONDS = 60


@pytest.fixture
def funded(engine: Engine) -> Engine:
    """A database with an account that has credits for very many runs."""
    with Session(engine) as session, session.begin():
        ledger.open_account(session, "acme", at=tasks.START)
        ledger.grant_credits(session, "acme", 1_000_000, at=tasks.START)
    return engine


@contextmanager
def running(task: Callable[..., None], *arguments: Any) -> Iterator[tuple[Any, Any]]:
    """A process that does a task, and the pipe on which it tells what it did; killed at the end at the latest."""
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=task, args=(*arguments, sender), daemon=True)
    process.start()
    sender.close()
    try:
        yield process, receiver
    finally:
        process.kill()
        process.join()
        process.close()
        receiver.close()


def told(receiver: Any) -> list[Any]:
    """All that a process told until it was gone."""
    found = []
    with suppress(EOFError):
        while receiver.poll(_PATIENCE_SECONDS):
            found.append(receiver.recv())
    return found


def wait_until_alone(engine: Engine) -> None:
    """Return once the server has noticed who was killed: until then it keeps what they had locked."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            if connection.execute(_OTHERS).first() is None:
                return
        assert time.monotonic() < deadline, "a killed process is still connected"


_OTHERS = text(
    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND backend_type = 'client backend'"
)


def deliver_the_rest(engine: Engine) -> list[str]:
    """What a deliverer that nobody kills is given."""
    wait_until_alone(engine)
    return tasks.deliver_all(engine, 0)


def test_a_run_that_was_launched_by_a_process_killed_at_once_is_started(funded: Engine, database_url: str) -> None:
    with running(tasks.launch_and_die, database_url) as (process, receiver):
        assert told(receiver) == ["committed"]
        process.join()
        assert process.exitcode == -9
    assert deliver_the_rest(funded) == ["acme/o2"]
    assert deliver_the_rest(funded) == []


def test_a_start_that_a_killed_process_handed_over_is_handed_over_again_under_its_id(
    funded: Engine, database_url: str
) -> None:
    tasks.launch_number(funded, 0)
    for _ in range(2):
        wait_until_alone(funded)
        with running(tasks.deliver_and_die, database_url) as (process, receiver):
            assert told(receiver) == ["acme/o2", "not committed"]
            process.join()
            assert process.exitcode == -9
    assert deliver_the_rest(funded) == ["acme/o2"]
    assert deliver_the_rest(funded) == []
    with Session(funded) as session:
        (standing,) = ledger.list_outbox(session, state="delivered")
        assert (standing.attempts, standing.error) == (1, None)


def test_launchers_and_deliverers_killed_at_any_moment_lose_no_start_and_make_none_up(
    funded: Engine, database_url: str
) -> None:
    chance = random.Random(11)
    launched, handed = 0, Counter[str]()
    for _ in range(4):
        with ExitStack() as stack:
            launcher, launches = stack.enter_context(running(tasks.launch_numbered, database_url, launched))
            deliverers = [stack.enter_context(running(tasks.deliver_until_killed, database_url)) for _ in range(2)]
            for _ in range(chance.randint(3, 12)):
                assert launches.poll(_PATIENCE_SECONDS)
                launched = launches.recv() + 1
            # Wait until something is handed over, so that there is something to be killed in the middle of.
            assert deliverers[0][1].poll(_PATIENCE_SECONDS)
            for process in (launcher, *(process for process, _ in deliverers)):
                launches.poll(chance.random() * 0.004)
                process.kill()
            launched = max([launched, *(number + 1 for number in told(launches))])
            for _, receiver in deliverers:
                handed.update(told(receiver))
    handed.update(deliver_the_rest(funded))
    with Session(funded) as session:
        ledger.require_clean(session)
        assert ledger.list_outbox(session) == []
        rows = session.execute(text("SELECT dataset_id, number FROM ledger_reservation")).all()
    # The last launch that was committed may have had no time to be told.
    assert {f"d{number}" for number in range(launched)} <= {row[0] for row in rows}
    assert len(rows) <= launched + 1
    assert handed.keys() == {f"acme/o{row[1]}" for row in rows}


def test_deliverers_that_nobody_kills_hand_every_start_over_once_between_them(
    funded: Engine, database_url: str
) -> None:
    for number in range(60):
        tasks.launch_number(funded, number)
    given = run_together(database_url, tasks.deliver_all, 6)
    assert Counter(start for part in given for start in part) == Counter(f"acme/o{number + 2}" for number in range(60))
