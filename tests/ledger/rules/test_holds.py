"""The rules of holds: captures in parts and above a hold, extensions, grace, refunds, holds of what there is."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

import ledger
from estimator import RateCard, RunRequest, plan_run
from tests.ledger.conftest import START, Stored, later
from tests.ledger.shorthand import is_sound, owed
from tests.ledger.test_runs import BODY, CARD, PROFILE, launch


def test_a_capture_that_is_not_final_keeps_the_rest_held(session: Session, acme: str) -> None:
    hold = ledger.reserve(session, "acme", 6, at=START)
    first = ledger.capture(session, hold.reservation_id, 2, key="a", final=False, at=later(1))
    assert (first.state, first.captured, first.applied, first.freed) == ("held", 2, 2, 0)
    second = ledger.capture(session, hold.reservation_id, 3, final=False, at=later(2))
    assert (second.captured, second.applied) == (5, 3)
    again = ledger.capture(session, hold.reservation_id, 2, key="a", final=False, at=later(3))
    assert (again.replayed, again.captured, again.applied) == (True, 2, 2)
    with pytest.raises(ledger.CaptureExceedsReservation) as refused:
        ledger.capture(session, hold.reservation_id, 2, at=later(3))
    assert refused.value.held == 1
    last = ledger.release(session, hold.reservation_id, at=later(4))
    assert (last.state, last.captured, last.freed, last.applied) == ("released", 5, 1, 1)
    seen = ledger.get_reservation(session, hold.reservation_id, at=later(4))
    assert (seen.state, seen.captured, seen.freed) == ("released", 5, 1)
    assert list(ledger.audit(session)) == []


def test_a_capture_above_its_hold_is_refused_capped_or_borrowed(session: Session, acme: str) -> None:
    def held() -> str:
        return ledger.reserve(session, "acme", 2, at=START).reservation_id

    with pytest.raises(ledger.CaptureExceedsReservation):
        ledger.capture(session, held(), 3, at=START)
    ledger.set_credit_line(session, "acme", 3, at=START)
    capped = ledger.capture(session, held(), 50, over="if_available", at=START)
    assert (capped.captured, capped.applied, capped.freed, capped.amount) == (8, 8, 0, 2)
    with pytest.raises(ledger.InsufficientCredits) as refused:
        ledger.capture(session, "acme/r2", 6, over="credit_line", at=START)
    assert (refused.value.requested, refused.value.available) == (4, 3)
    borrowed = ledger.capture(session, "acme/r2", 5, over=ledger.OverCapture.CREDIT_LINE, at=START)
    assert (borrowed.captured, borrowed.state) == (5, "captured")
    assert ledger.get_balance(session, "acme", at=START).owed == 3
    seen = ledger.get_reservation(session, "acme/r2", at=START)
    assert (seen.captured, seen.freed) == (5, 0)
    back = ledger.refund(session, "acme/r2", at=later(1))
    assert (back.refunded, back.captured) == (5, 5)
    assert ledger.get_balance(session, "acme", at=later(1)).owed == 0
    assert list(ledger.audit(session)) == []


def test_a_capture_in_parts_may_go_above_its_hold_too(session: Session, acme: str) -> None:
    hold = ledger.reserve(session, "acme", 2, at=START)
    part = ledger.capture(session, hold.reservation_id, 5, over="if_available", final=False, at=START)
    assert (part.state, part.captured) == ("held", 5)
    again = ledger.capture(session, hold.reservation_id, 1, over="if_available", final=False, at=START)
    assert (again.captured, again.applied) == (6, 1)
    ended = ledger.release(session, hold.reservation_id, at=START)
    assert (ended.captured, ended.freed, ended.state) == (6, 0, "released")
    assert ledger.get_balance(session, "acme", at=START).available == 4
    assert list(ledger.audit(session)) == []


def test_a_runs_hold_is_captured_above_what_it_holds_from_grants_for_its_dataset(session: Session) -> None:
    ledger.open_account(session, "acme", at=START)
    ledger.grant_credits(session, "acme", 9, scope={"dataset": ["d1"]}, at=START)
    ledger.grant_credits(session, "acme", 9, scope={"dataset": ["d2"]}, at=START)
    launched = launch(session)
    more = ledger.capture(session, str(launched.reservation_id), 50, over="if_available", at=later(1))
    assert more.captured == 9
    assert list(ledger.audit(session)) == []


def test_a_hold_is_extended_until_it_expires(session: Session, acme: str) -> None:
    hold = ledger.reserve(session, "acme", 2, expires_in=timedelta(seconds=10), grace=timedelta(seconds=5), at=START)
    longer = ledger.extend(session, hold.reservation_id, timedelta(seconds=20), key="k", at=later(9))
    assert (longer.expires_at, longer.state, longer.applied) == (later(30), "held", 0)
    assert ledger.extend(session, hold.reservation_id, timedelta(seconds=20), key="k", at=later(9)).replayed
    with pytest.raises(ledger.ReservationNotHeld) as refused:
        ledger.extend(session, hold.reservation_id, timedelta(seconds=1), at=later(30))
    assert refused.value.state == "expired"
    unending = ledger.reserve(session, "acme", 1, at=later(30))
    with pytest.raises(ledger.CommandInvalid, match="never expires"):
        ledger.extend(session, unending.reservation_id, timedelta(seconds=1), at=later(30))
    last = ledger.reserve(session, "acme", 1, expires_in=timedelta(days=1), at=later(30))
    for _ in range(79):
        ledger.extend(session, last.reservation_id, timedelta(days=36_525), at=later(30))
    with pytest.raises(ledger.CommandInvalid, match="year 9999"):
        ledger.extend(session, last.reservation_id, timedelta(days=36_525), at=later(30))
    assert list(ledger.audit(session)) == []


def test_a_late_capture_is_good_within_its_grace(session: Session, acme: str) -> None:
    hold = ledger.reserve(session, "acme", 2, expires_in=timedelta(seconds=10), grace=timedelta(seconds=5), at=START)
    assert (hold.expires_at, hold.grace) == (later(10), timedelta(seconds=5))
    assert ledger.get_balance(session, "acme", at=later(14.999999)).held == 2
    assert ledger.get_balance(session, "acme", at=later(15)).held == 0
    assert ledger.get_reservation(session, hold.reservation_id, at=later(15)).state == "expired"
    with pytest.raises(ledger.ReservationNotHeld):
        ledger.capture(session, hold.reservation_id, at=later(15))
    assert ledger.capture(session, hold.reservation_id, at=later(14.999999)).captured == 2
    with pytest.raises(ledger.CommandInvalid, match="grace"):
        ledger.reserve(session, "acme", 2, grace=timedelta(seconds=5), at=later(20))
    assert list(ledger.audit(session)) == []


def test_a_refund_gives_back_to_the_same_slices_last_consumed_first(session: Session) -> None:
    ledger.open_account(session, "acme", at=START)
    lapsing = ledger.grant_credits(session, "acme", 4, expires_at=later(30), at=START).grant_id
    lasting = ledger.grant_credits(session, "acme", 6, at=START).grant_id
    hold = ledger.reserve(session, "acme", 9, at=START)
    ledger.capture(session, hold.reservation_id, 8, at=later(1))
    part = ledger.refund(session, hold.reservation_id, 5, key="r", reason="rows were empty", at=later(2))
    assert (part.state, part.captured, part.refunded, part.applied) == ("captured", 8, 5, 5)
    left = {grant.grant_id: grant.consumed for grant in ledger.list_grants(session, "acme", at=later(2))}
    assert left == {lapsing: 3, lasting: 0}
    assert ledger.refund(session, hold.reservation_id, 5, key="r", reason="rows were empty", at=later(3)).replayed
    with pytest.raises(ledger.RefundExceedsCapture) as refused:
        ledger.refund(session, hold.reservation_id, 4, at=later(3))
    assert refused.value.refundable == 3
    ledger.refund(session, hold.reservation_id, at=later(30))
    assert ledger.get_balance(session, "acme", at=later(30)).expired == 4
    with pytest.raises(ledger.RefundExceedsCapture, match="nothing left to refund"):
        ledger.refund(session, hold.reservation_id, at=later(31))
    assert ledger.get_reservation(session, hold.reservation_id, at=later(31)).refunded == 8
    with pytest.raises(ledger.ReservationNotFound):
        ledger.refund(session, "acme/r77", at=later(31))
    assert list(ledger.audit(session)) == []


def test_a_hold_that_is_open_may_be_refunded_what_it_captured(session: Session, acme: str) -> None:
    hold = ledger.reserve(session, "acme", 6, at=START)
    ledger.capture(session, hold.reservation_id, 4, final=False, at=START)
    back = ledger.refund(session, hold.reservation_id, 3, at=START)
    assert (back.state, back.refunded, back.captured) == ("held", 3, 4)
    ended = ledger.capture(session, hold.reservation_id, at=later(1))
    assert (ended.captured, ended.refunded, ended.applied) == (6, 3, 2)
    assert ledger.get_balance(session, "acme", at=later(1)).consumed == 3
    assert list(ledger.audit(session)) == []


def test_a_refund_reduces_what_is_owed_and_then_gives_back_what_repaid_it(session: Session, acme: str) -> None:
    ledger.set_credit_line(session, "acme", 10, at=START)
    hold = ledger.reserve(session, "acme", 18, at=START)
    ledger.capture(session, hold.reservation_id, at=START)
    early = ledger.grant_credits(session, "acme", 3, at=later(1))
    late = ledger.grant_credits(session, "acme", 2, expires_at=later(50), at=later(2))
    assert owed(session, later(2)) == 3
    given = ledger.refund(session, hold.reservation_id, 7, at=later(3))
    assert (given.refunded, given.applied, given.captured) == (7, 7, 18)
    standings = {grant.grant_id: grant for grant in ledger.list_grants(session, "acme", at=later(3), ended=True)}
    # Of the 8 that were lent 3 are owed no more, 2 go back to the later grant, 2 to the earlier one.
    assert owed(session, later(3)) == 0
    assert (standings[late.grant_id].available, standings[early.grant_id].available) == (2, 2)
    assert is_sound(session)
    ledger.refund(session, hold.reservation_id, at=later(60))
    balance = ledger.get_balance(session, "acme", at=later(60))
    assert (balance.available, balance.consumed, balance.expired, balance.owed) == (13, 0, 2, 0)
    assert is_sound(session)


def test_at_most_holds_what_there_is_and_says_how_many_rows_it_pays(session: Session, acme: str) -> None:
    card = RateCard.from_toml(CARD.format(row="3", settlement="requested"))
    plan = plan_run(RunRequest.from_wire(BODY), PROFILE, card)
    hold = ledger.reserve(session, "acme", 50, key="k", at_most=True, plan=plan, card=card, at=START)
    assert (hold.amount, hold.rows, hold.applied) == (10, 3, 10)
    again = ledger.reserve(session, "acme", 50, key="k", at_most=True, at=later(1))
    assert (again.replayed, again.amount, again.rows) == (True, 10, 3)
    nothing = ledger.reserve(session, "acme", 50, at_most=True, at=later(1))
    assert (nothing.amount, nothing.state, nothing.slices) == (0, "held", ())
    assert ledger.capture(session, nothing.reservation_id, at=later(2)).captured == 0
    with pytest.raises(ledger.CommandInvalid, match="rate card"):
        ledger.reserve(session, "acme", 50, at_most=True, plan=plan, at=later(2))
    assert list(ledger.audit(session)) == []


def test_a_hold_cannot_outlast_the_calendar(session: Session, acme: str, stored: Stored) -> None:
    before = stored()
    with pytest.raises(ledger.CommandInvalid, match="year 9999"):
        ledger.reserve(session, acme, 1, expires_in=timedelta(days=400), at=later(days=2_912_000))
    assert stored() == before
