"""The pricing of one configuration under a rate card, worked out once: unit prices, labels, minutes.

Only the first estimate of a configuration takes time here. Every later one is a few dozen integer operations and one
`Decimal` for each line item.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from estimator.credits import unscaled
from estimator.errors import Issue, PriceMissing, RequestRejected
from estimator.programs.folding import fold
from estimator.programs.program import Program
from estimator.rates.minutes import minutes_bound_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from estimator.plans import RunPlan
    from estimator.rates import MinutesModel, RateCard
    from estimator.rates.sections import Section

Named = TypeVar("Named")

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
    """Everything about a configuration that does not depend on how many rows there are.

    `program` has the configuration folded in: its inputs are `rows`, then `sample_ppm` and `targets` if
    something is expanded, then `billable_max` if the rows billed are limited. `tiers_at` is the charge, where
    there are tiers.
    """

    program: Program
    expanded: bool
    unit: int
    contributions: tuple[Contribution, ...]
    adjustments: tuple[tuple[str, str, int, int], ...]
    tiers_at: int | None
    credit_multiplier: Decimal | None
    p50: MinutesRate
    p95: MinutesRate
    rows_output_at: int
    rows_billable_at: int
    units_at: int
    micro_at: int

    def run(self, plan: RunPlan, *limit: int) -> list[int]:
        """The values of the program's steps for a plan; `limit` is the most rows to bill, where limited."""
        if self.expanded:
            return self.program.run((plan.rows, plan.sample_ppm, plan.targets, *limit))
        return self.program.run((plan.rows, *limit))


def pricing_of(plan: RunPlan, card: RateCard, *, limited: bool = False) -> Pricing:
    """The pricing of a plan's configuration under a card, kept with the card's program for the next plan.

    Raises:
        PriceMissing: the card lacks a price, a discount or a voucher that the plan uses.
        RequestRejected: the plan is larger than the card allows.
    """
    program = card.programs.get(plan.modality)
    if program is None:
        raise PriceMissing(plan.modality, card.name)
    if plan.rows > card.rows_max or plan.targets > card.targets_max:
        raise RequestRejected(_limit_issues(plan, card))
    key = (limited, plan.targets > 0, plan[4:])
    pricing: Pricing | None = program.pricings.get(key)
    if pricing is None:
        pricing = _build(plan, card, program, limited)
        if len(program.pricings) >= _PRICINGS_MAX:
            program.pricings.clear()
        program.pricings[key] = pricing
    return pricing


def _limit_issues(plan: RunPlan, card: RateCard) -> Iterator[Issue]:
    for path, asked, most in (("rows", plan.rows, card.rows_max), ("targets", plan.targets, card.targets_max)):
        if asked > most:
            message = f"are {asked} and rate card {card.name!r} allows {most}. Plan fewer {path}."
            yield Issue(path, f"{path}_max", message)


def _build(plan: RunPlan, card: RateCard, program: Program, limited: bool) -> Pricing:
    section = card.sections[plan.modality]
    for dimension in section.missing(plan.configuration):
        raise PriceMissing(f"{plan.modality}.{dimension}", card.name)
    prices = section.unit_prices(plan.configuration, card.unit_decimals)
    folded = fold(program, _known(plan, card, program, prices.tiers, limited))
    contributions = tuple(
        Contribution(
            f"length.{plan.length}" if dimension == "length" else dimension,
            _label(dimension, plan),
            part,
            unscaled(part, card.unit_decimals),
        )
        for dimension, part in prices.contributions
    )
    row = _minutes_per_row(plan, card.minutes)
    positions = folded.positions
    return Pricing(
        program=folded,
        expanded=plan.targets > 0,
        unit=prices.unit,
        contributions=contributions,
        adjustments=tuple(
            (code, _adjustment_label(code, plan), before, after) for code, before, after in folded.adjustments
        ),
        tiers_at=positions["charge"] if section.tiers else None,
        credit_multiplier=_credit_multiplier(section) if plan.modality == "image" else None,
        p50=_minutes_rate(row, card.minutes.start, Decimal(1)),
        p95=_minutes_rate(row, card.minutes.start, _p95_factor(plan, card.minutes)),
        rows_output_at=positions["rows_output"],
        rows_billable_at=positions["rows_billable"],
        units_at=positions["units"],
        micro_at=positions["micro"],
    )


def _known(plan: RunPlan, card: RateCard, program: Program, tiers: tuple[int, ...], limited: bool) -> dict[str, int]:
    """The program's inputs that a configuration fixes."""
    discount = _on_card(card, "discounts", plan.discount, card.discounts)
    voucher = _on_card(card, "vouchers", plan.voucher, card.vouchers)
    known = {f"unit_price_{number}": price for number, price in enumerate(tiers, 1)}
    known["discount_basis_points"] = 0 if discount is None else discount.basis_points
    known["voucher_basis_points"] = 0 if voucher is None else voucher.basis_points
    known["voucher_amount"] = 0 if voucher is None else voucher.amount(card.unit_decimals)
    if not plan.targets:
        known |= {"sample_ppm": 0, "targets": 0}
    if not limited:
        known["billable_max"] = program.steps[program.positions["billable_max"]].greatest
    return known


def _on_card(card: RateCard, table: str, name: str | None, known: dict[str, Named]) -> Named | None:
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


def _minutes_per_row(plan: RunPlan, model: MinutesModel) -> Fraction:
    """Minutes per output row, exactly."""
    applied = [f"length.{plan.length}", f"training.{plan.training_type}", *(f"recipes.{n}" for n in plan.recipes)]
    switched = {
        "image": plan.modality == "image",
        "grounding": plan.grounding,
        "safety": plan.safety,
        "expansion": plan.targets > 0,
    }
    applied += [name for name, on in switched.items() if on]
    row = Fraction(model.row) / model.parallel
    for name in applied:
        row *= Fraction(model.factors.get(name, 1))
    return row


def _p95_factor(plan: RunPlan, model: MinutesModel) -> Decimal:
    return model.p95_factors.get(minutes_bound_name(plan.length, plan.grounding), model.p95_factor)


def _minutes_rate(row: Fraction, start: Decimal, factor: Decimal) -> MinutesRate:
    first = Fraction(start) * Fraction(factor) * 100
    each = row * Fraction(factor) * 100
    return MinutesRate(
        first.numerator * each.denominator, each.numerator * first.denominator, first.denominator * each.denominator
    )
