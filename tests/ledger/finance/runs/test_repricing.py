"""Repricing: what was charged is what its plan and card say, and whatever was altered is found."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

import ledger
from estimator import RateCardBook, RunOutcome
from ledger.finance.runs.repricing import reprice
from ledger.schema.triggers import remove_triggers
from tests.ledger.conftest import START, later
from tests.ledger.test_runs import DELIVERED, PLAIN, launch, settle


@pytest.fixture
def launched(session: Session) -> Session:
    """Runs that succeeded (2 and 3), failed half-way (4 and 5), were cancelled at once (6 and 7), are active (8)."""
    ledger.open_account(session, "acme", at=START)
    ledger.grant_credits(session, "acme", 100, at=START)
    outcomes = (RunOutcome("succeeded", 50, 40), RunOutcome("failed", 25, 25), RunOutcome("cancelled", 0, 0), None)
    for number, outcome in enumerate(outcomes):
        cards = RateCardBook([DELIVERED if number % 2 else PLAIN])
        run = launch(session, cards=cards, dataset_id=f"d{number}", at=later(number))
        if outcome is not None:
            settle(session, run.run_id, outcome, at=later(number))
    ledger.capture(session, ledger.reserve(session, "acme", 1, at=later(9)).reservation_id, at=later(9))
    remove_triggers(session.connection())
    return session


def found(session: Session) -> list[tuple[int | None, str]]:
    return [(finding.sequence, finding.code) for finding in reprice(session)]


def test_a_book_is_priced_as_it_was(launched: Session) -> None:
    assert found(launched) == []
    assert list(reprice(launched, account_id="acme")) == []
    kinds = launched.execute(text("SELECT kind FROM ledger_entry ORDER BY sequence")).scalars().all()
    assert kinds == ["grant", *["reserve", "capture"] * 2, "reserve", "release", "reserve", "reserve", "capture"]


OUTCOME = "UPDATE ledger_entry SET details = replace(details, '{0}\\:25', '{0}\\:26') WHERE sequence = 5"
NO_PLAN = """UPDATE ledger_entry SET details = '{"plan":{},"card_id":"x"}' WHERE sequence = 8"""
PRICED = (2, 3, 4, 5, 6, 7, 8)


@pytest.mark.parametrize(
    ("change", "sequences", "code"),
    [
        ("UPDATE ledger_transfer SET amount = amount + 1 WHERE sequence = 2", (2,), "estimate_differs"),
        ("UPDATE ledger_transfer SET amount = amount - 1 WHERE sequence = 3", (3,), "charge_differs"),
        (OUTCOME.format('"rows_delivered"'), (5,), "charge_differs"),
        (NO_PLAN, (8,), "reprice_unreadable"),
        ("DELETE FROM ledger_card", PRICED, "reprice_unreadable"),
        ("UPDATE ledger_card SET content = replace(content, 'plain', 'plane')", PRICED, "reprice_unreadable"),
    ],
)
def test_what_was_altered_is_found(launched: Session, change: str, sequences: tuple[int, ...], code: str) -> None:
    launched.execute(text(change))
    assert found(launched) == [(sequence, code) for sequence in sequences]
