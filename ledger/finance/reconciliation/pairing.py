"""Records that no reference brings together, matched by amount and time: units of both sides, streamed by time.

A unit is all records of a reference that the other side lacks, or one record without a reference. Two units match when
account and currency are the same, their amounts are within the tolerance and their moments within the window, and at
least one has no reference or both references are alike (a typing error). A unit takes the one of the nearest amount,
and of several such the earliest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ledger.finance.reconciliation.joining import Item

_SWEEP = 50_000
SLIPS_MAX = 2


class Unit(NamedTuple):
    """Records of one side taken as one: their sum and first moment, their count, and as JSON where they are several."""

    side: int
    item: Item
    size: int
    records: str | None


@dataclass(slots=True)
class _Twin:
    """How many of several records with the same values were matched."""

    matched: int = 0


@dataclass(slots=True)
class _Pending:
    unit: Unit
    twin: _Twin
    is_taken: bool = False


@dataclass(slots=True)
class Pairing:
    """Pairs units as they come; a unit without a partner comes out when the window has passed it."""

    amount: int
    window: int
    by_account: bool
    _waiting: dict[tuple[object, ...], deque[_Pending]] = field(default_factory=dict)
    _twins: dict[tuple[object, ...], _Twin] = field(default_factory=dict)
    _moment: int | None = None

    def pair(self, units: Iterable[Unit]) -> Iterator[tuple[Unit, Unit] | tuple[Unit, bool]]:
        """(ours, theirs), or a unit without a partner and whether it is a copy of one that has a partner."""
        for number, unit in enumerate(units, 1):
            moment = unit.item.moment
            if moment is None:
                yield unit, False
                continue
            if moment != self._moment:
                self._moment, self._twins = moment, {}
            twin = self._twins.setdefault((unit.side, *unit.item[:6]), _Twin())
            partner = self._partner(unit, moment)
            if partner is None:
                self._waiting.setdefault(self._place(unit, 0, unit.side), deque()).append(_Pending(unit, twin))
            else:
                partner.is_taken = True
                partner.twin.matched += 1
                twin.matched += 1
                yield (partner.unit, unit) if unit.side else (unit, partner.unit)
            if not number % _SWEEP:
                yield from self._leave(moment - self.window)
        yield from self._leave(None)

    def _place(self, unit: Unit, step: int, side: int) -> tuple[object, ...]:
        item = unit.item
        size = item.amount // (self.amount + 1) + step
        return side, item.account if self.by_account else None, item.currency, size

    def _partner(self, unit: Unit, moment: int) -> _Pending | None:
        best: tuple[int, int] | None = None
        found = None
        for step in (0,) if not self.amount else (-1, 0, 1):
            for order, pending in enumerate(self._waiting.get(self._place(unit, step, 1 - unit.side), ())):
                other = pending.unit.item
                if pending.is_taken or moment - (other.moment or 0) > self.window:
                    continue
                apart = abs(other.amount - unit.item.amount)
                if apart > self.amount or not _may_be_one(unit.item.ref, other.ref):
                    continue
                if best is None or (apart, order) < best:
                    best, found = (apart, order), pending
                if not self.amount:
                    break
        return found

    def _leave(self, before: int | None) -> Iterator[tuple[Unit, bool]]:
        for place in list(self._waiting):
            queue = self._waiting[place]
            while queue and (queue[0].is_taken or before is None or (queue[0].unit.item.moment or 0) < before):
                pending = queue.popleft()
                if not pending.is_taken:
                    is_copy = pending.twin.matched > 0 and pending.unit.item.ref is None
                    yield pending.unit, is_copy
            if not queue:
                del self._waiting[place]


def _may_be_one(mine: str | None, other: str | None) -> bool:
    return mine is None or other is None or are_alike(mine, other)


def are_alike(mine: str, other: str) -> bool:
    """True for references that differ by case, spaces or punctuation, or by at most two characters.

    >>> are_alike("run-000001", "RUN 00O001")
    True
    """
    one, two = ("".join(filter(str.isalnum, text)).lower() for text in (mine, other))
    if one == two:
        return bool(one)
    if min(len(one), len(two)) < 4 * SLIPS_MAX or abs(len(one) - len(two)) > SLIPS_MAX:
        return False
    return _edits(one, two) <= SLIPS_MAX


def _edits(one: str, two: str) -> int:
    """Characters to insert, delete, change or swap to make one text the other; counted up to one above `SLIPS_MAX`."""
    before: list[int] = []
    row = list(range(len(two) + 1))
    for i, mine in enumerate(one, 1):
        earlier, before, row = before, row, [i]
        for j, other in enumerate(two, 1):
            cost = min(row[j - 1] + 1, before[j] + 1, before[j - 1] + (mine != other))
            if i > 1 and j > 1 and mine == two[j - 2] and one[i - 2] == other:
                cost = min(cost, earlier[j - 2] + 1)
            row.append(cost)
        if min(row) > SLIPS_MAX:
            return SLIPS_MAX + 1
    return row[-1]
