"""The rules alone, in memory: no database, no clock, the same decision for the same state."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import ledger
from ledger.book.postings import chain_hash, genesis
from ledger.book.states import AccountState
from ledger.model.moments import to_moment
from ledger.rules import decide
from tests.ledger.conftest import START, later

NOW = to_moment(START)


def account(name: str = "acme") -> AccountState:
    """An account just opened."""
    return AccountState(name, NOW, 0, NOW, genesis(name, NOW), [0] * 8, None)


COMMANDS: list[ledger.Command] = [
    ledger.GrantCredits("acme", 10, "g", expires_at=later(60)),
    ledger.Reserve("acme", Decimal("2.5"), "r", timedelta(seconds=5)),
    ledger.Reserve("acme", 100),
    ledger.Reserve("acme", 1, at=later(5)),
    ledger.ExpireDue("acme", later(60)),
]


def test_the_same_commands_on_the_same_state_are_decided_alike() -> None:
    first, second = {"acme": account()}, {"acme": account()}
    assert list(map(repr, decide(first, COMMANDS, NOW))) == list(map(repr, decide(second, COMMANDS, NOW)))
    assert first["acme"].head == second["acme"].head
    assert [posting.kind for posting in first["acme"].postings] == ["grant", "reserve", "expire", "reserve", "expire"]


def test_each_entry_is_hashed_over_the_one_before_and_all_its_own_fields() -> None:
    state = account()
    decide({"acme": state}, COMMANDS, NOW)
    previous = genesis("acme", NOW)
    for posting in state.postings:
        assert posting.hash == chain_hash(previous, posting)
        previous = posting.hash
    assert previous == state.head
    fields = ("sequence", "at", "recorded_at", "scope", "key", "kind", "reservation", "details", "transfers", "buckets")
    for name in fields:
        (posting,) = state.postings[:1]
        kept = getattr(posting, name)
        others = {"transfers": [(1, 0, 1, 7)], "buckets": (*posting.buckets[:-1], 7), "reservation": 7, "key": None}
        setattr(posting, name, others.get(name, "altered" if isinstance(kept, str) else 7))
        assert chain_hash(genesis("acme", NOW), posting) != posting.hash, name
        setattr(posting, name, kept)


def test_every_decision_leaves_every_credit_somewhere() -> None:
    state = account()
    decide({"acme": state}, COMMANDS, NOW)
    for posting in state.postings:
        issued, *places = posting.buckets
        assert issued == sum(places)
        assert min(places) >= 0
    for grant in state.grants.values():
        assert grant.buckets[0] == sum(grant.buckets[1:])


def test_an_account_that_is_not_in_memory_does_not_exist() -> None:
    (refused,) = decide({}, [ledger.Reserve("acme", 1)], NOW)
    assert isinstance(refused, ledger.AccountNotFound)


def test_a_thousand_grants_burn_in_one_pass() -> None:
    state = account()
    grants: list[ledger.Command] = [ledger.GrantCredits("acme", 1, priority=number % 7) for number in range(1000)]
    decide({"acme": state}, grants, NOW)
    (hold,) = decide({"acme": state}, [ledger.Reserve("acme", 1000)], NOW)
    assert isinstance(hold, ledger.Reservation)
    assert len(hold.slices) == 1000
    priorities = [state.grants[int(part.grant_id.removeprefix("acme/g"))].priority for part in hold.slices]
    assert priorities == sorted(priorities)
