"""Commands in any order of time, each drawn so that it may well succeed on the account as it stands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import ledger
from ledger.book.states import AccountState

START = datetime(2026, 5, 1, tzinfo=UTC)
STEPS = [0, 0, 0, 1, 1, 5, 30, 600, 3600, 43200]


class Chance:
    """Draws one command after another for an account, from a seed; keeps the account's time."""

    def __init__(self, seed: int, account_id: str) -> None:
        self.random = Random(seed)
        self.account_id = account_id
        self.second = 0

    def next_command(self, state: AccountState) -> ledger.Command | None:
        """The next command; None where what was drawn makes no command at all."""
        self.second += self.random.choice(STEPS)
        back = self.random.choice([0, 0, 0, 10])
        at = START + timedelta(seconds=max(0, self.second - back))
        key = f"k{self.random.randint(0, 50)}" if self.random.random() < 0.1 else None
        draw = self.random.choices(_DRAWS, _WEIGHTS)[0]
        try:
            return draw(self, state, key, at)
        except ledger.CommandInvalid:
            return None

    def amount(self) -> Decimal:
        """Some credits."""
        return Decimal(self.random.randint(1, 30)) / self.random.choice([1, 2, 4])

    def labels(self) -> dict[str, str] | None:
        """Some labels, or none."""
        return self.random.choice([None, {"p": "a"}, {"p": "b"}, {"p": "a", "q": "z"}])

    def hold(self, state: AccountState) -> str:
        """A reservation, an open one more often than not."""
        numbers = list(state.holds) or [1]
        still_open = [number for number, hold in state.holds.items() if hold.state == "held"] or numbers
        return f"{self.account_id}/r{self.random.choice(self.random.choice([still_open, still_open, numbers]))}"


def _grant(chance: Chance, _state: AccountState, key: str | None, at: datetime) -> ledger.Command:
    random = chance.random
    recurrence = None
    if random.random() < 0.25:
        count, amount, most = random.choice([1, 1, 3]), random.choice([None, 0, 5]), random.choice([2, 8])
        recurrence = ledger.Recurrence(random.choice(["hour", "day", "month"]), count, amount, None, 2, most)
    lasts = random.choice([None, 1, 30, 4000, 90000, 400000])
    begins = random.choice([None, None, -5, 1, 3000])
    return ledger.GrantCredits(
        chance.account_id,
        chance.amount(),
        key,
        random.randint(1, 3),
        None if lasts is None else at + timedelta(seconds=lasts),
        at,
        random.choice(["paid", "promotional"]),
        None if begins is None else at + timedelta(seconds=begins),
        scope=random.choice([None, None, None, {"p": ["a"]}]),
        recurrence=recurrence,
    )


def _reserve(chance: Chance, _state: AccountState, key: str | None, at: datetime) -> ledger.Command:
    lasts = chance.random.choice([None, 1, 20, 3600, 86400])
    grace = chance.random.choice([None, timedelta(seconds=60)])
    return ledger.Reserve(
        chance.account_id,
        chance.amount(),
        key,
        None if lasts is None else timedelta(seconds=lasts),
        at,
        None if lasts is None else grace,
        chance.labels(),
        chance.random.random() < 0.2,
    )


def _capture(chance: Chance, state: AccountState, key: str | None, at: datetime) -> ledger.Command:
    amount = chance.random.choice([None, chance.amount(), Decimal(0)])
    over = chance.random.choice(list(ledger.OverCapture))
    return ledger.Capture(chance.hold(state), amount, key, at=at, final=chance.random.random() < 0.5, over=over)


def _release(chance: Chance, state: AccountState, key: str | None, at: datetime) -> ledger.Command:
    return ledger.Release(chance.hold(state), key, at=at)


def _extend(chance: Chance, state: AccountState, key: str | None, at: datetime) -> ledger.Command:
    return ledger.Extend(chance.hold(state), timedelta(seconds=chance.random.choice([1, 500])), key, at=at)


def _refund(chance: Chance, state: AccountState, key: str | None, at: datetime) -> ledger.Command:
    return ledger.Refund(chance.hold(state), chance.random.choice([None, chance.amount()]), key, at=at)


def _adjust(chance: Chance, _state: AccountState, key: str | None, at: datetime) -> ledger.Command:
    return ledger.Adjust(chance.account_id, chance.amount() * chance.random.choice([1, -1]), "counted", key, at)


def _revoke(chance: Chance, state: AccountState, key: str | None, at: datetime) -> ledger.Command:
    return ledger.RevokeGrant(f"{chance.account_id}/g{chance.random.choice(list(state.grants) or [1])}", key, at=at)


def _set_credit_line(chance: Chance, _state: AccountState, key: str | None, at: datetime) -> ledger.Command:
    return ledger.SetCreditLine(chance.account_id, chance.random.randint(0, 60), key, at)


def _set_limit(chance: Chance, _state: AccountState, key: str | None, at: datetime) -> ledger.Command:
    maxima: list[tuple[str, Any]] = [
        ("day", chance.random.choice([50, None, 5])),
        ("total", chance.random.choice([200, None])),
        ("concurrent", chance.random.choice([3, 8, None])),
    ]
    period, maximum = chance.random.choice(maxima)
    label, value = chance.random.choice([("", "*"), ("p", "*"), ("p", "a")])
    return ledger.SetLimit(chance.account_id, period, maximum, label, value, key, at)


def _expire_due(chance: Chance, _state: AccountState, _key: str | None, at: datetime) -> ledger.Command:
    return ledger.ExpireDue(chance.account_id, at)


_WEIGHED: dict[Callable[..., ledger.Command], int] = {
    _grant: 20,
    _reserve: 25,
    _capture: 22,
    _release: 6,
    _extend: 5,
    _refund: 9,
    _adjust: 3,
    _revoke: 2,
    _set_credit_line: 3,
    _set_limit: 4,
    _expire_due: 1,
}
_DRAWS, _WEIGHTS = list(_WEIGHED), list(_WEIGHED.values())
