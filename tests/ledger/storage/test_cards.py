"""Rate cards as the ledger keeps them: a card's id is the hash of its text."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

import ledger
from estimator import RunOutcome
from ledger.storage import cards
from tests.ledger.test_runs import DELIVERED, PLAIN, launch, settle


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


def test_a_card_is_known_by_the_hash_of_its_text_and_read_back_as_it_was() -> None:
    content = PLAIN.to_json()
    assert cards.is_card(PLAIN.id, content)
    assert not cards.is_card(PLAIN.id, content.replace("0.1", "0.2"))
    assert not cards.is_card(DELIVERED.id, content)
    assert cards.card_of(content) == PLAIN
    assert cards.card_of(content) is cards.card_of(content)


def test_a_finding_about_a_card_names_the_account_and_the_card() -> None:
    found = [cards.card_missing("acme", "c1"), cards.card_altered("acme", "c1")]
    assert [finding.code for finding in found] == ["card_missing", "card_altered"]
    assert all(finding.account_id == "acme" and "c1" in finding.message for finding in found)
