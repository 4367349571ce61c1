"""What runs would cost under every combination of some values of some fields of a card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice, product
from math import prod
from typing import TYPE_CHECKING, Any

from estimator.credits import format_credits, from_micro
from estimator.scenarios.errors import ScenarioInvalid
from estimator.scenarios.fields import FieldValue, with_field
from estimator.scenarios.reading.sources import open_runs
from estimator.scenarios.results import CardTotal
from estimator.sentences import aligned_text, shown

if TYPE_CHECKING:
    from estimator.rates import RateCard

EVALUATIONS_MAX = 10_000
"""The most combinations that one sweep prices, unless told otherwise."""

_CARDS_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One combination: the values of the fields, the id of that card, the total of the runs, and its change."""

    values: Mapping[str, FieldValue]
    card_id: str
    total: Decimal
    delta: Decimal


@dataclass(frozen=True, slots=True, repr=False)
class Sweep:
    """Every combination of a grid, the last field varying fastest, and the card that they are variations of."""

    card: CardTotal
    points: tuple[SweepPoint, ...]

    def __len__(self) -> int:
        return len(self.points)

    def __iter__(self) -> Iterator[SweepPoint]:
        return iter(self.points)

    def __repr__(self) -> str:
        return self.as_table()

    def as_table(self) -> str:
        """Aligned plain text: the values of the fields, the total, and what it changes."""
        lines = [[*self.points[0].values, "total", "change"]]
        lines += [[*map(_shown, (*point.values.values(), point.total, point.delta))] for point in self.points]
        return aligned_text(lines, left=0)


def sweep(
    runs: Any, card: RateCard, grid: Mapping[str, Sequence[FieldValue]], *, evaluations_max: int = EVALUATIONS_MAX
) -> Sweep:
    """Price past runs under every combination of values of some fields of a card.

    Args:
        runs: as for `compare`.
        card: the card to vary.
        grid: by dotted path, such as `text.row` or `text.tiers.0.multiply`, the values to try.
        evaluations_max: refuse a grid of more combinations than this.

    Raises:
        ScenarioInvalid: the grid is empty or too large, or a path leads nowhere; before anything is read.
        RateCardInvalid: a combination makes no usable card.
        FrameInvalid, RunsUnreadable: see `compare`.
    """
    points = _checked(grid, evaluations_max)
    _varied(card, {path: values[0] for path, values in grid.items()})
    source = open_runs(runs)
    from estimator.scenarios.counting.distinct import RunTotals

    totals = RunTotals(source)
    (base,) = totals.of([card])
    found: list[SweepPoint] = []
    while chunk := list(islice(points, _CARDS_AT_ONCE)):
        cards = [_varied(card, values) for values in chunk]
        for values, varied, total in zip(chunk, cards, totals.of(cards), strict=True):
            found.append(SweepPoint(values, varied.id, from_micro(total), from_micro(total - base)))
    return Sweep(CardTotal(card.name, card.id, from_micro(base)), tuple(found))


def _shown(value: FieldValue) -> str:
    return format_credits(value) if isinstance(value, Decimal) else str(value)


def _checked(grid: Mapping[str, Sequence[FieldValue]], evaluations_max: int) -> Iterator[dict[str, FieldValue]]:
    if not grid:
        raise ScenarioInvalid("grid", 'names no field. Give one and its values, as in {"text.row": [Decimal("0.01")]}.')
    for path, values in grid.items():
        if isinstance(values, str) or not isinstance(values, Sequence):
            raise ScenarioInvalid(path, f"cannot try {shown(values)}. Give a list of values.")
        if not values:
            raise ScenarioInvalid(path, "has no values to try. Give at least one, or leave the field out.")
    count = prod(len(values) for values in grid.values())
    if count > evaluations_max:
        sizes = " x ".join(f"{len(values):,}" for values in grid.values())
        message = f"has {count:,} combinations ({sizes}), and {evaluations_max:,} are the most. Try fewer values"
        raise ScenarioInvalid("grid", f"{message}, or raise evaluations_max.")
    return (dict(zip(grid, values, strict=True)) for values in product(*grid.values()))


def _varied(card: RateCard, values: Mapping[str, FieldValue]) -> RateCard:
    for path, value in values.items():
        card = with_field(card, path, value)
    return card
