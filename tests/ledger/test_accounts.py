"""The verbs of accounts: opening one, and its balance at any moment."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

import ledger
from tests.ledger.conftest import START, Buckets, later


def test_opening_an_account_again_answers_the_first_opening(session: Session) -> None:
    first = ledger.open_account(session, "acme", at=START)
    again = ledger.open_account(session, "acme", at=later(60))
    assert (first.replayed, again.replayed) == (False, True)
    assert again.opened_at == first.opened_at == START
    assert ledger.list_accounts(session) == ["acme"]


def test_an_unknown_account_has_no_balance_and_no_statement(session: Session) -> None:
    for read in (ledger.get_balance, ledger.get_statement):
        with pytest.raises(ledger.AccountNotFound, match="open it first"):
            read(session, "nobody")


def test_balances_are_known_for_every_moment_past_and_to_come(session: Session, acme: str, buckets: Buckets) -> None:
    hold = ledger.reserve(session, acme, 6, expires_in=later(50) - START, at=later(10))
    ledger.capture(session, hold.reservation_id, 2, at=later(20))
    ledger.grant_credits(session, acme, 5, expires_at=later(40), at=later(30))
    moments = {9: {"available": 10}, 10: {"available": 4, "held": 6}, 19: {"available": 4, "held": 6}}
    moments |= {20: {"available": 8, "consumed": 2}, 30: {"available": 13, "consumed": 2}}
    moments |= {40: {"available": 8, "consumed": 2, "expired": 5}}
    assert {seconds: buckets(at=later(seconds)) for seconds in moments} == moments
    assert buckets(at=later(-1)) == {}
    assert ledger.get_balance(session, acme, at=later(40)).issued == 15
