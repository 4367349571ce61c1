"""Counting changes of price, and keeping the largest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from estimator.scenarios.counting.movers import Distribution, Largest


def bins(*changes: tuple[int, int]) -> dict[str, int]:
    """The bins that are not empty, after changes from one price to another."""
    counted, one_by_one = Distribution(), Distribution()
    before, after = np.array(changes, np.int64).T
    counted.add(before, after - before)
    for first, second in changes:
        one_by_one.add_one(first, second - first)
    assert counted.bins() == one_by_one.bins()
    return {found.label: found.count for found in counted.bins() if found.count}


@pytest.mark.parametrize(
    ("before", "after", "label"),
    [
        (100, 100, "no change"),
        (0, 0, "no change"),
        (0, 1, "from nothing"),
        (1000, 1001, "0% to 1%"),
        (1000, 1010, "1% to 5%"),
        (1000, 999, "-1% to 0%"),
        (1000, 990, "-1% to 0%"),
        (1000, 989, "-5% to -1%"),
        (1000, 0, "below -50%"),
        (1000, 500, "-50% to -25%"),
        (1000, 1999, "50% to 100%"),
        (1000, 2000, "100% and more"),
        (1, 2**62, "100% and more"),
        (2**62, 1, "below -50%"),
        (2**62, 2**62 + 1, "0% to 1%"),
    ],
)
def test_a_change_is_in_the_bin_of_its_percentage(before: int, after: int, label: str) -> None:
    assert bins((before, after)) == {label: 1}


def test_bins_run_from_what_falls_most_to_what_rises_most() -> None:
    found = Distribution().bins()
    assert [found[0].label, found[6].label, found[-1].label] == ["below -50%", "no change", "from nothing"]
    assert [part.least for part in found[1:6]] == [part.most for part in found[:5]]


def test_what_two_threads_counted_is_added() -> None:
    one, other = Distribution(), Distribution()
    for distribution, delta in ((one, 5), (other, -5), (other, 0)):
        distribution.add_one(100, delta)
    other.add_one(0, 7)
    one.merge(other)
    movement = one.movement()
    assert (movement.dearer, movement.cheaper, movement.same) == (2, 1, 1)


def kept(largest: Largest) -> list[tuple[int, int]]:
    return [(mover.piece, mover.row) for mover in largest.movers]


def add(largest: Largest, piece: int, first: int, *deltas: int) -> None:
    delta = np.array(deltas, np.int64)

    def run(at: int) -> dict[str, Any]:
        return {"at": at}

    largest.add(piece, first, delta, (np.zeros_like(delta), delta), run)


def test_of_equal_changes_the_first_in_the_source_are_kept_in_whatever_order_they_are_met() -> None:
    largest = Largest(1, 2)
    add(largest, 1, 0, 5, 5, 5)
    add(largest, 0, 8, 5, 1)
    add(largest, 0, 0, 0, 5)
    assert kept(largest) == [(0, 1), (0, 8)]


def test_what_two_threads_kept_is_kept_as_one() -> None:
    one, other = Largest(-1, 3), Largest(-1, 3)
    add(one, 0, 0, -1, -9, 4)
    add(other, 1, 10, -5, -9, -1)
    one.merge(other)
    assert kept(one) == [(0, 1), (1, 11), (1, 10)]
    assert [mover.candidate for mover in one.movers] == [-9, -9, -5]


def test_none_are_kept_when_none_are_asked_for() -> None:
    largest = Largest(1, 0)
    add(largest, 0, 0, 5)
    assert largest.movers == []
