"""Past runs and how long they took, read for calibration.

The columns are those of `estimator.columns`, and `minutes`, or, where there is none, `started_at` and `ended_at`.
Discounts, vouchers and prices are ignored: they do not affect the time.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from estimator.calibration.arrays import Floats, Integers, Marks, np, pa, pc
from estimator.columns import COLUMNS, MODALITIES, RESULT, name_issues
from estimator.columns.price_tables import CODES, EXPANSION, STRIDES, SWITCHES
from estimator.errors import FrameInvalid, Issue
from estimator.frames.diagnosis import diagnose, rows_listed, runs_issues
from estimator.frames.reader import Reader
from estimator.rates.sections import LENGTHS, PPM, RECIPES, TRAINING_TYPES
from estimator.scenarios.reading.pieces import Source
from estimator.scenarios.reading.sources import open_runs

if TYPE_CHECKING:
    from estimator.rates import RateCard

_MINUTES = "minutes"
_MOMENTS = ("started_at", "ended_at")
_MICROS_A_MINUTE = 60_000_000
_MINUTES_MAX = 10**9  # nineteen centuries: a longer time is not in minutes
_READ = tuple(name for name in COLUMNS if name not in ("discount", "voucher"))
_OF_PRICES = "price_missing"
_ADVICE = f"Give minutes from 0 to {_MINUTES_MAX:,}; leave out unfinished runs."


@dataclass(frozen=True, slots=True)
class History:
    """Past runs, one element each: output rows, minutes taken, and the factors that apply.

    `length` is a place in `LENGTHS`; `slowed` marks, by factor of the minutes model, the runs that it applies to.
    """

    rows: Integers
    minutes: Floats
    length: Integers
    grounding: Marks
    slowed: Mapping[str, Marks]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, which: Marks) -> History:
        """The marked runs."""
        slowed = {name: marks[which] for name, marks in self.slowed.items()}
        return History(self.rows[which], self.minutes[which], self.length[which], self.grounding[which], slowed)


def read_history(runs: Any, card: RateCard) -> History:
    """Read past runs; the card says what the columns that they lack stand for.

    Args:
        runs: a frame, or paths, as for `estimator.scenarios.compare`.
        card: the card whose minutes are to be calibrated.

    Raises:
        FrameInvalid: columns are missing or misspelt, or values are no runs or no times; rows are counted and shown.
        RunsUnreadable: nothing is there, or a file is not sound.
    """
    source = open_runs(runs)
    times = _time_columns(source)
    parts = list(_parts(source, card, times))
    slowed = {name: np.concatenate([part.slowed[name] for part in parts]) for name in parts[0].slowed}
    rows, minutes, length, grounding = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("rows", "minutes", "length", "grounding")
    )
    return History(rows, minutes, length, grounding, slowed)


def _time_columns(source: Source) -> tuple[str, ...]:
    """The columns of the time taken. Raises `FrameInvalid`, also for misspelt names of other columns."""
    names = source.schema.names
    issues = list(name_issues([name for name in names if name != RESULT]))
    times = (_MINUTES,) if _MINUTES in names else _MOMENTS
    absent = [name for name in times if name not in names]
    if absent:
        issues.append(_missing_time(names, absent))
    issues += [
        Issue(name, "duplicate_column", "is the name of more than one column. Keep one of them.")
        for name in times
        if names.count(name) > 1
    ]
    if issues:
        raise FrameInvalid(issues)
    return times


def _missing_time(names: Sequence[str], absent: Sequence[str]) -> Issue:
    if len(absent) == 1:
        (present,) = set(_MOMENTS) - set(absent)
        name, message = absent[0], f"is required beside {present}: when each run began, and when it ended."
    else:
        name, message = _MINUTES, "is required: how long each run took. Add it, or started_at and ended_at."
    wanted = [*absent, _MINUTES]
    others = [other for other in names if other not in COLUMNS]
    hints = [(other, close[0]) for other in others if (close := difflib.get_close_matches(other, wanted, 1, 0.7))]
    return Issue(
        name, "missing", message + "".join(f" Is {other!r} meant to be {near!r}?" for other, near in hints[:1])
    )


def _parts(source: Source, card: RateCard, times: tuple[str, ...]) -> Iterator[History]:
    wanted = [name for name in _READ if name in source.schema.names]
    first = 0
    for piece in source.pieces:
        for batch in piece.read([*wanted, *times]):
            if batch.num_rows:
                yield _read(batch, card, times, first)
            first += batch.num_rows


def _read(batch: Any, card: RateCard, times: tuple[str, ...], first: int) -> History:
    priced = batch.drop_columns(list(times))
    reader = Reader(priced)
    issues = [] if reader.sound else diagnose(priced, card, first)
    minutes, wrong = _minutes(batch, times, first)
    if issues or wrong:
        raise FrameInvalid([*(issue for issue in issues if issue.code != _OF_PRICES), *wrong])
    try:
        runs = reader.runs()
    except ValueError:
        raise FrameInvalid(diagnose(priced, card, first)) from None
    too_large = [
        issue for issue in runs_issues(runs, card, first + np.arange(len(runs.rows))) if issue.code != _OF_PRICES
    ]
    if too_large:
        raise FrameInvalid(too_large)
    rows = runs.rows.copy()
    if runs.targets is not None and runs.sample_ppm is not None:
        rows += rows * runs.sample_ppm // PPM * runs.targets
    length, slowed = _slowed(runs.codes, runs.present, card)
    return History(rows, minutes, length, slowed["grounding"], slowed)


def _slowed(codes: Integers, present: tuple[str, ...], card: RateCard) -> tuple[Integers, dict[str, Marks]]:
    """Each run's length, and which factors apply to it."""
    image = codes // CODES == MODALITIES.index("image")
    defaults = {name: name in card.text.recipes_default for name in RECIPES}
    slowed: dict[str, Marks] = {"image": image}
    for place, name in enumerate(SWITCHES):
        on = codes >> place & 1 == 1 if name in present else np.full(len(codes), defaults.get(name, False))
        slowed[f"recipes.{name}" if name in RECIPES else name] = on
    slowed["expansion"] = codes & EXPANSION > 0
    if "length" in present:
        length = codes // STRIDES["length"] % len(LENGTHS)
    else:
        length = np.full(len(codes), LENGTHS.index(card.text.length_default))
    training = codes // STRIDES["training_type"] % len(TRAINING_TYPES)
    slowed |= {f"length.{name}": length == place for place, name in enumerate(LENGTHS)}
    slowed |= {f"training.{name}": training == place for place, name in enumerate(TRAINING_TYPES)}
    return length, slowed


