"""Split-conformal bounds: how many times longer than expected runs take at most, with a stated coverage.

Whatever the model is worth: among runs like those looked at, the next one stays below the bound with at least that
probability, when the runs it is taken from were not used for the fit.
"""

from __future__ import annotations

from estimator.calibration.arrays import Floats, Integers, np

COVERAGE_PERCENT = 95


def conformal_factor(ratios: Floats, percent: int = COVERAGE_PERCENT) -> float | None:
    """The ratio of taken to expected time that covers so many percent of runs to come; None where too few were seen.

    `ratios` are those of runs apart from the fit. For 95 percent 19 runs are needed: with fewer, no ratio that was
    seen is large enough to promise anything.
    """
    rank = -(-(len(ratios) + 1) * percent // 100)
    if rank > len(ratios):
        return None
    return float(np.partition(ratios, rank - 1)[rank - 1])


def runs_needed(percent: int = COVERAGE_PERCENT) -> int:
    """The least number of runs that support a bound."""
    return -(-100 // (100 - percent)) - 1


def shares(count: int) -> Integers:
    """For each of so many runs a number from 0 to 9, the same every time, evenly and in no order that runs have."""
    mixed = np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    tenths: Integers = (mixed % np.uint64(10)).astype(np.int64)
    return tenths
