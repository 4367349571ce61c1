"""The verbs of reservations: holding, capturing, releasing, recording lapses, listing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.orm import Session

import ledger
from ledger import ReservationState
from tests.ledger.conftest import START, Buckets, Stored, later


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


@pytest.mark.parametrize(("amount", "consumed"), [(None, 6), (6, 6), (2, 2), (0, 0)])
def test_a_capture_consumes_its_amount_and_frees_the_rest(
    session: Session, acme: str, buckets: Buckets, amount: int | None, consumed: int
) -> None:
    hold = ledger.reserve(session, acme, 6, at=START)
    captured = ledger.capture(session, hold.reservation_id, amount, at=START)
    assert (captured.state, captured.captured, captured.freed) == (ReservationState.CAPTURED, consumed, 6 - consumed)
    expected = {"available": 10 - consumed, "consumed": consumed}
    assert buckets() == {name: value for name, value in expected.items() if value}


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


@pytest.mark.parametrize("by", [timedelta(0), timedelta(seconds=-1), timedelta(days=36_526), 5, None])
def test_an_extension_is_a_duration_above_zero(session: Session, acme: str, by: object) -> None:
    hold = ledger.reserve(session, "acme", 2, expires_in=timedelta(seconds=10), at=START)
    with pytest.raises(ledger.CommandInvalid):
        ledger.extend(session, hold.reservation_id, by, at=START)  # type: ignore[arg-type]


@pytest.mark.parametrize("labels", [{"a": ""}, {"": "a"}, {"a": 1}, ["a"], {str(n): "x" for n in range(17)}])
def test_labels_are_a_few_short_texts(session: Session, acme: str, labels: Any) -> None:
    with pytest.raises(ledger.CommandInvalid):
        ledger.reserve(session, "acme", 1, labels=labels, at=START)
