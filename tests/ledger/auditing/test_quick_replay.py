"""The quick lane takes ordinary entries, and never one in which the replay would find something."""

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
from ledger.auditing.quick_replay import QuickReplay, is_chained
from ledger.auditing.rows import PageRows, Row, Window, read_page
from ledger.book.postings import entry_text, genesis, quote
from ledger.book.states import AccountState
from ledger.storage import snapshots
from tests.ledger.conftest import START, later

_HASH, _SEQUENCE = 16, 1


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
    entries: list[Row] = []
    for row in rows.others("ledger_entry"):
        content = entry_text(quote(state.account_id), row, transfers.get(row[_SEQUENCE], ()))
        head = sha256(head + content.encode()).digest()
        entries.append((*row[:_HASH], head, *row[_HASH + 1 :]))
    rows.rows["ledger_entry"] = entries
    state.head = head


def forgeries(rows: PageRows) -> Iterator[tuple[str, int, int, Any]]:
    """Another value for every value of every entry, transfer and reservation."""
    for table in ("ledger_entry", "ledger_transfer", "ledger_reservation"):
        for index, row in enumerate(rows.others(table)):
            for column, value in enumerate(row):
                if column and not (table == "ledger_entry" and column == _HASH):
                    for other in others(value):
                        yield table, index, column, other


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


def test_ordinary_entries_are_taken(account: tuple[AccountState, PageRows], monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[bool] = []
    take = QuickReplay.take

    def count(self: QuickReplay, row: Row, moves: Any) -> bool:
        taken.append(take(self, row, moves))
        return taken[-1]

    monkeypatch.setattr(QuickReplay, "take", count)
    assert audit(*account) == []
    assert taken.count(True) >= 7


def test_with_the_quick_lane_and_without_every_forgery_is_found_or_passed_at_the_same_entry(
    account: tuple[AccountState, PageRows], monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = 0
    for table, index, column, value in forgeries(account[1]):
        state, rows = deepcopy(account)
        row = rows.rows[table][index]
        rows.rows[table][index] = (*row[:column], value, *row[column + 1 :])
        try:
            rechained(state, rows)
        except (TypeError, AttributeError):  # what cannot be hashed cannot be forged either
            continue
        quick = audit(deepcopy(state), rows)
        with monkeypatch.context() as patch:
            patch.setattr(QuickReplay, "take", lambda *_: False)
            slow = audit(state, rows)
        assert places(quick) == places(slow), (table, index, column, value)
        checked += 1
    assert checked > 300


def test_a_chain_is_sound_until_any_value_of_an_entry_changes(account: tuple[AccountState, PageRows]) -> None:
    state, rows = account
    head = genesis("acme", state.opened_at)
    (window,) = rows.windows()
    assert is_chained("acme", head, window.entries, window.transfers)
    assert not is_chained("acme", head, window.entries[1:], window.transfers)
    for index, row in enumerate(window.entries):
        forged = [*window.entries]
        forged[index] = (*row[:3], row[3] + 1, *row[4:])
        assert not is_chained("acme", head, forged, window.transfers)
