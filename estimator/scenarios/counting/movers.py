"""Changes of prices: how many runs get dearer and cheaper, by how much, and the runs with the largest changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from estimator.frames.arrays import Integers, np
from estimator.programs.program import INT64_MAX
from estimator.scenarios.results import Bin, Movement

if TYPE_CHECKING:
    from collections.abc import Iterable

EDGES = (-50, -25, -10, -5, -1, 0, 1, 5, 10, 25, 50, 100)
"""Percent of the baseline price at which one bin ends and the next begins; see `Distribution`."""

_PERCENT_MAX = INT64_MAX // 100


class Mover(NamedTuple):
    """A run by its place (piece and row), and its prices in micro-credits. A larger change has a smaller `rank`."""

    rank: int
    piece: int
    row: int
    run: dict[str, Any]
    baseline: int
    candidate: int


class Distribution:
    """Counts changes in bins of whole percents: below -50, -50 to below -25, ... none at all, ... 100 and more.

    A price that rises by less than a percent is in the bin from 0 to 1; an unchanged price is not. A run that cost
    nothing before has no percentage and is counted apart.
    """

    def __init__(self) -> None:
        self.same = 0
        self.from_nothing = 0
        self._counts = np.zeros(len(EDGES) + 1, np.int64)

    def add(self, baseline: Integers, delta: Integers) -> None:
        """Count the changes of some prices."""
        changed = delta != 0
        if not changed.any():
            self.same += len(delta)
            return
        self.same += int(len(delta) - np.count_nonzero(changed))
        changed &= baseline > 0
        before, change = baseline[changed], delta[changed]
        self.from_nothing += int(np.count_nonzero((baseline == 0) & (delta != 0)))
        self._counts += np.bincount(
            np.searchsorted(EDGES, _percents(before, change), side="right"), minlength=len(EDGES) + 1
        )

    def add_one(self, baseline: int, delta: int) -> None:
        """Count one change, of sums that may be larger than 64 bits."""
        if not delta:
            self.same += 1
        elif not baseline:
            self.from_nothing += 1
        else:
            clipped = max(-100, min(delta * 100 // baseline, EDGES[-1]))
            self._counts[np.searchsorted(EDGES, clipped, side="right")] += 1

    def merge(self, other: Distribution) -> None:
        """Add what another one counted."""
        self.same += other.same
        self.from_nothing += other.from_nothing
        self._counts += other._counts

    def movement(self) -> Movement:
        """How many are dearer, cheaper and unchanged."""
        dearer = EDGES.index(0) + 1
        cheaper = int(self._counts[:dearer].sum())
        return Movement(int(self._counts[dearer:].sum()) + self.from_nothing, cheaper, self.same)

    def bins(self) -> tuple[Bin, ...]:
        """Every bin, from what falls most to what rises most."""
        return tuple(self._bins())

    def _bins(self) -> Iterator[Bin]:
        bounds = (None, *EDGES, None)
        for count, (least, most) in zip(self._counts.tolist(), pairwise(bounds), strict=True):
            if least == 0:
                yield Bin("no change", 0, 0, self.same)
            yield Bin(_label(least, most), least, most, count)
        yield Bin("from nothing", None, None, self.from_nothing)


def _percents(baseline: Integers, delta: Integers) -> Integers:
    """Whole percents of the baseline, rounded down; exact also where `delta x 100` leaves 64 bits."""
    if int(np.abs(delta).max(initial=0)) <= _PERCENT_MAX:
        return np.floor_divide(delta * 100, baseline)
    exact = [
        max(-100, min(change * 100 // before, EDGES[-1]))
        for before, change in zip(baseline.tolist(), delta.tolist(), strict=True)
    ]
    return np.array(exact, np.int64)


def _label(least: int | None, most: int | None) -> str:
    if least is None:
        return f"below {most}%"
    return f"{least}% and more" if most is None else f"{least}% to {most}%"


class Largest:
    """The runs with the largest changes one way (`sign` 1: dearer, -1: cheaper), at most `count` of them.

    Of equal changes those that come first in the source are kept, in whatever order they are added.
    """

    def __init__(self, sign: int, count: int) -> None:
        self._sign = sign
        self._count = count
        self.movers: list[Mover] = []

    def add(
        self, piece: int, first: int, delta: Integers, prices: tuple[Integers, Integers], run: Callable[[int], Any]
    ) -> None:
        """Look through a block of a piece that starts at row `first`; `run` gives the columns of its nth run."""
        if not len(delta) or not self._count:
            return
        furthest = int(delta.max() if self._sign > 0 else -delta.min())
        least = -self.movers[-1].rank if len(self.movers) == self._count else 1
        if furthest < least:
            return
        moved = delta if self._sign > 0 else -delta
        places = np.flatnonzero(moved >= least)
        places = places[np.argsort(-moved[places], kind="stable")][: self._count]
        self._keep(
            Mover(-int(moved[at]), piece, first + at, run(at), int(prices[0][at]), int(prices[1][at]))
            for at in places.tolist()
            if self._is_wanted((-int(moved[at]), piece, first + at))
        )

    def _is_wanted(self, place: tuple[int, int, int]) -> bool:
        return len(self.movers) < self._count or place < self.movers[-1][:3]

    def _keep(self, movers: Iterable[Mover]) -> None:
        self.movers = sorted([*self.movers, *movers], key=lambda mover: mover[:3])[: self._count]

    def merge(self, other: Largest) -> None:
        """Take over what another one found."""
        self._keep(other.movers)
