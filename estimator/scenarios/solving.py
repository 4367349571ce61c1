"""The value of one field of a card with which past runs would cost a given total."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from estimator.credits import format_credits, from_micro
from estimator.scenarios.errors import ScenarioInvalid
from estimator.scenarios.fields import quantum_of, with_field
from estimator.scenarios.sources import open_runs

if TYPE_CHECKING:
    from estimator.rates import RateCard

PROBES = 8
"""How many values between the bounds are tried first, to notice a total that rises and falls."""

_EXACT = Context(prec=60, traps=[Inexact])


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A value beside the one that was found, and what the runs would cost with it."""

    value: Decimal
    total: Decimal


@dataclass(frozen=True, slots=True)
class Solution:
    """The value that comes nearest to the target: `reached` says whether it meets it to the micro-credit.

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

    Args:
        runs: as for `compare`.
        card: the card to change.
        field: dotted path of a number, such as `text.row` or `discounts.team.percent`.
        target_total: credits that all the runs together should cost.
        bounds: the least and the greatest value to consider.
        quantum: the step between values; unless given, the finest that the field is billed by (`quantum_of`).

    Raises:
        ScenarioInvalid: the target is not between the totals at the bounds, the total rises and falls between
            them, or the bounds hold no multiple of the quantum.
        RateCardInvalid: a value within the bounds makes no usable card.
        FrameInvalid, RunsUnreadable: see `compare`.
    """
    target = _micro(target_total)
    step = quantum_of(card, field) if quantum is None else _amount("quantum", quantum)
    least, greatest = _multiples(bounds, step)
    source = open_runs(runs)
    from estimator.scenarios.distinct import RunTotals

    totals = RunTotals(source)

    def total_at(multiple: int) -> int:
        (total,) = totals.of([with_field(card, field, _value(multiple, step))])
        return total

    search = _Search(field, step, total_at, target, least, greatest)
    found = search.nearest()
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
    """Bisection over multiples of a quantum, which remembers every total and checks that they keep their order."""

    def __init__(
        self, field: str, step: Decimal, total_at: Callable[[int], int], target: int, least: int, greatest: int
    ) -> None:
        self._field, self._step, self._target = field, step, target
        self._least, self._greatest = least, greatest
        self._total_at = total_at
        self._totals: dict[int, int] = {}
        self._sign = 1 if self.total(greatest) >= self.total(least) else -1

    @property
    def evaluations(self) -> int:
        return len(self._totals)

    def total(self, multiple: int) -> int:
        """Micro-credits of the runs at a multiple of the quantum."""
        if multiple not in self._totals:
            self._totals[multiple] = self._total_at(multiple)
        return self._totals[multiple]

    def neighbour(self, multiple: int) -> Neighbour | None:
        """The value and total at a multiple, within the bounds."""
        if not self._least <= multiple <= self._greatest:
            return None
        return Neighbour(_value(multiple, self._step), from_micro(self.total(multiple)))

    def nearest(self) -> int:
        """The multiple whose total is nearest to the target. Raises `ScenarioInvalid` where there is none."""
        self._check_target()
        # Multiples from the end where the runs cost least to the end where they cost most.
        cheap, dear = (self._least, self._greatest) if self._sign > 0 else (self._greatest, self._least)
        for probe in self._probes():
            if self.total(probe) < self._target:
                cheap = max(cheap, probe, key=self._place)
            else:
                dear = min(dear, probe, key=self._place)
        self._check_order()
        if self.total(cheap) >= self._target:
            return cheap
        while abs(dear - cheap) > 1:
            middle = (cheap + dear) // 2
            if not self.total(cheap) <= self.total(middle) <= self.total(dear):
                raise self._not_monotone()
            if self.total(middle) < self._target:
                cheap = middle
            else:
                dear = middle
        nearer = self._target - self.total(cheap) <= self.total(dear) - self._target
        return cheap if nearer else dear

    def _place(self, multiple: int) -> int:
        return self._sign * multiple

    def _probes(self) -> list[int]:
        width = self._greatest - self._least
        return sorted({self._least + width * part // (PROBES + 1) for part in range(1, PROBES + 1)}, key=self._place)

    def _check_order(self) -> None:
        ordered = [self._totals[multiple] for multiple in sorted(self._totals, key=self._place)]
        if ordered != sorted(ordered):
            raise self._not_monotone()

    def _not_monotone(self) -> ScenarioInvalid:
        return ScenarioInvalid(
            self._field, "makes the total both rise and fall between the bounds. Narrow the bounds to a part of them."
        )

    def _check_target(self) -> None:
        ends = sorted((self.total(self._least), self.total(self._greatest)))
        if not ends[0] <= self._target <= ends[1]:
            low, high = _value(self._least, self._step), _value(self._greatest, self._step)
            totals = [format_credits(from_micro(self.total(end))) for end in (self._least, self._greatest)]
            raise ScenarioInvalid(
                self._field,
                f"cannot bring the total to {format_credits(from_micro(self._target))}: it is {totals[0]} at "
                f"{format_credits(low)} and {totals[1]} at {format_credits(high)}. "
                "Widen the bounds, or change the target.",
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


__all__ = ["Neighbour", "Solution", "solve"]
