"""Makes the rows of a big book, in memory: the ledger's own rules decide, its own journal says what a row is.

A book is one hot account with half of the entries, and accounts of 500 entries with the other half. Each account
is granted credits again and again, and holds what runs cost: of 16 holds 13 are captured, which spends the grant,
and 3 released; the last hold stays open. Keys are random, as those of clients are. Chains, balances, grants and
holds are what single calls would have made them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Any

import ledger
from ledger.book.buckets import AVAILABLE, HELD
from ledger.book.postings import entry_row
from ledger.book.states import AccountState, GrantState
from ledger.commands import Command
from ledger.model.ids import format_reservation_id
from ledger.model.moments import to_moment
from ledger.rules import decide
from ledger.storage import journal, rows
from ledger.storage.shapes import Write

HOT = "hot"
START = datetime(2025, 1, 1, tzinfo=UTC)
STEP_MICROS = 2_000_000
"""Between two entries of an account."""

ORDINARY_ENTRIES = 500
_HOLDS = 16
_RELEASED = (4, 9, 14)
_CAPTURES = _HOLDS - len(_RELEASED)
_ROUND_ENTRIES = 1 + 2 * _HOLDS
_LAST_ENTRIES = 2
_PORTION_ROUNDS = 100
_AMOUNT = Decimal("1.5")
_PLENTY = Decimal(100_000_000)


@dataclass(frozen=True)
class Book:
    """How many entries a book has, and where."""

    entries: int

    @property
    def accounts(self) -> dict[str, int]:
        """Entries by account, at least; the hot one first."""
        count = max(1, self.entries // 2 // ORDINARY_ENTRIES)
        return {HOT: self.entries // 2} | {f"account-{number:06d}": ORDINARY_ENTRIES for number in range(count)}


def moment_after(entries: int) -> int:
    """The moment, in microseconds, of an account's entry with that number."""
    return to_moment(START) + entries * STEP_MICROS


def make_rows(states: Sequence[AccountState], entries: dict[str, int]) -> Iterator[list[Write]]:
    """The writes that fill accounts just opened, each with its number of entries, in portions.

    Accounts take turns, as in the life of a book, so that indexes by account grow everywhere and not at one end.
    Grants are written once spent; accounts and what is left of their grants at the end.
    """
    left = {name: -(-(count - _LAST_ENTRIES) // _ROUND_ENTRIES) for name, count in entries.items()}
    while waiting := [state for state in states if left[state.account_id] > 0]:
        for some in _groups(waiting):
            turn = max(1, _PORTION_ROUNDS // len(some))
            for state in some:
                for _ in range(min(left[state.account_id], turn)):
                    _decide_round(state)
                left[state.account_id] -= turn
            yield _portion(some)
    for some in _groups(states):
        for state in some:
            _decide_last(state)
        yield [*_portion(some), *_finish(some)]


def _groups(states: Sequence[AccountState]) -> Iterator[Sequence[AccountState]]:
    return (states[first : first + _PORTION_ROUNDS] for first in range(0, len(states), _PORTION_ROUNDS))


def _decide_round(state: AccountState) -> None:
    """A grant, and the holds that consume it, each settled when two more have been made."""
    _decide(state, ledger.GrantCredits(state.account_id, _AMOUNT * _CAPTURES, key=_key(state)))
    waiting: list[int] = []
    for index in range(_HOLDS):
        _decide(state, ledger.Reserve(state.account_id, _AMOUNT, key=_key(state)))
        waiting.append(state.sequence)
        if len(waiting) > 2:
            _settle(state, waiting.pop(0), is_captured=index not in _RELEASED)
    for number in waiting:
        _settle(state, number, is_captured=True)


def _decide_last(state: AccountState) -> None:
    """Plenty of credits for what is to be timed, and a hold that stays open."""
    _decide(state, ledger.GrantCredits(state.account_id, _PLENTY, key=_key(state)))
    _decide(state, ledger.Reserve(state.account_id, _AMOUNT, key=_key(state)))


def _settle(state: AccountState, number: int, *, is_captured: bool) -> None:
    name = format_reservation_id(state.account_id, number)
    if is_captured:
        _decide(state, ledger.Capture(name, _AMOUNT, key=_key(state)))
    else:
        _decide(state, ledger.Release(name, key=_key(state)))


def _decide(state: AccountState, command: Command) -> None:
    (result,) = decide({state.account_id: state}, [command], moment_after(state.sequence + 1))
    if isinstance(result, Exception):
        raise result


def _key(state: AccountState) -> str:
    return random_key(f"{state.account_id}:{state.sequence}")


def random_key(seed: str) -> str:
    """A key as long, and as much without an order, as the UUIDs that clients send; the same for the same seed."""
    return blake2b(seed.encode(), digest_size=16).hexdigest()


def _portion(states: Sequence[AccountState]) -> list[Write]:
    """The rows decided since the last portion, which the states forget."""
    postings = [posting for state in states for posting in state.postings]
    holds = [(state.account_id, hold) for state in states for hold in state.holds.values()]
    spent = [(state, grant) for state in states for grant in state.grants.values() if _is_spent(grant)]
    writes = [
        Write(journal._ENTRY, [entry_row(posting) for posting in postings]),
        Write(journal._TRANSFER, [row for posting in postings for row in rows.transfer_rows(posting)]),
        Write(journal._RESERVATION, [rows.reservation_row(*pair) for pair in holds]),
        Write(journal._GRANT, [rows.grant_row(state.account_id, grant) for state, grant in spent]),
    ]
    for state, grant in spent:
        del state.grants[grant.number]
    for state in states:
        forgotten: list[Any] = [state.postings, state.holds, state.keys]
        for kept in forgotten:
            kept.clear()
    return writes


def _is_spent(grant: GrantState) -> bool:
    return not grant.buckets[AVAILABLE] + grant.buckets[HELD]


def _finish(states: Sequence[AccountState]) -> list[Write]:
    grants = [rows.grant_row(state.account_id, grant) for state in states for grant in state.grants.values()]
    return [Write(journal._GRANT, grants), *journal._account_writes(states)]
