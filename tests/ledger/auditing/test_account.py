"""The audit of one account: what is forged is found, at its entry, also when every hash follows again."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy.orm import Session

import ledger
from ledger.auditing.account import AccountAudit
from ledger.auditing.rows import PageRows, StoredRow, Window, read_page
from ledger.book.postings import entry_text, genesis, quote
from ledger.book.states import AccountState
from ledger.storage import snapshots
from tests.ledger.conftest import START, later

_HASH, _SEQUENCE = 16, 1
_ONLY_HASHED = {3: "at", 4: "recorded_at", 5: "scope", 6: "key", 7: "digest", 8: "reservation", 9: "details"}
"""Columns of an entry some of whose values nothing but the hash holds."""


@pytest.fixture
def account(session: Session) -> tuple[AccountState, PageRows]:
    """Ordinary holds over two grants, of which one lapses: captured, captured in part, released; one stays open."""
    ledger.open_account(session, "acme", at=START)
    ledger.grant_credits(session, "acme", 5, key="g", expires_at=later(100), at=START)
    ledger.grant_credits(session, "acme", 50, at=START)
    day = timedelta(days=1)
    holds = [
        ledger.reserve(session, "acme", 4, key=f"k{n}", at=later(n), expires_in=day if n else None) for n in (0, 1, 2)
    ]
    ledger.capture(session, holds[0].reservation_id, at=later(3))
    ledger.capture(session, holds[1].reservation_id, 1, key="c", at=later(4))
    ledger.release(session, holds[2].reservation_id, at=later(200))
    ledger.reserve(session, "acme", 7, at=later(201))
    connection = session.connection()
    state = snapshots.read_accounts(connection, ["acme"])["acme"]
    return state, read_page(connection, {"acme": state.sequence})[0]["acme"]


def audit(state: AccountState, rows: PageRows) -> list[ledger.Finding]:
    return AccountAudit(state, rows).findings(lambda _: None)


def rechained(state: AccountState, rows: PageRows) -> None:
    """Make every hash follow again, as a forger would who knows how."""
    head = genesis(state.account_id, state.opened_at)
    transfers = Window.of([], rows.others("ledger_transfer"), [], []).transfers
    entries: list[StoredRow] = []
    for row in rows.others("ledger_entry"):
        content = entry_text(quote(state.account_id), row, transfers.get(row[_SEQUENCE], ()))
        head = sha256(head + content.encode()).digest()
        entries.append((*row[:_HASH], head, *row[_HASH + 1 :]))
    rows.rows["ledger_entry"] = entries
    state.head = head


def forgeries(rows: PageRows, *, is_rechained: bool) -> Iterator[tuple[str, int, int, Any]]:
    """Another value for every value of every entry, transfer and reservation, but not for a hash made anew."""
    for table in ("ledger_entry", "ledger_transfer", "ledger_reservation"):
        for index, row in enumerate(rows.others(table)):
            for column, value in enumerate(row):
                if column and not (is_rechained and table == "ledger_entry" and column == _HASH):
                    for other in others(value):
                        if other != value:
                            yield table, index, column, other


def forge(rows: PageRows, table: str, index: int, column: int, value: Any) -> None:
    """Put another value in a row."""
    row = rows.rows[table][index]
    rows.rows[table][index] = (*row[:column], value, *row[column + 1 :])


def others(value: Any) -> list[Any]:
    if isinstance(value, int):
        return [value + 1, value - 1, -value, None]
    if isinstance(value, bytes):
        return [value[::-1], None]
    if isinstance(value, str):
        return [value.replace("4", "5"), value.replace(":", ": ", 1), "capture", "held", "expired", "available", None]
    return [1, "{}"]


def places(findings: list[ledger.Finding]) -> list[int | None]:
    """Where the first thing is wrong, if anything is: what follows from it may be told in other words."""
    return [finding.sequence for finding in findings[:1]]


def test_a_hold_that_ends_as_its_row_says_is_compared_at_once(account: tuple[AccountState, PageRows]) -> None:
    audit = AccountAudit(*account)
    (window,) = account[1].windows()
    assert list(audit._follow(window)) == []
    assert audit.replay.closed_holds == {}
    assert list(audit.replay.open_holds) == [9]


def test_every_value_that_is_altered_is_found_at_its_entry(account: tuple[AccountState, PageRows]) -> None:
    checked = 0
    for table, index, column, value in forgeries(account[1], is_rechained=False):
        state, rows = deepcopy(account)
        number = rows.rows[table][index][_SEQUENCE]
        forge(rows, table, index, column, value)
        found = audit(state, rows)
        assert found, (table, index, column, value)
        assert column == _SEQUENCE or found[0].sequence == number, (table, index, column, value)
        checked += 1
    assert checked > 800


def test_with_all_hashes_made_anew_every_forgery_is_found_unless_only_the_hash_holds_the_value(
    account: tuple[AccountState, PageRows],
) -> None:
    checked = 0
    for table, index, column, value in forgeries(account[1], is_rechained=True):
        state, rows = deepcopy(account)
        forge(rows, table, index, column, value)
        try:
            rechained(state, rows)
        except (TypeError, AttributeError):  # what cannot be hashed cannot be forged either
            continue
        found = audit(state, rows)
        assert found or (table == "ledger_entry" and column in _ONLY_HASHED), (table, index, column, value)
        checked += 1
    assert checked > 700


def test_compared_at_once_or_with_its_window_every_forgery_is_found_or_passed_at_the_same_entry(
    account: tuple[AccountState, PageRows], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries of a window that is not chained as a whole are hashed one by one, and its holds compared at its end."""
    checked = 0
    for table, index, column, value in forgeries(account[1], is_rechained=True):
        state, rows = deepcopy(account)
        forge(rows, table, index, column, value)
        try:
            rechained(state, rows)
        except (TypeError, AttributeError):
            continue
        at_once = audit(deepcopy(state), rows)
        with monkeypatch.context() as patch:
            patch.setattr(Window, "is_chained_to", lambda *_: False)
            by_window = audit(state, rows)
        assert places(at_once) == places(by_window), (table, index, column, value)
        checked += 1
    assert checked > 700
