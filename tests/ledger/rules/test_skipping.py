"""A sketch of an account that slept is what recording every period would leave, and is worked out without them."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import ledger
from ledger.book.buckets import AVAILABLE, BALANCES, HELD, SCHEDULED
from ledger.book.postings import genesis
from ledger.book.states import AccountState
from ledger.model.moments import to_moment
from ledger.rules import decide, record_due, timeline

START = datetime(2026, 1, 31, 10, tzinfo=UTC)
NOW = to_moment(START)


def slept(commands: list[ledger.Command]) -> AccountState:
    """An account after some commands, all of them accepted."""
    accounts = {"a": AccountState("a", NOW, 0, NOW, genesis("a", NOW), [0] * len(BALANCES), None)}
    results = decide(accounts, commands, NOW)
    assert not [result for result in results if isinstance(result, Exception)]
    return accounts["a"]


def standing(state: AccountState) -> dict[str, Any]:
    """All that a reading tells of an account: its figures, and its live grants by number."""
    live = {
        number: (grant.expires_at, grant.buckets[AVAILABLE], grant.buckets[HELD], grant.recurrence)
        for number, grant in state.grants.items()
        if grant.buckets[AVAILABLE] or grant.buckets[HELD] or grant.buckets[SCHEDULED] or grant.recurrence
    }
    return {"buckets": state.buckets, "sequence": state.sequence, "at": state.at, "due": state.due_at, "live": live}


def recorded(state: AccountState, moments: Iterable[datetime]) -> list[dict[str, Any]]:
    """Where an account stands at some moments when every period until then is recorded."""
    return [_standing_at(state, at, is_sketch=False) for at in moments]


def sketched(state: AccountState, moments: Iterable[datetime]) -> list[dict[str, Any]]:
    """Where a sketch of it stands at the same moments."""
    return [_standing_at(state, at, is_sketch=True) for at in moments]


def _standing_at(state: AccountState, at: datetime, *, is_sketch: bool) -> dict[str, Any]:
    copy = state.fork()
    copy.is_sketch = is_sketch
    entries = record_due(copy, to_moment(at), to_moment(at))
    assert not (is_sketch and entries)
    return standing(copy)


RECURRENCES = [
    ledger.Recurrence("hour"),
    ledger.Recurrence("hour", rollover_max=20),
    ledger.Recurrence("hour", count=7, rollover_max=13),
    ledger.Recurrence("day", rollover_min=3, rollover_max=8),
    ledger.Recurrence("week", amount=2, rollover_max=1),
    ledger.Recurrence("month", rollover_max=50),
    ledger.Recurrence("month", rollover_min=4, rollover_max=4),
    ledger.Recurrence("year", rollover_max=5),
]


@pytest.mark.parametrize("recurrence", RECURRENCES, ids=lambda each: f"{each.count} {each.every} {each.rollover_max}")
@pytest.mark.parametrize("spent", [0, 1, 5])
def test_a_sketch_leaves_what_recording_every_period_leaves(recurrence: ledger.Recurrence, spent: int) -> None:
    """At moments before, at and after boundaries, soon and years later."""
    commands: list[ledger.Command] = [ledger.GrantCredits("a", 5, recurrence=recurrence, at=START)]
    if spent:
        commands.append(ledger.Adjust("a", -spent, reason="spent", at=START))
    state = slept(commands)
    chance = random.Random(5)
    moments = [START + timedelta(hours=chance.randrange(1, 24 * 70)) for _ in range(4)]
    years = [] if recurrence.every in ("hour", "day") else [START + timedelta(days=365 * 9)]
    moments += [*years, START + timedelta(hours=1), START + timedelta(days=70, microseconds=-1)]
    assert sketched(state, moments) == recorded(state, moments)


def test_a_recurrence_that_ends_is_not_skipped_beyond_its_end() -> None:
    """Neither a boundary before the end, nor the end itself, nor what comes after."""
    ends = START + timedelta(days=30, minutes=5)
    state = slept(
        [ledger.GrantCredits("a", 5, recurrence=ledger.Recurrence("hour", rollover_max=7), expires_at=ends, at=START)]
    )
    moments = [ends - timedelta(hours=3), ends - timedelta(microseconds=1), ends, ends + timedelta(days=90)]
    assert sketched(state, moments) == recorded(state, moments)


NEIGHBOURS: dict[str, list[ledger.Command]] = {
    "another recurrence": [ledger.GrantCredits("a", 3, recurrence=ledger.Recurrence("day"), at=START)],
    "a grant that lapses": [ledger.GrantCredits("a", 3, expires_at=START + timedelta(days=9), at=START)],
    "a grant to come": [ledger.GrantCredits("a", 3, effective_at=START + timedelta(days=9), at=START)],
    "a hold that lapses": [ledger.Reserve("a", 2, expires_in=timedelta(days=9), at=START)],
    "a hold that stays": [ledger.Reserve("a", 2, at=START)],
    "a line that is repaid": [ledger.SetCreditLine("a", 900, at=START), ledger.Reserve("a", 800, at=START)],
    "a grant for ever": [ledger.GrantCredits("a", 3, at=START)],
}


@pytest.mark.parametrize("neighbours", NEIGHBOURS.values(), ids=NEIGHBOURS)
def test_what_else_is_in_the_account_is_seen_too(neighbours: list[ledger.Command]) -> None:
    """Periods are skipped only where nothing else comes due; what does is never passed over."""
    hourly = ledger.GrantCredits("a", 5, recurrence=ledger.Recurrence("hour", rollover_max=11), at=START)
    state = slept([hourly, *neighbours])
    if "repaid" in next(name for name, given in NEIGHBOURS.items() if given is neighbours):
        accounts = {"a": state}
        decide(accounts, [ledger.Capture("a/r3", 800, at=START)], NOW)
        state = accounts["a"]
    moments = [START + timedelta(days=days) for days in (1, 12, 40)]
    assert sketched(state, moments) == recorded(state, moments)


def test_what_would_not_fit_into_64_bits_is_gone_through_period_by_period() -> None:
    """The account's total stops growing at its bound, as it does when it is recorded."""
    state = slept([ledger.GrantCredits("a", 10**11, recurrence=ledger.Recurrence("hour", rollover_max=5), at=START)])
    moments = [START + timedelta(days=6)]
    assert sketched(state, moments) == recorded(state, moments)


def test_a_century_of_hours_is_sketched_in_a_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The renewals that are gone through are counted, not timed."""
    state = slept([ledger.GrantCredits("a", 5, recurrence=ledger.Recurrence("hour", rollover_max=20), at=START)])
    renewals: list[int] = []
    renew = timeline._renew

    def counted(*given: Any) -> Any:
        renewals.append(1)
        return renew(*given)

    monkeypatch.setattr(timeline, "_renew", counted)
    state.is_sketch = True
    at = to_moment(START.replace(year=2126))
    record_due(state, at, at)
    assert len(renewals) < 20
    assert state.buckets[AVAILABLE] == 25_000_000
    assert state.sequence == 1 + (at - NOW) // 3_600_000_000
