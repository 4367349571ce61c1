"""The rows that an audit reads: windows of entries, and whether they are chained."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session

import ledger
from ledger.auditing import rows as audit_rows
from ledger.auditing.rows import StreamedRows, Window, list_columns, read_page
from ledger.book.postings import genesis
from ledger.storage import snapshots
from tests.ledger.conftest import START, later


@pytest.fixture
def holds(session: Session) -> Session:
    """An account of seven entries: a grant, and three holds, of which each is captured."""
    ledger.open_account(session, "acme", at=START)
    ledger.grant_credits(session, "acme", 50, at=START)
    for turn in range(3):
        hold = ledger.reserve(session, "acme", 4, key=f"k{turn}", at=later(2 * turn))
        ledger.capture(session, hold.reservation_id, at=later(2 * turn + 1))
    return session


def chain_of(session: Session) -> tuple[bytes, list[Window]]:
    """What the first entry is chained to, and the windows."""
    connection = session.connection()
    state = snapshots.read_accounts(connection, ["acme"])["acme"]
    return genesis("acme", state.opened_at), list(StreamedRows(connection, "acme", state.sequence).windows())


def test_a_window_is_chained_until_any_value_of_an_entry_changes(holds: Session) -> None:
    head, (window,) = chain_of(holds)
    entries = window.entries
    assert window.is_chained_to("acme", head)
    window.entries = entries[1:]
    assert not window.is_chained_to("acme", head)
    for index, row in enumerate(entries):
        window.entries = [*entries[:index], (*row[:3], row[3] + 1, *row[4:]), *entries[index + 1 :]]
        assert not window.is_chained_to("acme", head)


def test_a_window_with_a_value_that_cannot_be_hashed_is_not_chained(holds: Session) -> None:
    head, (window,) = chain_of(holds)
    first: tuple[Any, ...] = window.entries[0]
    window.entries = [(*first[:7], 5, *first[8:])]
    assert not window.is_chained_to("acme", head)


def test_windows_follow_one_another_and_together_are_the_page(holds: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    head, (whole,) = chain_of(holds)
    (page,) = read_page(holds.connection(), {"acme": 7})[0]["acme"].windows()
    assert (page.entries, page.transfers, page.reservations) == (whole.entries, whole.transfers, whole.reservations)
    monkeypatch.setattr(audit_rows, "WINDOW", 2)
    head, windows = chain_of(holds)
    assert [len(window.entries) for window in windows] == [2, 2, 2, 1]
    assert [entry for window in windows for entry in window.entries] == whole.entries
    assert whole.reservations == {number: row for window in windows for number, row in window.reservations.items()}
    for window in windows:
        assert window.is_chained_to("acme", head)
        head = window.entries[-1][audit_rows.HASH]


def test_transfers_that_are_not_numbered_from_zero_are_misplaced() -> None:
    transfers = [
        ("acme", 1, 0, 1, "issued", "available", 5),
        ("acme", 2, 1, 1, "available", "held", 5),
        ("acme", 3, 0, 1, "held", "nowhere", 5),
    ]
    window = Window.of([], transfers)
    assert window.misplaced == {2}
    assert window.transfers == {1: [(1, 0, 1, 5)], 2: [(1, 1, 2, 5)], 3: [(1, 2, "nowhere", 5)]}


def test_columns_of_accounts_are_read_in_the_order_of_their_ids_over_any_number_of_pages(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_rows, "ACCOUNTS_PAGE", 2)
    names = ["a", "b", "c", "d", "e"]
    ledger.execute(session, [ledger.OpenAccount(name) for name in reversed(names)])
    rows = list(list_columns(session.connection(), "account_id", "sequence"))
    assert [tuple(row) for row in rows] == [(name, 0) for name in names]
