"""Exact sums of 64-bit prices by group, of any size."""

from __future__ import annotations

from collections.abc import Iterator

from estimator.frames.arrays import Integers, np

_HALF = 32
_LOW = (1 << _HALF) - 1
_ROOM = 1 << 62


class GroupSums:
    """One sum for each group, of any size; groups are numbered from 0, and their number may grow.

    A sum is `unit x (carried x 2**32 + running)`. `running` takes prices as they are until it could leave 64 bits.
    """

    def __init__(self, groups: int = 1, unit: int = 1) -> None:
        self._unit = unit
        self._running = np.zeros(groups, np.int64)
        self._carried = np.zeros(groups, np.int64)
        self._greatest = 0

    def __len__(self) -> int:
        return len(self._running)

    def grow(self, groups: int) -> None:
        """Have room for at least so many groups."""
        if groups > len(self._running):
            more = max(groups, 2 * len(self._running)) - len(self._running)
            self._running = np.concatenate([self._running, np.zeros(more, np.int64)])
            self._carried = np.concatenate([self._carried, np.zeros(more, np.int64)])

    def add(self, groups: Integers, prices: Integers, greatest: int) -> None:
        """Add to each price's group; `groups` are below `len(self)`, prices are from 0 to `greatest`."""
        greatest *= len(prices)
        if greatest > _ROOM:
            self._make_room(_LOW * len(prices))
            np.add.at(self._running, groups, prices & _LOW)
            np.add.at(self._carried, groups, prices >> _HALF)
        else:
            self._make_room(greatest)
            np.add.at(self._running, groups, prices)

    def count(self, groups: Integers) -> None:
        """Add one to each run's group."""
        self._make_room(len(groups))
        found = np.bincount(groups)
        self._running[: len(found)] += found

    def add_all(self, prices: Integers, greatest: int) -> None:
        """Add every price to group 0; prices are from 0 to `greatest`."""
        greatest *= len(prices)
        if greatest > _ROOM:
            self._make_room(_LOW * len(prices))
            self._running[0] += (prices & _LOW).sum()
            self._carried[0] += (prices >> _HALF).sum()
        else:
            self._make_room(greatest)
            self._running[0] += prices.sum()

    def _make_room(self, greatest: int) -> None:
        if self._greatest + greatest > _ROOM:
            self._carried += self._running >> _HALF
            self._running &= _LOW
            self._greatest = _LOW
        self._greatest += greatest

    def merge(self, other: GroupSums, groups: Integers | None = None) -> None:
        """Add another one's sums of one unit; `groups` says which group here each of its groups is, or the same one."""
        places = np.arange(len(other)) if groups is None else groups
        # Both are below 2**62, but their sum might not be.
        np.add.at(self._carried, places, other._running[: len(places)] >> _HALF)
        np.add.at(self._carried, places, other._carried[: len(places)])
        self._make_room(_LOW)
        np.add.at(self._running, places, other._running[: len(places)] & _LOW)

    def totals(self) -> Iterator[int]:
        """The sum of each group, in order."""
        for carried, running in zip(self._carried.tolist(), self._running.tolist(), strict=True):
            yield self._unit * ((carried << _HALF) + running)
