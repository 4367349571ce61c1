"""One sum of one side that the other side has in parts, without a common reference: a payout of many charges.

Tried last, on units that are still alone: successive units of one account, within the window and of the same currency
and sign as the whole, whose amounts sum to a unit of the other side. Either the whole or all of its parts have no
reference.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from typing import NamedTuple

from ledger.finance.reconciliation.pairing import Unit

ALONE_MAX = 1_000
"""Units of an account among which sums are looked for; among more of them, sums would match by chance."""

PARTS_MAX = 100


class Alone(NamedTuple):
    """A unit without a partner, and whether it is a copy of one that has a partner."""

    unit: Unit
    is_copy: bool


class Summed(NamedTuple):
    """A unit and the units of the other side that sum to it."""

    whole: Unit
    parts: list[Unit]


def find_sums(found: Iterable[Alone], amount: int, window: int, *, by_account: bool) -> Iterator[Alone | Summed]:
    """Find sums among units sorted by account (if all have one), currency and moment; also yields what stays alone."""

    def account(one: Alone) -> tuple[str | None, str | None]:
        return one.unit.item.account if by_account else None, one.unit.item.currency

    for _, group in groupby(found, key=account):
        members = iter(group)
        first = list(islice(members, ALONE_MAX + 1))
        if len(first) > ALONE_MAX:
            yield from first
            yield from members
        else:
            yield from _of_account(first, amount, window)


def _of_account(found: list[Alone], amount: int, window: int) -> Iterator[Alone | Summed]:
    usable = [one.unit for one in found if not one.is_copy and one.unit.item.moment is not None]
    sides = [[unit for unit in usable if unit.side == side] for side in (0, 1)]
    taken: set[int] = set()
    for whole in usable if all(sides) else ():
        parts = None if id(whole) in taken else _parts(whole, sides[1 - whole.side], taken, amount, window)
        if parts is not None:
            taken.update(map(id, (whole, *parts)))
            yield Summed(whole, parts)
    yield from (one for one in found if id(one.unit) not in taken)


def _parts(whole: Unit, others: list[Unit], taken: set[int], amount: int, window: int) -> list[Unit] | None:
    """The earliest and fewest successive units that sum to a whole; None where none do."""
    target, moment = whole.item.amount, whole.item.moment or 0
    near = [
        unit
        for unit in others
        if id(unit) not in taken
        and abs((unit.item.moment or 0) - moment) <= window
        and (whole.item.ref is None or unit.item.ref is None)
        and (unit.item.amount > 0) == (target > 0)
    ]
    for start in range(len(near) - 1):
        total = 0
        for end in range(start, min(start + PARTS_MAX, len(near))):
            total += near[end].item.amount
            if end > start and abs(total - target) <= amount:
                return near[start : end + 1]
            if abs(total) > abs(target) + amount:
                break
    return None
