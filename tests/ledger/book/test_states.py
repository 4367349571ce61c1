"""An account in memory: its forks, its grants, its limits and its credit line."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

import ledger
from ledger.book.states import AccountState
from ledger.model.moments import to_moment
from ledger.rules import decide
from ledger.storage import snapshots
from tests.ledger.auditing.test_every_value import write_book
from tests.ledger.conftest import later

SHARED = {"scope", "recurrence", "labels", "counted"}
"""Fields that are replaced and never changed, and so may be shared."""


def state_of(session: Session, commands: list[ledger.Command]) -> AccountState:
    """An account of every kind of grant and hold, as a batch of these commands would see it."""
    write_book(session, "acme")
    needs = snapshots.Needs.of(commands, to_moment(later(10_000_000)))
    accounts = snapshots.read_accounts(session.connection(), ["acme"])
    snapshots.fill(session.connection(), accounts, needs)
    return accounts["acme"]


def changeable(value: Any) -> dict[int, Any]:
    """All objects within a value that can be changed, by identity."""
    found: dict[int, Any] = {}
    if isinstance(value, dict | list):
        found[id(value)] = value
        for part in value.values() if isinstance(value, dict) else value:
            found |= changeable(part)
    elif type(value).__module__ == "ledger.book.states":
        found[id(value)] = value
        for field in fields(value):
            if field.name not in SHARED:
                found |= changeable(getattr(value, field.name))
    return found


def commands() -> list[ledger.Command]:
    """One of each that changes an account, after years asleep."""
    at = later(10_000_000)
    return [
        ledger.Reserve("acme", 3, "new", expires_in=timedelta(days=1), labels={"project": "p"}, at=at),
        ledger.GrantCredits("acme", 4, "more", at=at),
        ledger.SetLimit("acme", "day", 7, label="project", at=at),
        ledger.SetCreditLine("acme", 90, at=at),
        ledger.Adjust("acme", -1, "x", at=at),
    ]


def test_a_fork_is_equal_and_shares_nothing_that_changes(session: Session) -> None:
    state = state_of(session, commands())
    fork = state.fork()
    assert repr(fork) == repr(state)
    assert changeable(state)
    assert not changeable(state).keys() & changeable(fork).keys()
    assert state.line is not None
    assert fork.line is fork.grants[state.line.number]


def test_what_becomes_of_a_fork_leaves_the_account_as_it_was(session: Session) -> None:
    state = state_of(session, commands())
    before = repr(state)
    accounts = {"acme": state.fork()}
    results = decide(accounts, commands(), to_moment(later(10_000_000)))
    assert not [result for result in results if isinstance(result, Exception)]
    assert len(accounts["acme"].postings) > len(commands())
    assert repr(state) == before