def _minutes(batch: Any, times: tuple[str, ...], first: int) -> tuple[Floats, list[Issue]]:
    """The minutes that the runs took, and the problems of their columns."""
    columns = [batch.column(name) for name in times]
    for name, column in zip(times, columns, strict=True):
        kind = column.type
        fits = _is_number(kind) if times == (_MINUTES,) else pa.types.is_timestamp(kind)
        if not fits:
            what = "numbers of minutes" if times == (_MINUTES,) else "moments"
            return np.empty(0), [Issue(name, "wrong_type", f"must be {what}, not of type {kind}. Cast the column.")]
    if times == (_MINUTES,):
        taken = columns[0].cast(pa.float64())
    else:
        if columns[0].type.tz != columns[1].type.tz:
            message = "is in another zone than started_at. Convert both to UTC."
            return np.empty(0), [Issue(_MOMENTS[1], "mixed_zones", message)]
        started, ended = (column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64()) for column in columns)
        taken = pc.divide(pc.subtract(ended, started).cast(pa.float64()), float(_MICROS_A_MINUTE))
    minutes: Floats = taken.to_numpy(zero_copy_only=False)
    with np.errstate(invalid="ignore"):
        wrong = np.flatnonzero(~((minutes >= 0) & (minutes <= _MINUTES_MAX)))
    if not len(wrong):
        return minutes, []
    rows = rows_listed(wrong, lambda at: taken[at].as_py(), first + np.arange(len(minutes)))
    message = f"is no length of time in {rows}. {_ADVICE}"
    return minutes, [Issue(times[-1], "out_of_range", message)]


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))
