"""The least-squares fit of `minutes = start + rows x row x factors` to past runs, nothing below zero.

The model is linear in the start and in the levels of one factor at a time. So each factor is solved in turn with the
others fixed, until no value changes. Errors are divided by the expected time; else a few long runs would dominate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from estimator.calibration.arrays import Floats, Marks, non_negative_least_squares, np
from estimator.rates.sections import LENGTHS, RECIPES, TRAINING_TYPES

if TYPE_CHECKING:
    from estimator.calibration.history import History

RUNS_MIN = 20
"""A factor with fewer runs than this, or with fewer without it, keeps its value."""

_GROUPS: Sequence[Sequence[str]] = (
    [f"length.{name}" for name in LENGTHS],
    [f"training.{name}" for name in TRAINING_TYPES],
    *([f"recipes.{name}"] for name in RECIPES),
    ["image"],
    ["grounding"],
    ["safety"],
    ["expansion"],
)
_ROUNDS = 100
_STILL = 1e-10
_MINUTE = 1.0


@dataclass(frozen=True, slots=True)
class Fit:
    """Minutes before the first row, minutes of a row, and what each factor multiplies the latter by.

    `fitted` are the factors with enough runs; the others keep the value given.
    """

    start: float
    row: float
    factors: Mapping[str, float]
    fitted: tuple[str, ...]

    def minutes(self, history: History) -> Floats:
        """What the fit expects of runs."""
        slow = _product(self.factors, history)
        expected: Floats = self.start + self.row * history.rows * slow
        return expected


def fit(history: History, given: Mapping[str, float]) -> Fit:
    """Fit the model; factors with too few runs keep the value given. `history` must not be empty."""
    levels = [found for group in _GROUPS if (found := _levels(group, history))]
    factors = {name: float(given.get(name, 1)) for group in _GROUPS for name in group}
    for group in levels:
        factors |= dict.fromkeys(group, 1.0)
    start = row = 0.0
    expected = history.minutes
    for _ in range(_ROUNDS):
        before = (start, row, *factors.values())
        weights = 1 / np.maximum(expected, _MINUTE)
        for group in levels or [[]]:
            start, row, own = _solve(history, factors, group, weights)
            factors |= own
        expected = start + row * history.rows * _product(factors, history)
        if np.allclose(before, (start, row, *factors.values()), rtol=_STILL, atol=0):
            break
    return Fit(start, row, factors, tuple(name for group in levels for name in group))


def _levels(group: Sequence[str], history: History) -> list[str]:
    """The factors of a group with enough runs, but for the reference: the commonest level, or a switch that is off."""
    counts = {name: int(np.count_nonzero(history.slowed[name])) for name in group}
    if len(group) == 1:
        (name,) = group
        return [name] if min(counts[name], len(history) - counts[name]) >= RUNS_MIN else []
    reference = max(group, key=lambda name: counts[name])
    return [name for name in group if name != reference and counts[name] >= RUNS_MIN]


def _solve(
    history: History, factors: Mapping[str, float], group: Sequence[str], weights: Floats
) -> tuple[float, float, dict[str, float]]:
    """The start, the minutes of a row and the factors of one group that fit best, all other factors fixed."""
    others = {name: factor for name, factor in factors.items() if name not in group}
    slow = history.rows * _product(others, history)
    marks: list[Marks] = [history.slowed[name] for name in group]
    plain = ~np.logical_or.reduce(marks) if marks else np.ones(len(history), bool)
    columns = np.column_stack([np.ones(len(history)), *(slow * mark for mark in (plain, *marks))])
    start, row, *levels = non_negative_least_squares(columns * weights[:, None], history.minutes * weights).tolist()
    if not row:  # no base to compare the levels with
        return start, row, dict.fromkeys(group, 1.0)
    return start, row, {name: level / row for name, level in zip(group, levels, strict=True)}


def _product(factors: Mapping[str, float], history: History) -> Floats:
    """The product of the factors that apply to each run."""
    product: Floats = np.ones(len(history))
    for name, factor in factors.items():
        if factor != 1:
            product[history.slowed[name]] *= factor
    return product
