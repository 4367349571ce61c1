"""Many processes at once, on both databases: once means once, and nothing is overspent."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import ledger
from ledger.schema.revisions import HEAD
from tests.processes import tasks
from tests.processes.together import run_together

CALLERS = 64


@pytest.fixture
def funded_url(engine: Engine, database_url: str) -> str:
    """A database whose account `acme` has 990 credits."""
    with Session(engine) as session, session.begin():
        ledger.open_account(session, "acme")
        ledger.grant_credits(session, "acme", 990)
    return database_url


def verify(engine: Engine, account_id: str = "acme") -> ledger.Balance:
    """The account's balance, in a book that proves itself."""
    with Session(engine) as session:
        ledger.require_clean(session)
        return ledger.get_balance(session, account_id)


def kinds(answers: list[Any]) -> Counter[str]:
    """How often each kind of answer was given."""
    return Counter(
        type(answer).__name__ if isinstance(answer, Exception) else "replay" if answer.replayed else "new"
        for answer in answers
    )


def test_one_key_from_64_processes_is_one_reservation_and_63_replays(funded_url: str, engine: Engine) -> None:
    answers = run_together(funded_url, tasks.reserve_one_key, CALLERS)
    assert kinds(answers) == {"new": 1, "replay": 63}
    assert len({answer.reservation_id for answer in answers}) == 1
    assert verify(engine).held == 100


def test_64_holds_of_100_against_990_are_exactly_nine(funded_url: str, engine: Engine) -> None:
    answers = run_together(funded_url, tasks.reserve_hundred, CALLERS)
    assert kinds(answers) == {"new": 9, "InsufficientCredits": 55}
    balance = verify(engine)
    assert (balance.available, balance.held) == (Decimal(90), Decimal(900))


def test_64_launches_of_one_dataset_start_one_run(funded_url: str, engine: Engine) -> None:
    answers = run_together(funded_url, tasks.launch_without_key, CALLERS)
    assert kinds(answers) == {"new": 1, "RunAlreadyActive": 63}
    launched = next(answer for answer in answers if isinstance(answer, ledger.Launch))
    assert {answer.run_id for answer in answers} == {launched.run_id}
    assert verify(engine).held == launched.response.credits


def test_64_launches_with_one_key_are_answered_with_the_first_response(funded_url: str, engine: Engine) -> None:
    answers = run_together(funded_url, tasks.launch_one_key, CALLERS)
    assert kinds(answers) == {"new": 1, "replay": 63}
    assert len({answer.response.to_json() for answer in answers}) == 1
    assert verify(engine).held == answers[0].response.credits


def test_a_hold_that_64_processes_settle_is_settled_once(funded_url: str, engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        ledger.reserve(session, "acme", 990)
    answers = run_together(funded_url, tasks.settle_one_hold, CALLERS)
    assert kinds(answers) == {"new": 1, "ReservationNotHeld": 63}
    balance = verify(engine)
    assert balance.held == 0
    assert {balance.available, balance.consumed} == {Decimal(0), Decimal(990)}


def test_an_account_that_many_open_is_opened_once(engine: Engine, database_url: str) -> None:
    answers = run_together(database_url, tasks.open_one, 16)
    assert kinds(answers) == {"new": 1, "replay": 15}
    assert verify(engine, "new").issued == 0


def test_a_schema_that_many_upgrade_is_upgraded_once(tmp_path: Any, postgres: Any, request: Any) -> None:
    url = postgres.create()
    request.addfinalizer(lambda: postgres.drop(url))
    for fresh in (url, f"sqlite:///{tmp_path / 'fresh.sqlite'}"):
        assert set(run_together(fresh, tasks.upgrade, 8)) == {HEAD}
        engine = ledger.create_engine(fresh)
        ledger.check_schema(engine)
        engine.dispose()


def test_a_storm_of_every_verb_leaves_a_clean_book_with_every_acknowledged_operation_once(
    engine: Engine, database_url: str
) -> None:
    with Session(engine) as session, session.begin():
        ledger.execute(session, [ledger.OpenAccount(name, tasks.START) for name in tasks.STORM_ACCOUNTS])
        ledger.execute(session, [ledger.GrantCredits(name, 500, at=tasks.START) for name in tasks.STORM_ACCOUNTS])
    acknowledged = [pair for answers in run_together(database_url, tasks.storm, 12) for pair in answers]
    with Session(engine) as session:
        ledger.require_clean(session)
        keys = Counter(session.execute(text("SELECT key FROM ledger_entry WHERE key IS NOT NULL")).scalars())
    assert set(keys.values()) == {1}
    assert set(keys) == {key for key, _ in acknowledged}
    assert len(acknowledged) > 200
