"""A short simulation in the suite, and that the auditor sees what it must see."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

import ledger
from tests.simulation.__main__ import main
from tests.simulation.auditor import Auditor
from tests.simulation.clients import Acknowledged, Answered
from tests.simulation.plan import Known, Settings, batch, opening
from tests.simulation.run import simulate

pytestmark = pytest.mark.external
"""Takes long; run by .ci/run."""

SETTINGS = Settings(seed=5, clients=3, accounts=12, operations=3_000)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_nothing_is_lost_or_doubled_among_clients_that_die_and_databases_that_fail(database: str) -> None:
    report = simulate(SETTINGS, database, faults_every=250)
    assert report.problems == [], str(report)
    assert report.operations >= 3_000
    assert report.faults.total() > 3
    assert len(report.verbs) >= 13
    assert "nothing lost, nothing doubled" in str(report)


def test_a_plan_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    def plan(seed: int) -> list[str]:
        settings = Settings(seed, 2, 5, 100)
        return [repr(batch(settings, 1, number, Known())) for number in range(20)]

    assert plan(1) == plan(1)
    assert plan(1) != plan(2)


@pytest.fixture
def audited(session: Session) -> tuple[Session, Auditor, Any]:
    """A book with one acknowledged hold and capture, committed."""
    settings = Settings(1, 1, 2, 10)
    ledger.execute(session, opening(settings))
    hold = ledger.reserve(session, "account-1", 4, key="0/0/0")
    ledger.capture(session, hold.reservation_id, 3, key="0/0/1")
    session.commit()
    auditor = Auditor(settings)
    answers = [
        Answered("account-1", "", "0/0/0", "Reserve", "new"),
        Answered("account-1", "", "0/0/1", "Capture", "new", 3_000_000),
        Answered("account-1", "", "0/0/2", "Capture", "ReservationNotFound"),
    ]
    assert auditor.take(Acknowledged(0, 0, answers, Known())) is None
    return session, auditor, session.get_bind()


def test_the_auditor_is_content_with_what_was_acknowledged(audited: tuple[Session, Auditor, Any]) -> None:
    _, auditor, engine = audited
    assert auditor.look(engine) == []


def test_the_auditor_sees_what_is_missing_too_much_or_changed(audited: tuple[Session, Auditor, Any]) -> None:
    session, auditor, engine = audited
    ledger.adjust(session, "account-1", -2, reason="behind its back", key="unheard-of")
    ledger.adjust(session, "account-1", 1, reason="refused before", key="0/0/2")
    session.commit()
    auditor.accepted.add(("account-1", "", "0/0/9"))
    problems = "\n".join(auditor.look(engine))
    for said in (
        "was never sent",
        "was refused and is in the book",
        "is not in the book",
        "account-1 consumed 5000000",
    ):
        assert said in problems
    session.execute(text("UPDATE ledger_account SET at = at + 1 WHERE account_id = 'account-0'"))
    session.commit()
    assert any(problem.startswith("audit: account 'account-0'") for problem in auditor.look(engine))


def test_a_batch_out_of_turn_is_a_batch_lost_or_doubled(audited: tuple[Session, Auditor, Any]) -> None:
    _, auditor, _ = audited
    assert "answered batch 5, not 1" in str(auditor.take(Acknowledged(0, 5, [], Known())))


def test_the_command_ends_with_0_when_all_is_well(capsys: Any) -> None:
    assert main(["--operations", "300", "--seed", "3", "--database", "sqlite", "--accounts", "4"]) == 0
    assert "sqlite, seed 3: " in capsys.readouterr().out
