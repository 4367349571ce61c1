"""What a rate card makes of one configuration, worked out once: unit prices, labels, minutes.

Estimates spend their time here only the first time a configuration is priced; after that every estimate is a few
dozen integer operations and one `Decimal` for each line item.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from estimator.credits import unscaled
from estimator.errors import Issue, PriceMissing, RequestRejected
from estimator.programs import Program, scaled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from estimator.plans import RunPlan
    from estimator.rates import MinutesModel, RateCard, Voucher
    from estimator.sections import Section

Kind = TypeVar("Kind")

_PRICINGS_MAX = 4096
_LABELS = {
    "base": "Base price",
    "length": "Length: {length}",
    "training": "Training type: {training_type}",
    "grounding": "Hallucination mitigation",
    "safety": "Safety analysis",
    "expansion": "Language expansion",
}


class Contribution(NamedTuple):
    """One part of a unit price, ready to become a line item."""

    code: str
    label: str
    scaled: int
    unit_price: Decimal


class MinutesRate(NamedTuple):
    """Hundredths of a minute are `ceil((start + rows x row) / divisor)`; all integers."""

    start: int
    row: int
    divisor: int

    def hundredths(self, rows: int) -> int:
        """Hundredths of a minute for a number of output rows, rounded up."""
        return -(-(self.start + rows * self.row) // self.divisor)


class Pricing(NamedTuple):
    """Everything about a configuration that does not depend on how many rows there are."""

    program: Program
    billable_max: int
    modifiers: tuple[int, ...]
    unit: int
    contributions: tuple[Contribution, ...]
    adjustments: tuple[tuple[str, str, int, int], ...]
    has_tiers: bool
    credit_multiplier: Decimal | None
    p50: MinutesRate
    p95: MinutesRate
    rows_output_at: int
    rows_billable_at: int
    units_at: int
    charge_at: int


def pricing_of(plan: RunPlan, card: RateCard) -> Pricing:
    """The pricing of a plan's configuration under a card, from the program's cache when it has been asked before.

    Raises:
        PriceMissing: the card lacks a price, a discount or a voucher that the plan uses.
        RequestRejected: the plan is larger than the card allows.
    """
    program = card.programs.get(plan.modality)
    if program is None:
        raise PriceMissing(plan.modality, card.name)
    if plan.rows > card.rows_max or plan.targets > card.targets_max:
        raise RequestRejected(_limit_issues(plan, card))
    key = (*plan[4:], plan.targets > 0)
    pricing: Pricing | None = program.pricings.get(key)
    if pricing is None:
        pricing = _build(plan, card, program)
        if len(program.pricings) >= _PRICINGS_MAX:
            program.pricings.clear()
        program.pricings[key] = pricing
    return pricing


def _limit_issues(plan: RunPlan, card: RateCard) -> Iterator[Issue]:
    if plan.rows > card.rows_max:
        message = f"the plan has {plan.rows} rows and rate card {card.name!r} allows {card.rows_max}. Plan fewer rows."
        yield Issue("rows", "rows_max", message)
    if plan.targets > card.targets_max:
        message = (
            f"the plan has {plan.targets} targets and rate card {card.name!r} allows {card.targets_max}. "
            "Plan fewer targets."
        )
        yield Issue("targets", "targets_max", message)


def _build(plan: RunPlan, card: RateCard, program: Program) -> Pricing:
    section = card.sections[plan.modality]
    for dimension in section.missing(plan.configuration):
        raise PriceMissing(f"{plan.modality}.{dimension}", card.name)
    prices = section.unit_prices(plan.configuration, card.unit_decimals)
    contributions = tuple(
        Contribution(
            f"length.{plan.length}" if dimension == "length" else dimension,
            _label(dimension, plan),
            part,
            unscaled(part, card.unit_decimals),
        )
        for dimension, part in prices.contributions
    )
    rate = _minutes_rate(plan, card.minutes)
    positions = program.positions
    return Pricing(
        program=program,
        billable_max=program.steps[positions["billable_max"]].greatest,
        modifiers=(*prices.tiers, *_modifiers(plan, card, program)),
        unit=prices.unit,
        contributions=contributions,
        adjustments=tuple(
            (code, _adjustment_label(code, plan), before, after)
            for code, before, after in program.adjustments
        ),
        has_tiers=bool(section.tiers),
        credit_multiplier=_credit_multiplier(section) if plan.modality == "image" else None,
        p50=_hundredths(rate, card.minutes.start),
        p95=_hundredths(
            rate * Fraction(card.minutes.p95_factor), card.minutes.start, card.minutes.p95_factor
        ),
        rows_output_at=positions["rows_output"],
        rows_billable_at=positions["rows_billable"],
        units_at=positions["units"],
        charge_at=positions["charge"],
    )


def _modifiers(plan: RunPlan, card: RateCard, program: Program) -> Iterator[int]:
    """Values of the program's inputs after the unit prices: what discount and voucher take off."""
    discount = _on_card(card, "discounts", plan.discount, card.discounts)
    voucher: Voucher | None = _on_card(card, "vouchers", plan.voucher, card.vouchers)
    if "discount_basis_points" in program.positions:
        yield 0 if discount is None else discount.basis_points
    if "voucher_basis_points" in program.positions:
        yield 0 if voucher is None else voucher.basis_points
    if "voucher_amount" in program.positions:
        off = None if voucher is None else voucher.credits
        yield 0 if off is None else scaled(off, card.unit_decimals)


def _on_card(card: RateCard, table: str, name: str | None, known: dict[str, Kind]) -> Kind | None:
    if name is None:
        return None
    if name not in known:
        raise PriceMissing(f"{table}.{name}", card.name)
    return known[name]


def _label(dimension: str, plan: RunPlan) -> str:
    kind, _, name = dimension.partition(".")
    if kind == "recipes":
        return f"Recipe: {name.replace('_', ' ')}"
    return _LABELS[kind].format(length=plan.length, training_type=plan.training_type.replace("_", " "))


def _adjustment_label(code: str, plan: RunPlan) -> str:
    labels = {
        "fee": "Fee per run",
        "discount": f"Discount: {plan.discount}",
        "minimum": "Up to the minimum",
        "cap": "Down to the cap",
        "voucher": f"Voucher: {plan.voucher}",
        "rounding": "Rounded up",
    }
    return labels[code]


def _credit_multiplier(section: Section) -> Decimal:
    """Credits per 100 output rows at the base price, to a millionth of a credit."""
    per_row = Fraction(section.base) / (section.block_rows or 1)
    return unscaled(round(per_row * 100 * 1_000_000), 6)


def _minutes_rate(plan: RunPlan, model: MinutesModel) -> Fraction:
    """Minutes per output row."""
    applied = [
        f"length.{plan.length}",
        f"training.{plan.training_type}",
        *(f"recipes.{n}" for n in plan.recipes),
    ]
    switched = {
        "image": plan.modality == "image",
        "grounding": plan.grounding,
        "safety": plan.safety,
        "expansion": plan.targets > 0,
    }
    applied += [name for name, on in switched.items() if on]
    rate = Fraction(model.row) / model.parallel
    for name in applied:
        rate *= Fraction(model.factors.get(name, 1))
    return rate


def _hundredths(rate: Fraction, start: Decimal, factor: Decimal = Decimal(1)) -> MinutesRate:
    first = Fraction(start) * Fraction(factor) * 100
    row = rate * 100
    divisor = first.denominator * row.denominator
    return MinutesRate(first.numerator * row.denominator, row.numerator * first.denominator, divisor)
