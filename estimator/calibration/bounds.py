"""Split-conformal bounds: how many times the expected time a run takes at most, with a stated coverage.

The coverage does not depend on the quality of the model. A further run of the same kind stays below the bound with at
least that probability, provided that the runs of the bound were not used for the fit.
"""

from __future__ import annotations

from estimator.calibration.arrays import Floats, Integers, np

COVERAGE_PERCENT = 95


def conformal_factor(ratios: Floats, percent: int = COVERAGE_PERCENT) -> float | None:
    """The ratio of taken to expected time that covers `percent` of future runs; None for too few ratios.

    `ratios` are of runs that were not fitted. 95 percent need 19 of them: with fewer, no observed ratio is large
    enough for a bound.
    """
    rank = -(-(len(ratios) + 1) * percent // 100)
    if rank > len(ratios):
        return None
    return float(np.partition(ratios, rank - 1)[rank - 1])


def runs_needed(percent: int = COVERAGE_PERCENT) -> int:
    """The least number of runs that support a bound."""
    return -(-100 // (100 - percent)) - 1


def shares(count: int) -> Integers:
    """A number from 0 to 9 for each of `count` runs: reproducible, even, and independent of the order of runs."""
    mixed = np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    tenths: Integers = (mixed % np.uint64(10)).astype(np.int64)
    return tenths
