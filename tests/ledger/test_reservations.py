"""Holding credits, and what becomes of a hold."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.orm import Session

import ledger
from ledger import ReservationState
from tests.ledger.conftest import START, later

Buckets = Callable[..., dict[str, int]]
Stored = Callable[[], dict[str, list[Any]]]
MICROSECOND = timedelta(microseconds=1)


def test_a_reservation_moves_credits_from_available_to_held(session: Session, acme: str, buckets: Buckets) -> None:
    hold = ledger.reserve(session, acme, Decimal("4"), at=START)
    assert (hold.state, hold.amount, hold.account_id) == (ReservationState.HELD, Decimal(4), acme)
    assert buckets() == {"available": 6, "held": 4}


def test_the_last_micro_credit_can_be_held_and_not_one_more(session: Session, acme: str) -> None:
    ledger.reserve(session, acme, Decimal("9.999999"), at=START)
    with pytest.raises(ledger.InsufficientCredits) as caught:
        ledger.reserve(session, acme, Decimal("0.000002"), at=START)
    assert (caught.value.requested, caught.value.available) == (Decimal("0.000002"), Decimal("0.000001"))
    ledger.reserve(session, acme, Decimal("0.000001"), at=START)


def test_grants_burn_by_priority_then_expiry_with_none_last_then_age(session: Session) -> None:
    ledger.open_account(session, "acme", at=START)
    for priority, days in ((2, 1), (1, None), (1, 9), (1, 5), (1, 5)):
        expires_at = None if days is None else later(days=days)
        ledger.grant_credits(session, "acme", 1, priority=priority, expires_at=expires_at, at=START)
    hold = ledger.reserve(session, "acme", Decimal("4.5"), at=START)
    assert [part.grant_id for part in hold.slices] == ["acme/g4", "acme/g5", "acme/g3", "acme/g2", "acme/g1"]
    assert [part.amount for part in hold.slices] == [1, 1, 1, 1, Decimal("0.5")]
    assert ledger.get_reservation(session, hold.reservation_id, at=START).slices == hold.slices


def test_a_batch_of_draws_walks_over_spent_grants_in_order(session: Session) -> None:
    ledger.open_account(session, "acme", at=START)
    for _ in range(4):
        ledger.grant_credits(session, "acme", 2, at=START)
    holds = ledger.execute(session, [ledger.Reserve("acme", amount, at=START) for amount in (2, 1, 3, 2)])
    drawn = [[(part.grant_id, int(part.amount)) for part in hold.slices] for hold in holds]  # type: ignore[union-attr]
    assert drawn == [
        [("acme/g1", 2)],
        [("acme/g2", 1)],
        [("acme/g2", 1), ("acme/g3", 2)],
        [("acme/g4", 2)],
    ]


@pytest.mark.parametrize(("amount", "consumed"), [(None, 6), (6, 6), (2, 2), (0, 0)])
def test_a_capture_consumes_its_amount_and_frees_the_rest(
    session: Session, acme: str, buckets: Buckets, amount: int | None, consumed: int
) -> None:
    hold = ledger.reserve(session, acme, 6, at=START)
    captured = ledger.capture(session, hold.reservation_id, amount, at=START)
    assert (captured.state, captured.captured, captured.freed) == (ReservationState.CAPTURED, consumed, 6 - consumed)
    expected = {"available": 10 - consumed, "consumed": consumed}
    assert buckets() == {name: value for name, value in expected.items() if value}


def test_a_capture_consumes_in_burn_order_and_frees_to_the_right_grants(session: Session) -> None:
    ledger.open_account(session, "acme", at=START)
    for priority in (1, 2):
        ledger.grant_credits(session, "acme", 5, priority=priority, at=START)
    hold = ledger.reserve(session, "acme", 8, at=START)
    ledger.capture(session, hold.reservation_id, 6, at=START)
    # One of the second grant's five is consumed, so four are left, and none of the first.
    again = ledger.reserve(session, "acme", 4, at=START)
    assert [(part.grant_id, part.amount) for part in again.slices] == [("acme/g2", 4)]


def test_a_capture_above_its_hold_is_refused_and_moves_nothing(session: Session, acme: str, stored: Stored) -> None:
    hold = ledger.reserve(session, acme, 6, at=START)
    before = stored()
    with pytest.raises(ledger.CaptureExceedsReservation) as caught:
        ledger.capture(session, hold.reservation_id, Decimal("6.000001"), key="k", at=START)
    assert (caught.value.requested, caught.value.held) == (Decimal("6.000001"), Decimal(6))
    assert stored() == before


def test_a_release_frees_all_of_a_hold(session: Session, acme: str, buckets: Buckets) -> None:
    hold = ledger.reserve(session, acme, 6, at=START)
    released = ledger.release(session, hold.reservation_id, at=START)
    assert (released.state, released.captured, released.freed) == (ReservationState.RELEASED, 0, 6)
    assert buckets() == {"available": 10}


@pytest.mark.parametrize("first", [ledger.capture, ledger.release])
@pytest.mark.parametrize("second", [ledger.capture, ledger.release])
def test_a_settled_hold_cannot_be_settled_again(
    session: Session, acme: str, stored: Stored, first: Callable[..., Any], second: Callable[..., Any]
) -> None:
    hold = ledger.reserve(session, acme, 6, at=START)
    state = first(session, hold.reservation_id, key="one", at=START).state
    before = stored()
    with pytest.raises(ledger.ReservationNotHeld) as caught:
        second(session, hold.reservation_id, key="two", at=START)
    assert caught.value.state == state
    assert stored() == before


@pytest.mark.parametrize(
    "name", ["acme/r99", "acme/g1", "acme/r1", "nobody/r1", "r1", "", "acme/r01", "acme/r\x001", "\ud800/r1"]
)
def test_what_is_no_reservation_is_not_found(session: Session, acme: str, name: str) -> None:
    for settle in (ledger.capture, ledger.release):
        with pytest.raises((ledger.ReservationNotFound, ledger.AccountNotFound)):
            settle(session, name, at=START)


def test_a_reservation_of_another_account_is_not_found(session: Session, acme: str) -> None:
    hold = ledger.reserve(session, acme, 1, at=START)
    with pytest.raises(ledger.ReservationNotFound):
        ledger.capture(session, hold.reservation_id, account_id="other", at=START)
    assert ledger.capture(session, hold.reservation_id, account_id=acme, at=START).captured == 1


def test_a_hold_lapses_at_its_very_moment_and_not_a_microsecond_before(
    session: Session, acme: str, buckets: Buckets
) -> None:
    hold = ledger.reserve(session, acme, 6, expires_in=timedelta(seconds=60), at=START)
    assert buckets(at=later(60) - MICROSECOND) == {"available": 4, "held": 6}
    assert buckets(at=later(60)) == {"available": 10}
    assert ledger.get_reservation(session, hold.reservation_id, at=later(60)).state == ReservationState.EXPIRED
    with pytest.raises(ledger.ReservationNotHeld, match="is expired"):
        ledger.capture(session, hold.reservation_id, at=later(60))
    assert ledger.capture(session, hold.reservation_id, at=later(60) - MICROSECOND).captured == 6


def test_a_hold_cannot_outlast_the_calendar(session: Session, acme: str, stored: Stored) -> None:
    before = stored()
    with pytest.raises(ledger.CommandInvalid, match="year 9999"):
        ledger.reserve(session, acme, 1, expires_in=timedelta(days=400), at=later(days=2_912_000))
    assert stored() == before


def test_what_lapsed_can_be_reserved_again_without_any_sweeper(session: Session, acme: str) -> None:
    ledger.reserve(session, acme, 10, expires_in=timedelta(seconds=60), at=START)
    assert ledger.reserve(session, acme, 10, at=later(60)).amount == 10
    kinds = [(entry.kind, entry.at) for entry in ledger.get_statement(session, acme, until=later(61)).entries]
    assert kinds[2:] == [("expire", later(60)), ("reserve", later(60))]


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


def test_a_grant_that_is_wholly_held_when_it_lapses_has_nothing_to_expire(session: Session, buckets: Buckets) -> None:
    ledger.open_account(session, "acme", at=START)
    ledger.grant_credits(session, "acme", 6, expires_at=later(60), at=START)
    ledger.reserve(session, "acme", 6, at=START)
    (nothing,) = ledger.expire_due(session, at=later(60))
    assert (nothing.grants, nothing.expired) == ((), 0)
    assert buckets(at=later(60)) == {"held": 6}
    assert ledger.expire_due(session, at=later(60)) == []


def test_a_hold_and_its_grant_that_lapse_together_leave_nothing_available(session: Session, buckets: Buckets) -> None:
    ledger.open_account(session, "acme", at=START)
    ledger.grant_credits(session, "acme", 10, expires_at=later(60), at=START)
    ledger.reserve(session, "acme", 6, expires_in=timedelta(seconds=60), at=START)
    assert buckets(at=later(60)) == {"expired": 10}
    assert ledger.expire_due(session, account_id="acme", at=later(60))[0].expired == 10


def test_an_accounts_time_never_goes_back(session: Session, acme: str) -> None:
    ledger.reserve(session, acme, 1, at=later(100))
    hold = ledger.reserve(session, acme, 1, at=START, expires_in=timedelta(seconds=5))
    assert (hold.reserved_at, hold.expires_at) == (later(100), later(105))


def test_expire_due_records_each_lapse_once_for_every_account(session: Session) -> None:
    for name in ("a", "b", "c"):
        ledger.open_account(session, name, at=START)
        ledger.grant_credits(session, name, 4, expires_at=later(30) if name != "c" else None, at=START)
        ledger.reserve(session, name, 1, expires_in=timedelta(seconds=10), at=START)
    lapses = ledger.expire_due(session, at=later(30))
    assert [(found.account_id, found.freed, found.expired) for found in lapses] == [
        ("a", 1, 4),
        ("b", 1, 4),
        ("c", 1, 0),
    ]
    assert lapses[0].reservations == ("a/r2",)
    assert lapses[0].grants == ("a/g1",)
    assert ledger.expire_due(session, at=later(30)) == []
    ledger.require_clean(session)


def test_expire_due_takes_accounts_a_few_at_a_time(session: Session) -> None:
    for name in ("a", "b", "c"):
        ledger.open_account(session, name, at=START)
        ledger.grant_credits(session, name, 4, expires_at=later(30), at=START)
    sizes = [len(ledger.expire_due(session, at=later(30), limit=2)) for _ in range(3)]
    assert sizes == [2, 1, 0]


def test_a_due_moment_that_turned_out_stale_is_forgotten(session: Session, acme: str) -> None:
    hold = ledger.reserve(session, acme, 1, expires_in=timedelta(seconds=10), at=START)
    ledger.release(session, hold.reservation_id, at=START)
    (nothing,) = ledger.expire_due(session, at=later(10))
    assert (nothing.reservations, nothing.grants, nothing.freed, nothing.expired) == ((), (), 0, 0)
    assert ledger.expire_due(session, at=later(10)) == []


def test_a_later_lapse_is_remembered_when_an_earlier_one_is_recorded(
    session: Session, acme: str, buckets: Buckets
) -> None:
    for seconds in (10, 20, 30):
        ledger.reserve(session, acme, 1, expires_in=timedelta(seconds=seconds), at=START)
    ledger.expire_due(session, account_id=acme, at=later(10))
    ledger.grant_credits(session, acme, 1, at=later(11))
    assert buckets(at=later(30)) == {"available": 11}
    assert len(ledger.expire_due(session, at=later(20))[0].reservations) == 1
    assert len(ledger.expire_due(session, at=later(30))[0].reservations) == 1


def test_reservations_are_listed_by_state_a_page_at_a_time(session: Session, acme: str) -> None:
    holds = [ledger.reserve(session, acme, 1, expires_in=timedelta(seconds=60), at=START) for _ in range(5)]
    ledger.capture(session, holds[0].reservation_id, at=START)
    ledger.release(session, holds[1].reservation_id, at=START)

    def ids(**options: Any) -> list[str]:
        return [found.reservation_id for found in ledger.list_reservations(session, acme, **options)]

    every = [hold.reservation_id for hold in holds]
    assert ids(at=START) == every
    assert ids(at=START, limit=2) == every[:2]
    assert ids(at=START, limit=2, after=every[1]) == every[2:4]
    assert ids(at=START, state="held") == every[2:]
    assert ids(at=later(60), state="held") == []
    assert ids(at=later(60), state=ReservationState.EXPIRED) == every[2:]
    assert ids(at=later(60), state="captured") == every[:1]
    assert ids(at=later(60), state="released") == every[1:2]
    expired = ledger.list_reservations(session, acme, at=later(60), after=every[1])[0]
    assert (expired.state, expired.freed) == (ReservationState.EXPIRED, 1)


def test_listing_and_finding_say_what_does_not_exist(session: Session, acme: str) -> None:
    with pytest.raises(ledger.AccountNotFound):
        ledger.list_reservations(session, "nobody")
    with pytest.raises(ledger.ReservationNotFound):
        ledger.get_reservation(session, "acme/r99")
