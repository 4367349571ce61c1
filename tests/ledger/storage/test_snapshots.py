"""What a batch reads of its accounts: the rows that its commands name, and the first of very many grants."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

import ledger
from tests.ledger.conftest import START, later
from tests.ledger.shorthand import drawn, grant, is_sound, standing


def test_an_account_of_very_many_grants_burns_them_in_the_same_order(session: Session, empty: str) -> None:
    commands = [
        ledger.GrantCredits("acme", 1, priority=number % 5, expires_at=later(days=1 + number % 3), at=START)
        for number in range(300)
    ]
    ledger.execute(session, commands)
    ledger.execute(session, [ledger.Reserve("acme", 10, at=START) for _ in range(5)])
    hold = ledger.reserve(session, "acme", 200, at=START)
    places = [(g.priority, g.expires_at) for part in hold.slices for g in [standing(session, part.grant_id)]]
    assert places == sorted(places)
    # Reading on from the first page, a batch still sees its own grants in their place.
    late = ledger.GrantCredits("acme", 1, priority=9, at=START)
    _, last = ledger.execute(session, [late, ledger.Reserve("acme", 51, at=START)])
    assert isinstance(last, ledger.Reservation)
    assert len(last.slices) == 51
    assert last.slices[-1].grant_id == "acme/g307"
    with pytest.raises(ledger.InsufficientCredits):
        ledger.reserve(session, "acme", 1, at=START)
    assert is_sound(session)


def test_grants_beyond_the_first_page_are_read_when_they_are_needed(session: Session, empty: str) -> None:
    """Without expiries nothing comes due, and only the first grants in burn order are read at first."""
    numbers = [number % 7 for number in range(200)]
    ledger.execute(session, [ledger.GrantCredits("acme", 1, priority=number, at=START) for number in numbers])
    assert [part for _, part in drawn(session, 10)] == [1] * 10
    # A grant made in the batch has its place behind those that were not read yet.
    batch = [ledger.GrantCredits("acme", 5, priority=6, at=START), ledger.Reserve("acme", 60, at=START)]
    _, hold = ledger.execute(session, batch)
    assert isinstance(hold, ledger.Reservation)
    places = [standing(session, part.grant_id).priority for part in hold.slices]
    assert places == sorted(places)
    assert len(places) == 60
    # More than the first page has is asked for, and then more than there is.
    assert len(drawn(session, 100)) == 100
    assert drawn(session, 35)[-1] == ("acme/g202", 5)
    with pytest.raises(ledger.InsufficientCredits):
        ledger.reserve(session, "acme", 1, at=START)
    assert is_sound(session)


def test_what_a_hold_frees_beyond_the_first_page_keeps_its_place(session: Session, empty: str) -> None:
    last = grant(session, 5, priority=9)
    hold = ledger.reserve(session, "acme", 5, at=START)
    ledger.execute(session, [ledger.GrantCredits("acme", 1, priority=1, at=START) for _ in range(100)])
    freed, all_of_it = ledger.execute(
        session, [ledger.Release(hold.reservation_id, at=START), ledger.Reserve("acme", 104, at=START)]
    )
    assert isinstance(freed, ledger.Reservation)
    assert isinstance(all_of_it, ledger.Reservation)
    assert (all_of_it.slices[-1].grant_id, all_of_it.slices[-1].amount) == (last, 4)
    assert is_sound(session)
