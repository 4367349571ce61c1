"""What each account did in each month, by whoever tells it: the figures that the sources of a year are compared by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ledger.model.moments import from_moment, to_moment
from tests.finance_year.cards import YEAR

BUCKETS = ("issued", "available", "held", "consumed", "expired", "revoked", "scheduled")
MONTHS = tuple(f"{YEAR}-{month:02d}" for month in range(1, 13))
_STARTS = [to_moment(datetime.fromisoformat(f"{month}-01T00:00:00+00:00")) for month in MONTHS]
PROBLEMS_MAX = 20
"""Differences of one comparison that are told; one row that is wrong may make many."""

Key = tuple[str, str]
"""An account, and a month such as 2025-03."""

Buckets = tuple[int, ...]


@dataclass(slots=True)
class Month:
    """Entries that moved credits, micro-credits by source and target, and what each bucket had at the end."""

    entries: int = 0
    moves: Counter[tuple[str, str]] = field(default_factory=Counter)
    closing: Buckets = (0,) * len(BUCKETS)


Figures = dict[Key, Month]


def month_of(instant: int) -> str:
    """The month of the year that a moment is in, in UTC; one outside of the year is no month of it."""
    moment = from_moment(instant)
    return f"{moment.year}-{moment.month:02d}"


def changes(moves: Counter[tuple[str, str]]) -> Buckets:
    """What moves add to each bucket; `issued` counts what was issued and not taken back."""
    change = Counter[str]()
    for (source, target), amount in moves.items():
        change[source] -= amount
        change[target] += amount
    return tuple(-change[name] if name == "issued" else change[name] for name in BUCKETS)


def plus(buckets: Buckets, change: Buckets) -> Buckets:
    """The sums, bucket by bucket."""
    return tuple(one + other for one, other in zip(buckets, change, strict=True))


def every_month(accounts: Iterable[str]) -> Iterator[Key]:
    """All months of all accounts, each account's in order."""
    return ((name, month) for name in accounts for month in MONTHS)


def roll(found: Figures, accounts: Iterable[str]) -> Figures:
    """The figures of all months, each closing worked out from the moves up to it; those of no month stay."""
    rolled: Figures = {}
    closing: Buckets = ()
    for name, month in every_month(accounts):
        if month == MONTHS[0]:
            closing = (0,) * len(BUCKETS)
        seen = found.get((name, month), Month())
        closing = plus(closing, changes(seen.moves))
        rolled[name, month] = Month(seen.entries, seen.moves, closing)
    return found | rolled


def differences(source: str, found: Figures, expected: Figures, *parts: str) -> list[str]:
    """Where one source says something else than the book does; `parts` are what it tells."""
    problems: list[str] = []
    for key in sorted(found.keys() | expected.keys()):
        for part in parts:
            is_said: Any = getattr(found[key], part) if key in found else None
            is_expected: Any = getattr(expected[key], part) if key in expected else None
            if is_said != is_expected:
                problems.append(f"{' '.join(key)}: {part} of {source} {is_said}, of the book {is_expected}")
    return problems
