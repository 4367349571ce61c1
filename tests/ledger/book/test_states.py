"""An account in memory: its forks, its grants, its limits and its credit line."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

import ledger
from ledger import EntryKind
from ledger.book.buckets import AVAILABLE, EXPIRED, HELD, ISSUED, OWED, REVOKED
from ledger.book.burning import CREDIT_LINE
from ledger.book.states import AccountState, GrantState, LimitState
from ledger.model.moments import to_moment
from ledger.rules import decide
from ledger.storage import snapshots
from tests.ledger.auditing.test_every_value import write_book
from tests.ledger.conftest import later
from tests.ledger.shorthand import NOW, account

SHARED = {"scope", "recurrence", "labels", "counted"}
"""Fields that are replaced and never changed, and so may be shared."""


def state_of(session: Session, commands: list[ledger.Command]) -> AccountState:
    """An account of every kind of grant and hold, as a batch of these commands would see it."""
    write_book(session, "acme")
    needs = snapshots.Needs.of(commands, to_moment(later(10_000_000)))
    return snapshots.read_states(session.connection(), needs)["acme"]


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


def grant(**terms: Any) -> GrantState:
    """A paid grant of 10 micro-credits, all of them available."""
    return GrantState(**{"number": 1, "priority": 100, "expires_at": None, "buckets": [10, 10, 0, 0, 0, 0, 0]} | terms)


@pytest.mark.parametrize(
    ("terms", "place"),
    [
        ({}, AVAILABLE),
        ({"expires_at": 6}, AVAILABLE),
        ({"expires_at": 5}, EXPIRED),
        ({"revoked_at": 1}, REVOKED),
        ({"revoked_at": 1, "expires_at": 5}, REVOKED),
        ({"kind": CREDIT_LINE}, ISSUED),
    ],
)
def test_credits_that_a_hold_frees_go_where_the_rest_of_their_grant_went(terms: dict[str, Any], place: int) -> None:
    """At moment 5; a grant that was revoked before it lapsed stays revoked."""
    assert grant(**terms).place_of_freed(5) == place


@pytest.mark.parametrize(
    ("scope", "labels", "pays"),
    [
        (None, {}, True),
        ({"d": ["1", "2"]}, {"d": "2", "e": "9"}, True),
        ({"d": ["1", "2"]}, {"d": "3"}, False),
        ({"d": ["1"]}, {}, False),
        ({"d": ["1"], "e": ["1"]}, {"d": "1"}, False),
    ],
)
def test_a_grant_pays_for_holds_with_a_value_of_its_scope_for_each_label(
    scope: dict[str, list[str]] | None, labels: dict[str, str], pays: bool
) -> None:
    assert grant(scope=scope).pays_for(labels) is pays


@pytest.mark.parametrize(
    ("label", "value", "labels", "counted"),
    [
        ("", "*", {}, ""),
        ("", "*", {"p": "1"}, ""),
        ("p", "*", {"p": "1"}, "1"),
        ("p", "*", {}, None),
        ("p", "1", {"p": "1"}, "1"),
        ("p", "1", {"p": "2"}, None),
    ],
)
def test_a_hold_counts_under_the_value_of_the_label_that_a_limit_names(
    label: str, value: str, labels: dict[str, str], counted: str | None
) -> None:
    """Under "" where the limit is on the whole account, under nothing where it is not about the hold."""
    assert LimitState(1, label, value, "day", 5).value_of(labels) == counted


@pytest.mark.parametrize(
    ("limit", "owed", "issued", "lendable"),
    [(0, 0, 0, 0), (5, 2, 2, 3), (2, 5, 5, 0), (2**63 - 1, 0, 2**63 - 3, 2)],
)
def test_a_credit_line_lends_up_to_its_limit_and_to_64_bits(limit: int, owed: int, issued: int, lendable: int) -> None:
    state = account()
    state.credit_limit, state.buckets[OWED], state.buckets[ISSUED] = limit, owed, issued
    assert state.lendable() == lendable


def test_a_posting_moves_credits_of_its_grant_and_of_its_account_alike() -> None:
    """Between buckets the sum stays; issuing raises it; what goes back to a credit line lowers it and what is owed."""
    state = account()
    state.add_grant(grant(buckets=[0] * 7))
    state.add_grant(grant(number=2, kind=CREDIT_LINE, buckets=[0] * 7))

    def post(*transfers: tuple[int, int, int, int]) -> tuple[int, ...]:
        return state.post(EntryKind.GRANT, at=NOW, recorded_at=NOW, details={}, transfers=list(transfers)).buckets

    assert post((1, ISSUED, AVAILABLE, 10)) == (10, 10, 0, 0, 0, 0, 0, 0)
    assert post((1, AVAILABLE, HELD, 4), (2, ISSUED, HELD, 3)) == (13, 6, 7, 0, 0, 0, 0, 3)
    assert post((2, HELD, ISSUED, 3), (1, HELD, EXPIRED, 4)) == (10, 6, 0, 0, 4, 0, 0, 0)
    assert state.grants[1].buckets == [10, 6, 0, 0, 4, 0, 0]
    assert state.grants[2].buckets == [0] * 7
    assert [entry.sequence for entry in state.postings] == [1, 2, 3]


def test_the_earliest_due_moment_is_kept() -> None:
    state = account()
    for moment, due in ((None, None), (9, 9), (12, 9), (5, 5), (None, 5)):
        state.due_from(moment)
        assert state.due_at == due
