"""The value of one field of a card with which past runs would cost a given total."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from estimator.credits import format_credits, from_micro
from estimator.scenarios.errors import ScenarioInvalid
from estimator.scenarios.fields import keeps_order, quantum_of, with_field
from estimator.scenarios.reading.sources import open_runs

if TYPE_CHECKING:
    from estimator.rates import RateCard

VALUES_MAX = 1_000
"""The most values that are tried, one by one, for a field that may make a total both rise and fall."""

_AT_ONCE = 32

_EXACT = Context(prec=60, traps=[Inexact])


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A value beside the one that was found, and what the runs would cost with it."""

    value: Decimal
    total: Decimal


@dataclass(frozen=True, slots=True)
class Solution:
    """The value whose total is nearest to the target; `reached` says whether it meets the target to the micro-credit.

    `below` and `above` are one `quantum` of the field away, None beyond the bounds. Where several values meet the
    target, this is the one nearest to the end of the bounds at which the runs cost least; where two are equally far
    from it, the one whose total is less.
    """

    field: str
    value: Decimal
    total: Decimal
    target: Decimal
    reached: bool
    quantum: Decimal
    below: Neighbour | None
    above: Neighbour | None
    evaluations: int


def solve(
    runs: Any,
    card: RateCard,
    field: str,
    target_total: Decimal | int,
    bounds: tuple[Decimal | int, Decimal | int],
    *,
    quantum: Decimal | int | None = None,
) -> Solution:
    """Find the value of a card's field with which past runs cost a total.

    For a field that keeps order (`fields.keeps_order`: prices, multipliers, fee, minimum, cap, percents and so on) the
    value is found by bisection, and no other value is nearer to the target. A field that may make totals both rise
    and fall (the end of a tier, the quantum) is tried at every value between the bounds.

    Args:
        runs: as for `compare`.
        card: the card to change.
        field: dotted path of a number, such as `text.row` or `discounts.team.percent`.
        target_total: credits that all the runs together should cost.
        bounds: the least and the greatest value to consider.
        quantum: the step between values; unless given, the finest that the field is billed by (`quantum_of`).

    Raises:
        ScenarioInvalid: the target is not between the least and the greatest total within the bounds, the bounds hold
            no multiple of the quantum, or more than `VALUES_MAX` of a field that does not keep order.
        RateCardInvalid: a value within the bounds makes no usable card.
        FrameInvalid, RunsUnreadable: see `compare`.
    """
    target = _micro(target_total)
    step = quantum_of(card, field) if quantum is None else _amount("quantum", quantum)
    least, greatest = _multiples(bounds, step)
    if not keeps_order(field):
        _check_count(field, greatest - least + 1)
    source = open_runs(runs)
    from estimator.scenarios.counting.distinct import RunTotals

    totals = RunTotals(source)

    def totals_at(multiples: Sequence[int]) -> Iterator[int]:
        return totals.of([with_field(card, field, _value(multiple, step)) for multiple in multiples])

    search = _Search(field, step, totals_at, target, least, greatest)
    found = search.by_halves() if keeps_order(field) else search.among_all()
    return Solution(
        field=field,
        value=_value(found, step),
        total=from_micro(search.total(found)),
        target=from_micro(target),
        reached=search.total(found) == target,
        quantum=step,
        below=search.neighbour(found - 1),
        above=search.neighbour(found + 1),
        evaluations=search.evaluations,
    )


