"""The problems of a table of runs: each counts its rows and shows the first few.

Pricing only notices that some row has no price. The whole table is then checked here, so that one error names every
problem.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from estimator.columns import COLUMNS, NULLABLE, WORDS
from estimator.columns.price_tables import configuration, modality_of
from estimator.errors import Issue
from estimator.frames.arrays import Integers, np, pa, pc
from estimator.frames.reader import Names, Reader, Runs, checked_columns
from estimator.programs.program import INT64_MAX
from estimator.rates.sections import PPM
from estimator.sentences import nearest, shown

if TYPE_CHECKING:
    from estimator.rates import RateCard

_SHOWN = 5
_COLUMN_OF = {"training": "training_type", "expansion": "targets"}


def diagnose(batch: Any, card: RateCard, first: int = 0) -> list[Issue]:
    """Every problem of a record batch under a card; `first` is the number of the batch's first row.

    Raises `FrameInvalid` where columns are missing or of the wrong type: then no value can be looked at.
    """
    issues: list[Issue] = []
    good = np.ones(batch.num_rows, bool)
    for name in checked_columns(batch.schema):
        column = batch.column(name)
        for bad, code, advice in _value_checks(name, column):
            if bad.any():
                issues.append(_issue(name, code, np.flatnonzero(bad), column, first, advice))
                good &= ~bad
    rest = np.flatnonzero(good)
    if len(rest):
        runs = Reader(_rows(batch, rest)).runs()
        issues += runs_issues(runs, card, rest + first)
    return issues


def _value_checks(name: str, column: Any) -> Iterator[tuple[Any, str, str]]:
    """The rows whose value is wrong under every card, the code of the problem, and the advice."""
    if name not in NULLABLE:
        yield _mask(column.is_null()), "null", "A null has no price; write the value that the run had"
    if COLUMNS[name] == "integer" and not pa.types.is_null(column.type):
        least, most = {"rows": (1, INT64_MAX), "max_rows": (1, INT64_MAX), "sample_ppm": (0, PPM)}.get(
            name, (0, INT64_MAX)
        )
        # An unsigned integer that is too large for int64 comes out negative, so it is found as well.
        values = column.cast(pa.int64(), safe=False)
        outside = pc.or_(pc.less(values, least), pc.greater(values, most))
        yield _mask(outside.fill_null(False)), "out_of_range", f"Give whole numbers from {least} to {most:,}"
    if name in WORDS:
        column = column.cast(pa.large_string())
        unknown = pc.and_(pc.invert(pc.is_in(column, pa.array(WORDS[name], pa.large_string()))), column.is_valid())
        yield _mask(unknown), "unknown_value", f"Use one of: {', '.join(WORDS[name])}"


def _rows(batch: Any, places: Integers) -> Any:
    """Some rows of a batch. Arrow cannot take rows of string views, so those are cast to text first."""
    arrays = [
        column.cast(pa.large_string()) if pa.types.is_string_view(column.type) else column for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names).take(pa.array(places))


def _mask(array: Any) -> Any:
    return array.to_numpy(zero_copy_only=False)


def runs_issues(runs: Runs, card: RateCard, numbers: Integers) -> list[Issue]:
    """Every problem that runs have under a card; `numbers` are the numbers of their rows."""
    issues = list(_limit_issues(runs, card, numbers))
    issues += _names_issues("discount", runs.discounts, card.discounts, card, numbers)
    issues += _names_issues("voucher", runs.vouchers, card.vouchers, card, numbers)
    return [*issues, *_price_issues(runs, card, numbers)]


def _limit_issues(runs: Runs, card: RateCard, numbers: Integers) -> Iterator[Issue]:
    for name, values, most in (("rows", runs.rows, card.rows_max), ("targets", runs.targets, card.targets_max)):
        if values is not None and len(places := np.flatnonzero(values > most)):
            advice = f"Rate card {card.name!r} allows {most:,} {name} a run; leave such runs out, or raise its limit"
            yield Issue(name, f"{name}_max", _sentence(places, values.__getitem__, numbers, f"{advice}."))


def _names_issues(
    column: str, given: Names | None, known: Collection[str], card: RateCard, numbers: Integers
) -> Iterator[Issue]:
    if given is None:
        return
    unknown = {place for place, name in enumerate(given.names) if name is not None and name not in known}
    places = np.flatnonzero(np.isin(given.places, list(unknown)))
    if len(places):
        first = given.names[given.places[places[0]]] or ""
        advice = f"Such names are not on the rate card {card.name!r}. {nearest(first, known)}"
        yield Issue(
            column, f"{column}_unknown", _sentence(places, lambda at: given.names[given.places[at]], numbers, advice)
        )


def _price_issues(runs: Runs, card: RateCard, numbers: Integers) -> Iterator[Issue]:
    missing: dict[tuple[str, str], list[int]] = {}
    for code in np.unique(runs.codes).tolist():
        modality = modality_of(code)
        section = card.sections.get(modality)
        if section is None:
            missing.setdefault(("modality", modality), []).append(code)
            continue
        for dimension in section.missing(configuration(code, section, runs.present)):
            kind, _, name = dimension.partition(".")
            column = name if kind == "recipes" else _COLUMN_OF.get(kind, kind)
            missing.setdefault((column, f"{modality}.{dimension}"), []).append(code)
    for (column, dimension), codes in missing.items():
        places = np.flatnonzero(np.isin(runs.codes, codes))
        advice = f"Rate card {card.name!r} has no price for {dimension}. Leave such runs out, or add its price."
        yield Issue(column, "price_missing", _sentence(places, None, numbers, advice))


def _issue(name: str, code: str, places: Integers, column: Any, first: int, advice: str) -> Issue:
    numbers = np.arange(first, first + len(column))
    return Issue(name, code, _sentence(places, lambda at: column[at].as_py(), numbers, f"{advice}."))


def _sentence(places: Integers, value: Callable[[int], object] | None, numbers: Integers, advice: str) -> str:
    return f"cannot be priced in {rows_listed(places, value, numbers)}. {advice}"


def rows_listed(places: Integers, value: Callable[[int], object] | None, numbers: Integers) -> str:
    """How many rows there are at some places, and the numbers (from 0) and values of the first few."""
    listed: Sequence[int] = places[:_SHOWN].tolist()
    examples = [f"row {numbers[at]}" + ("" if value is None else f": {_shown(value(at))}") for at in listed]
    more = ", ..." if len(places) > _SHOWN else ""
    rows = "1 row" if len(places) == 1 else f"{len(places):,} rows"
    return f"{rows} ({', '.join(examples)}{more})"


def _shown(value: object) -> str:
    return "null" if value is None else shown(value)
