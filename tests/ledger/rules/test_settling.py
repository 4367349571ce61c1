"""What a hold consumes and frees: in burn order, and back to the grants it came from."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.orm import Session

import ledger
from tests.ledger.conftest import START, Buckets, later
from tests.ledger.shorthand import grant, is_sound, owed


def test_a_capture_consumes_in_burn_order_and_frees_to_the_right_grants(session: Session) -> None:
    ledger.open_account(session, "acme", at=START)
    for priority in (1, 2):
        ledger.grant_credits(session, "acme", 5, priority=priority, at=START)
    hold = ledger.reserve(session, "acme", 8, at=START)
    ledger.capture(session, hold.reservation_id, 6, at=START)
    # One of the second grant's five is consumed, so four are left, and none of the first.
    again = ledger.reserve(session, "acme", 4, at=START)
    assert [(part.grant_id, part.amount) for part in again.slices] == [("acme/g2", 4)]


def test_a_grant_that_lapses_under_a_hold_leaves_the_hold_good(session: Session, buckets: Buckets) -> None:
    ledger.open_account(session, "acme", at=START)
    ledger.grant_credits(session, "acme", 10, expires_at=later(60), at=START)
    hold = ledger.reserve(session, "acme", 6, at=START)
    assert buckets(at=later(60)) == {"held": 6, "expired": 4}
    ledger.capture(session, hold.reservation_id, 5, at=later(61))
    assert buckets(at=later(61)) == {"consumed": 5, "expired": 5}
    # The freed credit goes where it belongs in the very entry that frees it, and is available at no moment.
    (capture,) = [entry for entry in ledger.get_statement(session, "acme").entries if entry.kind == "capture"]
    assert [(part.target, part.amount) for part in capture.transfers] == [("consumed", 5), ("expired", 1)]
    assert capture.balance.available == 0


def test_a_grant_that_lapses_under_a_hold_captured_in_parts_leaves_it_good(session: Session) -> None:
    ledger.open_account(session, "acme", at=START)
    ledger.grant_credits(session, "acme", 10, expires_at=later(10), at=START)
    hold = ledger.reserve(session, "acme", 6, at=later(5))
    ledger.capture(session, hold.reservation_id, 2, final=False, at=later(12))
    ledger.release(session, hold.reservation_id, at=later(13))
    balance = ledger.get_balance(session, "acme", at=later(13))
    assert (balance.available, balance.consumed, balance.expired) == (0, 2, 8)
    assert list(ledger.audit(session)) == []


def test_a_hold_captured_in_part_lapses_with_the_rest(session: Session, acme: str) -> None:
    hold = ledger.reserve(session, "acme", 6, expires_in=timedelta(seconds=10), at=START)
    ledger.capture(session, hold.reservation_id, 2, final=False, at=later(1))
    seen = ledger.get_reservation(session, hold.reservation_id, at=later(10))
    assert (seen.state, seen.captured, seen.freed) == ("expired", 2, 4)
    assert ledger.get_balance(session, "acme", at=later(10)).available == 8
    ledger.expire_due(session, account_id="acme", at=later(10))
    assert ledger.get_reservation(session, hold.reservation_id, at=later(10)) == seen
    assert list(ledger.audit(session)) == []


def test_what_a_hold_frees_after_its_period_expires_unless_the_lot_was_carried_over(
    session: Session, empty: str, buckets: Buckets
) -> None:
    grant(session, 10, recurrence=ledger.Recurrence("day"))
    hold = ledger.reserve(session, "acme", 6, at=START)
    ledger.release(session, hold.reservation_id, at=later(days=1))
    assert buckets(at=later(days=1)) == {"available": 10, "expired": 10}
    assert is_sound(session)


def test_credits_that_the_line_lent_to_a_hold_go_back_to_it(session: Session, acme: str) -> None:
    ledger.set_credit_line(session, "acme", 5, at=START)
    hold = ledger.reserve(session, "acme", 15, expires_in=timedelta(seconds=5), at=START)
    assert owed(session) == 5
    assert owed(session, later(5)) == 0
    ledger.expire_due(session, account_id="acme", at=later(5))
    assert ledger.get_reservation(session, hold.reservation_id, at=later(5)).freed == 15
    assert is_sound(session)
