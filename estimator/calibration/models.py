"""The minutes model of a card from past runs: fitted on six tenths of them, bounded on two, tested on two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING

from pydantic import ValidationError

from estimator.calibration.arrays import Floats, Marks, np
from estimator.calibration.bounds import conformal_factor, shares
from estimator.calibration.fitting import Fit, fit
from estimator.calibration.history import History
from estimator.errors import FrameInvalid, Issue
from estimator.rates.minutes import MinutesModel, minutes_bound_name
from estimator.rates.sections import LENGTHS

if TYPE_CHECKING:
    from estimator.rates import RateCard

RUNS_LEAST = 200
"""Fewer runs in all are no history to fit a model to."""

_FITTED, _BOUNDED = 6, 8  # tenths: below the first are fitted, below the second bounded, the rest tested
_PLACES = Decimal("0.000001")
_ROW_DIGITS = 6
_PLACES_MAX = 12  # of a card
_NOTHING = 1e-9  # of the longest time: the rounding error of zero is less
_FACTOR_MAX = 10**6  # a run that takes a million times as long as expected is not bounded by an expectation
_SHORTEST = 1.0  # minutes: an error of half a minute is not 50 percent


@dataclass(frozen=True, slots=True)
class Bound:
    """How many times longer than expected runs of a length, with or without grounding, take at most.

    `factor` is None where the `runs` held back do not support one: they are too few, or too many of them took more
    than a million times as long as expected.
    """

    name: str
    runs: int
    factor: Decimal | None


@dataclass(frozen=True, slots=True)
class Backtest:
    """The model tested on runs that it was not made from.

    `covered_percent` of the `runs` took no longer than its p95. `error_percent` is the median error of its
    expectation, in percent of the minutes taken, or of one minute for shorter runs.
    """

    runs: int
    covered_percent: Decimal
    error_percent: Decimal


@dataclass(frozen=True, slots=True)
class Calibration:
    """A minutes model made from past runs, and its test.

    `unfitted` are the factors of the card with too few runs; they keep their values.
    """

    model: MinutesModel
    runs: int
    fitted: tuple[str, ...]
    unfitted: tuple[str, ...]
    bounds: tuple[Bound, ...]
    backtest: Backtest


def calibrate(history: History, card: RateCard) -> Calibration:
    """Make the minutes model of a card from past runs. The same runs in the same order give the same model.

    Raises `FrameInvalid` for fewer than 200 runs, and for runs without such a model: their time does not grow with
    their rows, or is zero, or varies too much for a bound.
    """
    if len(history) < RUNS_LEAST:
        raise _refusal("missing", f"are {len(history):,}, too few. Give {RUNS_LEAST} finished runs or more.")
    tenths = shares(len(history))
    given = {name: float(factor) for name, factor in card.minutes.factors.items()}
    fitted = fit(history.take(tenths < _FITTED), given)
    if fitted.row * int(history.rows.max()) <= _NOTHING * float(history.minutes.max()):
        raise _refusal("out_of_range", "take no longer for more rows. See that rows and minutes are of the same runs.")
    model = _model(fitted, card)
    _refuse_timeless(_expected(model, history))
    held_out = history.take((tenths >= _FITTED) & (tenths < _BOUNDED))
    model, bounds = _bounded(model, held_out)
    unfitted = tuple(name for name in card.minutes.factors if name not in fitted.fitted)
    tried = _tried(model, history.take(tenths >= _BOUNDED))
    return Calibration(model, len(history), fitted.fitted, unfitted, bounds, tried)


def _refusal(code: str, message: str) -> FrameInvalid:
    return FrameInvalid([Issue("runs", code, message)])


def _model(fitted: Fit, card: RateCard) -> MinutesModel:
    """The fit as a card writes it; factors of 1 are left out."""
    row = Decimal(fitted.row) * card.minutes.parallel
    # The minutes of a row may be very small: significant digits count, not decimals.
    places = min(_PLACES_MAX, max(_ROW_DIGITS, _ROW_DIGITS - 1 - row.adjusted()))
    factors = {
        name: rounded
        for name, factor in fitted.factors.items()
        if (rounded := _rounded(factor)) != 1 and (name in fitted.fitted or name in card.minutes.factors)
    }
    try:
        return MinutesModel(
            start=_rounded(fitted.start),
            row=row.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN).normalize() + 0,
            parallel=card.minutes.parallel,
            factors=factors,
        )
    except ValidationError:
        message = "differ by more than a card can say. See that rows and minutes are of the same runs."
        raise _refusal("out_of_range", message) from None


def _refuse_timeless(expected: Floats) -> None:
    """Refuse a model that expects no time of some run: a bound is a multiple of the expected time."""
    timeless = int(np.count_nonzero(expected <= 0))
    if timeless:
        message = (
            f"are short: by the best fitting model, {timeless:,} of {len(expected):,} would take no time at all. "
            "Give their minutes with more decimals, or leave out the kinds of runs that took none."
        )
        raise _refusal("out_of_range", message)


def _rounded(value: float, rounding: str = ROUND_HALF_EVEN) -> Decimal:
    return Decimal(value).quantize(_PLACES, rounding).normalize() + 0


def _expected(model: MinutesModel, history: History) -> Floats:
    factors = {name: float(factor) for name, factor in model.factors.items()}
    return Fit(float(model.start), float(model.row) / model.parallel, factors, ()).minutes(history)


def _bounded(model: MinutesModel, history: History) -> tuple[MinutesModel, tuple[Bound, ...]]:
    """The model with the bounds of runs that were not fitted; no bound is below the expected time."""
    expected = _expected(model, history)
    ratios = history.minutes / expected
    overall = _bound(ratios)
    if overall is None:  # never for too few runs: two tenths of RUNS_LEAST are more than a bound needs
        message = f"took more than {_FACTOR_MAX:,} times as long as expected, too many of them. Leave out broken runs."
        raise _refusal("out_of_range", message)
    bounds = tuple(_bounds(history, ratios))
    factors = {bound.name: bound.factor for bound in bounds if bound.factor is not None}
    return model.model_copy(update={"p95_factor": overall, "p95_factors": factors}), bounds


def _bound(ratios: Floats) -> Decimal | None:
    factor = conformal_factor(ratios)
    return None if factor is None or factor > _FACTOR_MAX else _rounded(max(factor, 1), ROUND_CEILING)


def _kinds(history: History) -> Iterator[tuple[str, Marks]]:
    """The kinds of runs that a card may bound apart, each with the runs that are of it."""
    for place, length in enumerate(LENGTHS):
        for grounded in (False, True):
            yield minutes_bound_name(length, grounded), (history.length == place) & (history.grounding == grounded)


def _bounds(history: History, ratios: Floats) -> Iterator[Bound]:
    for name, marks in _kinds(history):
        if marks.any():
            own = ratios[marks]
            yield Bound(name, len(own), _bound(own))


def _tried(model: MinutesModel, history: History) -> Backtest:
    expected = _expected(model, history)
    most = np.empty(len(history))
    for name, marks in _kinds(history):
        most[marks] = float(model.p95_factors.get(name, model.p95_factor))
    covered = int(np.count_nonzero(history.minutes <= expected * most))
    errors = np.abs(expected - history.minutes) / np.maximum(history.minutes, _SHORTEST)
    hundredth = Decimal("0.01")
    return Backtest(
        len(history),
        (Decimal(100 * covered) / len(history)).quantize(hundredth),
        (Decimal(float(np.median(errors))) * 100).quantize(hundredth),
    )
