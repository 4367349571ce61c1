"""Entries read back: in windows, by number and by key, and the place of a moment among them."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

import ledger
from ledger.model.moments import to_moment
from ledger.schema.triggers import remove_triggers
from ledger.storage import history
from ledger.storage.history import sequence_before
from tests.ledger.conftest import START, later

FIRST = to_moment(START)
RHYTHMS: dict[str, Callable[[random.Random, int], int]] = {
    "even": lambda _random, number: number * 1000,
    "random": lambda random, _number: random.randrange(400_000),
    "all at once": lambda _random, _number: 5,
    "in bursts": lambda random, number: number // 40 * 10**9 + random.randrange(3),
    "ever faster": lambda _random, number: 10**12 - 10**12 // (number + 1),
    "ever slower": lambda _random, number: 2 ** (number // 10),
    "one long ago": lambda _random, number: 10**15 + number if number else 0,
}


@pytest.mark.parametrize("rhythm", RHYTHMS)
@pytest.mark.parametrize("count", [0, 1, 2, 3, 64, 400])
def test_the_place_of_any_moment_is_found(session: Session, rhythm: str, count: int) -> None:
    ledger.open_account(session, "acme", at=START)
    connection = session.connection()
    draw = random.Random(count)
    moments = write_entries(connection, sorted(FIRST + RHYTHMS[rhythm](draw, number) for number in range(count)))
    asked = {FIRST - 1, FIRST, FIRST + 2**62 // 1000, *moments, *(m + 1 for m in moments), *(m - 1 for m in moments)}
    asked |= {draw.randrange(FIRST, FIRST + 10**12) for _ in range(20)}
    for moment in draw.sample(sorted(asked), min(len(asked), 60)):
        assert sequence_before(connection, "acme", moment) == bisect_left(moments, moment)
        last = draw.randrange(count + 1)
        assert sequence_before(connection, "acme", moment, last) == bisect_left(moments[:last], moment)


def write_entries(connection: Connection, moments: list[int]) -> list[int]:
    """Entries of these moments, and nothing else of a book."""
    remove_triggers(connection)
    insert = (
        "INSERT INTO ledger_entry (account_id, sequence, kind, at, recorded_at, scope, details, issued, available,"
        " held, consumed, expired, revoked, hash, scheduled, owed) VALUES"
        " ('acme', :sequence, 'expire', :at, :at, '', '{}', 0, 0, 0, 0, 0, 0, :hash, 0, 0)"
    )
    rows = [{"sequence": number, "at": at, "hash": bytes(32)} for number, at in enumerate(moments, 1)]
    if rows:
        connection.execute(text(insert), rows)
        change = text("UPDATE ledger_account SET sequence = :sequence, at = :at, head = :hash")
        connection.execute(change, rows[-1])
    return moments


def fill(session: Session, name: str, count: int) -> None:
    """An account with entries of these sequences, each of the moment that its sequence is in seconds."""
    ledger.open_account(session, name, at=START)
    ledger.execute(session, [ledger.GrantCredits(name, 1, f"k{n}", at=later(n)) for n in range(1, count + 1)])


@pytest.mark.parametrize(("after", "last"), [(0, 2**63 - 1), (0, 5), (2, 5), (5, 7), (3, 3), (7, 9), (6, 2**62)])
@pytest.mark.parametrize("window", [1, 2, 3, 100])
def test_windows_have_every_entry_after_one_and_up_to_another_once_with_its_transfers(
    session: Session, monkeypatch: pytest.MonkeyPatch, after: int, last: int, window: int
) -> None:
    """Of one account alone, each window as long as it may be."""
    monkeypatch.setattr(history, "WINDOW", window)
    fill(session, "acme", 7)
    fill(session, "acme2", 3)
    windows = list(history.read_windows(session.connection(), "acme", after=after, last=last))
    expected = list(range(after + 1, min(last, 7) + 1))
    assert [posting.sequence for part in windows for posting in part] == expected
    assert all(len(part) == window for part in windows[:-1])
    assert all(posting.transfers == [(posting.sequence, 0, 1, 10**6)] for part in windows for posting in part)


def test_an_entry_is_read_by_its_number_and_by_its_key_alike(session: Session) -> None:
    fill(session, "acme", 3)
    connection = session.connection()
    (by_number,) = history.read_postings(connection, [("acme", 2)])
    by_key = history.read_keyed(connection, "acme", "", "k2")
    assert repr(by_key) == repr(by_number)
    assert (by_number.sequence, by_number.key) == (2, "k2")
    assert history.read_keyed(connection, "acme", "launch:d", "k2") is None
    assert history.read_keyed(connection, "other", "", "k2") is None
    assert history.read_postings(connection, [("acme", 4), ("other", 2)]) == []


def test_the_balance_around_a_moment_is_that_of_the_entries_before_it(session: Session) -> None:
    """An entry counts from the microsecond after its moment on; before the first entry all is zero."""
    fill(session, "acme", 2)
    for seconds, issued in ((1, 0), (1.000001, 1), (2, 1), (2.000001, 2)):
        assert history.buckets_before(session, "acme", to_moment(later(seconds)))[0] == issued * 10**6
    assert [history.buckets_after(session, "acme", sequence)[:2] for sequence in (0, 1, 2)] == [
        (0, 0), (10**6, 10**6), (2 * 10**6, 2 * 10**6),
    ]  # fmt: skip


def test_the_marks_of_an_account_tell_whether_a_read_was_overtaken(session: Session) -> None:
    fill(session, "acme", 2)
    connection = session.connection()
    assert (history.read_marks(connection, "acme"), history.read_sequence(connection, "acme")) == ((2, 0), 2)
    assert (history.read_marks(connection, "other"), history.read_sequence(connection, "other")) == (None, None)


def test_an_account_that_is_not_open_is_refused(session: Session) -> None:
    fill(session, "acme", 0)
    history.require_account(session, "acme")
    with pytest.raises(ledger.AccountNotFound):
        history.require_account(session, "other")
    with pytest.raises(ledger.CommandInvalid):
        history.require_account(session, "")
