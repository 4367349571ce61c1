"""Invariants of a book at any moment, computed from its tables without the audit's code."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from ledger.auditing.book import audit
from ledger.book.buckets import BALANCES, BUCKETS

_PLACES = BUCKETS[1:]


def assert_sound(session: Session) -> None:
    """Raise `AssertionError` with a sentence unless the audit is clean and every account adds up.

    The audit finds nothing. For each account: its buckets are those of its last entry and the sums of its grants; its
    bucket `held` is the sum of its open holds, and each hold the sum of its slices; what it owes is what its credit
    line has lent; no bucket is below zero.
    """
    findings = list(audit(session))
    assert not findings, f"the audit found: {findings[0]}"
    for account_id in session.execute(text("SELECT account_id FROM ledger_account ORDER BY 1")).scalars().all():
        _check_account(session, account_id)


def _check_account(session: Session, account_id: str) -> None:
    figures = _one(session, f"SELECT {', '.join(BALANCES)} FROM ledger_account {_OF}", account_id)
    named = dict(zip(BALANCES, figures, strict=True))
    assert min(figures) >= 0, f"account {account_id!r} has a bucket below zero: {named}"
    assert named["issued"] == sum(named[place] for place in _PLACES), f"{account_id!r}: places do not sum: {named}"
    last = _one(session, f"SELECT {', '.join(BALANCES)} FROM ledger_entry {_OF} ORDER BY sequence DESC", account_id)
    assert last is None or last == figures, f"{account_id!r} has {figures}, its last entry {last}"
    sums = ", ".join(f"coalesce(sum({place}), 0)" for place in _PLACES)
    grants = _one(session, f"SELECT {sums} FROM ledger_grant {_OF}", account_id)
    assert tuple(map(int, grants)) == figures[1 : len(BUCKETS)], f"{account_id!r}: grants sum to {grants}, not {named}"
    lent = _one(
        session, f"SELECT coalesce(sum(amount), 0) FROM ledger_grant {_OF} AND kind = 'credit_line'", account_id
    )
    assert int(lent[0]) == named["owed"], f"{account_id!r} owes {named['owed']}, its line has lent {lent[0]}"
    _check_holds(session, account_id, named["held"])


def _check_holds(session: Session, account_id: str, held: int) -> None:
    rows = session.execute(
        text(f"SELECT number, amount - captured, slices FROM ledger_reservation {_OF} AND state = 'held'"),
        {"account_id": account_id},
    ).all()
    for number, left, slices in rows:
        parts = sum(part[1] for part in json.loads(slices))
        assert parts == left, f"{account_id!r}: hold {number} has {left} left, its slices {parts}"
    assert sum(row[1] for row in rows) == held, f"{account_id!r} holds {held}, its open holds {rows}"


_OF = "WHERE account_id = :account_id"


def _one(session: Session, statement: str, account_id: str) -> Any:
    row = session.execute(text(statement + " LIMIT 1"), {"account_id": account_id}).one_or_none()
    return None if row is None else tuple(row)
