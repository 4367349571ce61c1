"""What the rules decide can be read back from the entries alone, whatever was asked and in whatever order of time."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

import ledger
from ledger.auditing.replay import Replay
from ledger.book.buckets import BALANCES, CONSUMED, HELD, OWED
from ledger.book.postings import entry_row, genesis
from ledger.book.states import AccountState
from ledger.model.moments import to_moment
from ledger.rules import decide
from ledger.storage.rows import grant_row, reservation_row
from tests.laws import examples
from tests.laws.commands import START, Chance

NOW = to_moment(START)
NAME = "acme"


def compare(replay: Replay, state: AccountState) -> None:
    """Every row that the entries speak of is what the rules made of it."""
    for number, hold in (replay.open_holds | replay.closed_holds).items():
        assert reservation_row(NAME, hold) == reservation_row(NAME, state.holds[number])
    for number, grant in state.grants.items():
        assert grant_row(NAME, replay.grants[number]) == grant_row(NAME, grant)
        assert min(grant.buckets) >= 0
        assert grant.buckets[0] == sum(grant.buckets[1:])
        assert 0 <= grant.repaid <= grant.buckets[CONSUMED]
    for key, usage in replay.usage.items():
        assert (usage.spent, usage.holds) == (state.usage[key].spent, state.usage[key].holds)
        assert min(usage.spent, usage.holds) >= 0
    terms = (state.credit_limit, len(state.limits), state.scoped_count)
    assert terms == (replay.credit_limit, len(replay.limits), replay.scoped_count)


def check_figures(replay: Replay, state: AccountState) -> None:
    """What is held is what open holds hold, what is owed is what the line lent, and nothing comes due unnoticed."""
    assert sum(hold.held for hold in state.holds.values() if hold.state == "held") == state.buckets[HELD]
    assert state.buckets[OWED] == (state.line.buckets[0] if state.line else 0)
    due = replay.due()
    assert not due or (state.due_at is not None and state.due_at <= due[0][0])


@settings(max_examples=examples(60))
@given(seed=st.integers(0, 10**9))
def test_the_entries_say_all_that_the_rules_decided(seed: int) -> None:
    chance = Chance(seed, NAME)
    accounts = {NAME: AccountState(NAME, NOW, 0, NOW, genesis(NAME, NOW), [0] * len(BALANCES), None)}
    replay = Replay(NAME, NOW, genesis(NAME, NOW))
    for _ in range(80):
        command = chance.next_command(accounts[NAME])
        if command is None:
            continue
        head = accounts[NAME].head
        (result,) = decide(accounts, [command], NOW)
        state = accounts[NAME]
        if isinstance(result, Exception):
            assert state.head == head
            continue
        defects: list[tuple[str, str]] = []
        for posting in state.postings[replay.sequence :]:
            replay.follow(entry_row(posting), posting.transfers, defects)
        assert defects == []
        compare(replay, state)
        check_figures(replay, state)
        key = getattr(command, "key", None)
        if key is not None and isinstance(result, ledger.Grant | ledger.Reservation):
            (again,) = decide(accounts, [command], NOW)
            assert again == replace(result, replayed=True)
