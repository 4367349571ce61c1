"""A conformal bound covers what it promises, and is not there where too few runs were seen."""

from __future__ import annotations

import numpy as np
import pytest

from estimator.calibration.bounds import conformal_factor, runs_needed, shares


@pytest.mark.parametrize(("percent", "needed"), [(95, 19), (90, 9), (50, 1), (99, 99)])
def test_there_is_a_bound_from_the_least_number_of_runs_on(percent: int, needed: int) -> None:
    assert runs_needed(percent) == needed
    ratios = np.arange(1.0, needed + 1)
    assert conformal_factor(ratios, percent) == needed
    assert conformal_factor(ratios[1:], percent) is None


def test_the_bound_is_the_ratio_of_the_rank_that_covers_runs_to_come() -> None:
    assert conformal_factor(np.arange(1.0, 1000)[::-1].copy()) == 950
    assert conformal_factor(np.ones(100)) == 1


def test_it_covers_what_it_promises_of_runs_to_come() -> None:
    draw = np.random.default_rng(3)
    covered = [draw.lognormal() <= conformal_factor(draw.lognormal(size=40)) for _ in range(4000)]
    assert 0.945 < np.mean(covered) < 0.965  # 39/41 in the long run


def test_shares_are_even_the_same_each_time_and_in_no_order() -> None:
    tenths = shares(100_000)
    assert np.array_equal(tenths[:1000], shares(1000))
    counts = np.bincount(tenths, minlength=10)
    assert len(counts) == 10
    assert counts.min() > 9_500
    for stride in (2, 7, 10, 24, 365):
        assert abs(tenths[::stride].mean() - 4.5) < 0.4
