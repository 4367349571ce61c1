"""Rate cards as the ledger keeps them: a card's id is the hash of its text."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

import ledger
from estimator import RunOutcome
from tests.ledger.test_runs import launch, settle


def test_a_card_that_was_altered_or_lost_in_the_database_prices_nothing_and_is_found(
    session: Session, acme: str
) -> None:
    launched = launch(session)
    for change, code in (
        ("UPDATE ledger_card SET content = replace(content, '0.1', '0.2')", "card_altered"),
        ("DELETE FROM ledger_card", "card_missing"),
    ):
        session.execute(text(change))
        assert [finding.code for finding in ledger.audit(session)] == [code]
        with pytest.raises(ledger.AuditFailed, match="rate card") as caught:
            settle(session, launched.run_id, RunOutcome("succeeded", 50, 50))
        assert caught.value.findings[0].code == code
