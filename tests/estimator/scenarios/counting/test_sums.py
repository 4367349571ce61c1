"""Exact sums by group, also beyond 64 bits."""

from __future__ import annotations

import numpy as np

from estimator.scenarios.counting.sums import GroupSums

LARGE = 2**62 - 1


def add(sums: GroupSums, groups: list[int], prices: list[int]) -> None:
    sums.add(np.array(groups), np.array(prices, np.int64), max(prices))


def test_prices_are_added_to_their_groups_whatever_their_size() -> None:
    sums, expected = GroupSums(2), [0, 0]
    for prices in ([1, 2, 3], [LARGE, LARGE, 5], [2**31, 7, LARGE]) * 9:
        add(sums, [0, 1, 0], prices)
        expected = [expected[0] + prices[0] + prices[2], expected[1] + prices[1]]
    assert list(sums.totals()) == expected


def test_a_whole_block_is_added_to_group_zero() -> None:
    sums = GroupSums()
    for prices in ([5, 6], [LARGE, LARGE]):
        sums.add_all(np.array(prices, np.int64), max(prices))
    assert list(sums.totals()) == [11 + 2 * LARGE]


def test_runs_are_counted_by_group_and_groups_may_become_more() -> None:
    sums = GroupSums(1)
    sums.count(np.array([0, 0]))
    sums.grow(3)
    sums.count(np.array([2, 0]))
    assert list(sums.totals())[:3] == [3, 0, 1]


def test_a_sum_is_told_in_its_unit() -> None:
    sums = GroupSums(1, unit=250)
    add(sums, [0], [4])
    assert list(sums.totals()) == [1_000]


def test_sums_of_another_thread_are_added_to_the_groups_they_belong_to() -> None:
    one, other = GroupSums(3), GroupSums(2)
    add(one, [0, 1], [LARGE, 1])
    add(other, [0, 1], [LARGE, 2])
    one.merge(other, np.array([2, 0]))
    one.merge(other)
    assert list(one.totals()) == [2 * LARGE + 2, 3, LARGE]
