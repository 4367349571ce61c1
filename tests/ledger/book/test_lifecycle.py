"""The life of a hold: one table of states, which the journal's entries follow."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

import ledger
from ledger import EntryKind, ReservationState
from ledger.book.lifecycle import STATE_AFTER, is_due, state_at
from tests.ledger.conftest import START, later


def test_every_kind_of_entry_leaves_a_hold_in_the_state_of_the_table(session: Session, acme: str) -> None:
    """Holds made, extended, captured, released and expired, and what each answers."""
    second = timedelta(seconds=1)
    names = [ledger.reserve(session, acme, 1, expires_in=second, at=START).reservation_id for _ in range(4)]
    assert ledger.get_reservation(session, names[0], at=START).state == STATE_AFTER[EntryKind.RESERVE]
    assert ledger.extend(session, names[0], second, at=START).state == STATE_AFTER[EntryKind.EXTEND]
    assert ledger.capture(session, names[1], at=START).state == STATE_AFTER[EntryKind.CAPTURE]
    assert ledger.release(session, names[2], at=START).state == STATE_AFTER[EntryKind.RELEASE]
    ledger.expire_due(session, account_id=acme, at=later(1))
    assert ledger.get_reservation(session, names[3], at=later(1)).state == STATE_AFTER[EntryKind.EXPIRE]
    assert ledger.get_reservation(session, names[0], at=later(1)).state == ReservationState.HELD


@pytest.mark.parametrize("state", ReservationState)
def test_only_what_is_held_lapses_and_from_its_very_moment_on(state: ReservationState) -> None:
    """A hold without an expiry never lapses; a state other than held never changes."""
    is_held = state is ReservationState.HELD
    assert [is_due(state, 10, moment) for moment in (9, 10, 11)] == [False, is_held, is_held]
    assert not is_due(state, None, 2**62)
    assert state_at(state, 10, 9) == state
    assert state_at(state, 10, 10) == (ReservationState.EXPIRED if is_held else state)
