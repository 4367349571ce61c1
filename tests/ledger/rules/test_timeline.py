"""What comes due by itself: holds and grants that lapse, grants that take effect, periods that begin."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy.orm import Session

import ledger
from ledger import ReservationState
from tests.ledger.conftest import START, Buckets, later
from tests.ledger.shorthand import drawn, grant, is_sound

MICROSECOND = timedelta(microseconds=1)


def test_a_grant_is_available_at_once_and_lapses_at_its_moment(session: Session, buckets: Buckets) -> None:
    ledger.open_account(session, "acme", at=START)
    grant = ledger.grant_credits(session, "acme", Decimal("5"), expires_at=later(60), at=START)
    assert (grant.grant_id, grant.amount, grant.expires_at, grant.granted_at) == ("acme/g1", 5, later(60), START)
    assert buckets(at=later(59)) == {"available": 5}
    assert buckets(at=later(60)) == {"expired": 5}


def test_a_scheduled_grant_is_there_from_its_moment_on(session: Session, empty: str, buckets: Buckets) -> None:
    scheduled = grant(session, 7, effective_at=later(60), expires_at=later(120))
    assert buckets(at=later(59)) == {}
    assert ledger.get_balance(session, "acme", at=later(59)).scheduled == 7
    with pytest.raises(ledger.InsufficientCredits):
        ledger.reserve(session, "acme", 1, at=later(59))
    assert buckets(at=later(60)) == {"available": 7}
    assert drawn(session, 2, at=later(60)) == [(scheduled, 2)]
    assert buckets(at=later(120)) == {"held": 2, "expired": 5}
    kinds = [str(entry.kind) for entry in ledger.get_statement(session, "acme", until=later(121)).entries]
    assert kinds == ["grant", "activate", "reserve", "expire"]
    assert is_sound(session)


def test_a_grant_that_takes_effect_and_lapses_unseen_is_both_in_order(session: Session, empty: str) -> None:
    grant(session, 7, effective_at=later(60), expires_at=later(120))
    ledger.expire_due(session, account_id="acme", at=later(500))
    entries = ledger.get_statement(session, "acme", until=later(501)).entries
    assert [(str(entry.kind), entry.at) for entry in entries] == [
        ("grant", START),
        ("activate", later(60)),
        ("expire", later(120)),
    ]
    assert is_sound(session)


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


def test_what_lapsed_can_be_reserved_again_without_any_sweeper(session: Session, acme: str) -> None:
    ledger.reserve(session, acme, 10, expires_in=timedelta(seconds=60), at=START)
    assert ledger.reserve(session, acme, 10, at=later(60)).amount == 10
    kinds = [(entry.kind, entry.at) for entry in ledger.get_statement(session, acme, until=later(61)).entries]
    assert kinds[2:] == [("expire", later(60)), ("reserve", later(60))]


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


MONTHLY = ledger.Recurrence("month")


def test_a_monthly_allowance_comes_once_a_month_and_lapses_at_its_end(
    session: Session, empty: str, buckets: Buckets
) -> None:
    anchor = datetime(2026, 3, 31, tzinfo=UTC)
    grant(session, 10, effective_at=anchor, recurrence=MONTHLY)
    assert buckets(at=later(days=29)) == {}
    drawn(session, 4, at=datetime(2026, 4, 2, tzinfo=UTC))
    assert buckets(at=datetime(2026, 4, 29, 23, tzinfo=UTC)) == {"available": 6, "held": 4}
    assert buckets(at=datetime(2026, 4, 30, tzinfo=UTC)) == {"available": 10, "held": 4, "expired": 6}
    assert buckets(at=datetime(2026, 5, 30, 23, tzinfo=UTC)) == {"available": 10, "held": 4, "expired": 6}
    assert buckets(at=datetime(2026, 5, 31, tzinfo=UTC)) == {"available": 10, "held": 4, "expired": 16}
    assert is_sound(session)


def test_after_a_year_asleep_every_period_was_granted_exactly_once(session: Session, empty: str) -> None:
    grant(session, 10, recurrence=MONTHLY, expires_at=START.replace(year=2027, month=2, day=15))
    for _ in range(2):
        ledger.expire_due(session, account_id="acme", at=START.replace(year=2027, month=2, day=10))
    entries = ledger.get_statement(session, "acme", until=START.replace(year=2027, month=2, day=11)).entries
    assert [str(entry.kind) for entry in entries] == ["grant", *["renew"] * 11]
    assert [entry.at.month for entry in entries] == [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 1, 2]
    balance = ledger.get_balance(session, "acme", at=START.replace(year=2027, month=2, day=14))
    assert (balance.available, balance.issued, balance.expired) == (10, 120, 110)
    over = START.replace(year=2027, month=6)
    assert ledger.get_balance(session, "acme", at=over).expired == 120
    ledger.expire_due(session, account_id="acme", at=over)
    assert [lot for lot in ledger.list_grants(session, "acme", at=over) if lot.available] == []
    assert is_sound(session)


def test_what_a_period_leaves_is_carried_over_between_the_rollovers(
    session: Session, empty: str, buckets: Buckets
) -> None:
    daily = ledger.Recurrence("day", rollover_min=3, rollover_max=5)
    first = grant(session, 10, recurrence=daily)
    drawn(session, 2)
    # 8 are left: 5 carried over, 3 expire, 10 come anew.
    assert buckets(at=later(days=1)) == {"available": 15, "held": 2, "expired": 3}
    # What was carried over burns first, and is carried over no further than the maximum.
    assert drawn(session, 4, at=later(days=1)) == [(first, 4)]
    assert buckets(at=later(days=2)) == {"available": 15, "held": 6, "expired": 9}
    # 1 is left: carried over, and filled up to 3.
    drawn(session, 14, at=later(days=2))
    assert buckets(at=later(days=3)) == {"available": 13, "held": 20, "expired": 9}
    lots = [lot for lot in ledger.list_grants(session, "acme", at=later(days=3)) if lot.available]
    assert {lot.recurring_id for lot in lots} == {first}
    assert {lot.expires_at for lot in lots} == {later(days=4)}
    ledger.expire_due(session, account_id="acme", at=later(days=3))
    assert is_sound(session)


def test_a_recurrence_may_only_fill_up(session: Session, empty: str, buckets: Buckets) -> None:
    grant(session, 10, recurrence=ledger.Recurrence("week", amount=0, rollover_min=4, rollover_max=4))
    assert buckets(at=later(days=7)) == {"available": 4, "expired": 6}
    drawn(session, 3, at=later(days=8))
    assert buckets(at=later(days=14)) == {"available": 4, "held": 3, "expired": 6}
    drawn(session, 4, at=later(days=15))
    assert buckets(at=later(days=21)) == {"available": 4, "held": 7, "expired": 6}
    ledger.expire_due(session, account_id="acme", at=later(days=60))
    assert is_sound(session)


def test_a_century_of_hours_is_bounded_by_the_calendar(session: Session, empty: str) -> None:
    end = datetime(9999, 12, 31, 23, 30, tzinfo=UTC)
    ledger.open_account(session, "late", at=end)
    ledger.grant_credits(session, "late", 5, recurrence=ledger.Recurrence("hour"), at=end)
    assert ledger.get_balance(session, "late", at=end + timedelta(minutes=29)).available == 5
    ledger.expire_due(session, account_id="late", at=end + timedelta(minutes=29))
    assert is_sound(session)


def test_a_renewed_allowance_repays_what_the_line_lent(session: Session) -> None:
    ledger.open_account(session, "acme", at=START)
    ledger.set_credit_line(session, "acme", 100, at=START)
    ledger.grant_credits(session, "acme", 10, recurrence=ledger.Recurrence("day"), at=START)
    ledger.capture(session, ledger.reserve(session, "acme", 14, at=START).reservation_id, at=START)
    balance = ledger.get_balance(session, "acme", at=later(days=1))
    assert (balance.owed, balance.available) == (0, 6)
    ledger.expire_due(session, account_id="acme", at=later(days=1))
    assert is_sound(session)