class _Search:
    """A search among multiples of a quantum, which remembers every total."""

    def __init__(
        self,
        field: str,
        step: Decimal,
        totals_at: Callable[[Sequence[int]], Iterator[int]],
        target: int,
        least: int,
        greatest: int,
    ) -> None:
        self._field, self._step, self._target = field, step, target
        self._least, self._greatest = least, greatest
        self._totals_at = totals_at
        self._totals: dict[int, int] = {}
        self._try([least, greatest])

    @property
    def evaluations(self) -> int:
        return len(self._totals)

    def total(self, multiple: int) -> int:
        """Micro-credits of the runs at a multiple of the quantum."""
        self._try([multiple])
        return self._totals[multiple]

    def _try(self, multiples: Sequence[int]) -> None:
        new = [multiple for multiple in dict.fromkeys(multiples) if multiple not in self._totals]
        for first in range(0, len(new), _AT_ONCE):
            some = new[first : first + _AT_ONCE]
            self._totals |= zip(some, self._totals_at(some), strict=True)

    def neighbour(self, multiple: int) -> Neighbour | None:
        """The value and total at a multiple, within the bounds."""
        if not self._least <= multiple <= self._greatest:
            return None
        return Neighbour(_value(multiple, self._step), from_micro(self.total(multiple)))

    def by_halves(self) -> int:
        """The multiple whose total is nearest to the target, where totals keep their order."""
        self._check_target(self._least, self._greatest)
        # Multiples from the end where the runs cost least to the end where they cost most.
        cheap, dear = self._from_cheap()
        if self.total(cheap) >= self._target:
            return cheap
        while abs(dear - cheap) > 1:
            middle = (cheap + dear) // 2
            if self.total(middle) < self._target:
                cheap = middle
            else:
                dear = middle
        nearer = self._target - self.total(cheap) <= self.total(dear) - self._target
        return cheap if nearer else dear

    def among_all(self) -> int:
        """The multiple whose total is nearest to the target, found by trying all."""
        values = range(self._least, self._greatest + 1)
        self._try(values)
        self._check_target(min(values, key=self.total), max(values, key=self.total))
        cheap, _ = self._from_cheap()
        return min(
            values, key=lambda value: (abs(self.total(value) - self._target), self.total(value), abs(value - cheap))
        )

    def _from_cheap(self) -> tuple[int, int]:
        ends = (self._least, self._greatest)
        return ends if self.total(self._greatest) >= self.total(self._least) else ends[::-1]

    def _check_target(self, *places: int) -> None:
        """Raises `ScenarioInvalid` where the target is not between the totals at two places."""
        ends = sorted(map(self.total, places))
        if not ends[0] <= self._target <= ends[1]:
            low, high = (_value(place, self._step) for place in places)
            totals = [format_credits(from_micro(self.total(place))) for place in places]
            raise ScenarioInvalid(
                self._field,
                f"cannot bring the total to {format_credits(from_micro(self._target))}: it is {totals[0]} at "
                f"{format_credits(low)} and {totals[1]} at {format_credits(high)}. "
                "Widen the bounds, or change the target.",
            )


def _check_count(field: str, count: int) -> None:
    if count > VALUES_MAX:
        raise ScenarioInvalid(
            field,
            f"may make the total both rise and fall, so every value has to be tried; the bounds hold {count:,}, and "
            f"{VALUES_MAX:,} are the most. Narrow the bounds, or give a coarser quantum.",
        )


def _amount(name: str, amount: object) -> Decimal:
    if isinstance(amount, bool) or not isinstance(amount, Decimal | int) or not Decimal(amount).is_finite():
        raise ScenarioInvalid(name, f"cannot be {amount!r}. Give a Decimal or an int, never a float.")
    return Decimal(amount)


def _micro(total: object) -> int:
    try:
        amount = _EXACT.scaleb(_amount("target_total", total), 6)
        return int(_EXACT.to_integral_exact(amount))
    except Inexact:
        raise ScenarioInvalid("target_total", f"{total} has more than six decimals. Round it first.") from None


def _multiples(bounds: tuple[object, object], step: Decimal) -> tuple[int, int]:
    if step <= 0:
        raise ScenarioInvalid("quantum", f"cannot be {step}. Give a step of more than 0.")
    least, greatest = (_amount("bounds", bound) for bound in bounds)
    first = -(-Fraction(least) // Fraction(step))
    last = Fraction(greatest) // Fraction(step)
    if last < first:
        raise ScenarioInvalid("bounds", f"from {least} to {greatest} hold no multiple of {step}. Widen them.")
    return first, last


def _value(multiple: int, step: Decimal) -> Decimal:
    return _EXACT.multiply(multiple, step)
