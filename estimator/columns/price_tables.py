"""Configurations as small integers, and the unit price of each: the tables in which arrays and SQL look prices up.

A configuration's code is a number in mixed radix: one bit for each switch, then a digit for each column of words.
The digit of a column that is absent is 0, and means what the card says for a request that leaves the field out.
The last digit is the modality, so that the codes of one modality are a range.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from estimator.columns import MODALITIES, WORDS
from estimator.rates.sections import DIMENSIONS, LENGTHS, RECIPES, TRAINING_TYPES, Configuration, Section, Surcharge

if TYPE_CHECKING:
    from decimal import Decimal

    from estimator.programs.program import Program
    from estimator.rates import RateCard

SWITCHES = (*RECIPES, "grounding", "safety")
"""The true/false columns; the value of each is a bit of the code, the first the lowest."""

EXPANSION = 1 << len(SWITCHES)
"""The bit of a run that has targets."""

STRIDES: Mapping[str, int] = {
    "length": 2 * EXPANSION,
    "training_type": 2 * EXPANSION * len(LENGTHS),
    "modality": 2 * EXPANSION * len(LENGTHS) * len(TRAINING_TYPES),
}
"""What a column of words adds to the code for each step along its `WORDS`."""

DIGITS: Mapping[str, tuple[int, int]] = {
    **{column: (1 << place, 2) for place, column in enumerate(SWITCHES)},
    "targets": (EXPANSION, 2),
    **{column: (stride, len(WORDS[column])) for column, stride in STRIDES.items()},
}
"""Every column of a configuration: what a step along its values adds to the code, and how many values it has."""

CODES = STRIDES["modality"]
"""How many codes one modality has; those of the next one follow."""


Amounts = tuple[tuple[str, int], ...]
"""The value of an input for each discount or voucher of a card, by name."""


class PriceTable(NamedTuple):
    """The unit prices of one modality by code, in every tier, in units of 10**-unit_decimals.

    `tiers` holds a tuple of prices for each code, None for a code that cannot occur or has no price.
    `possible` are the codes that the present columns can make.
    """

    tiers: tuple[tuple[int, ...] | None, ...]
    possible: tuple[int, ...]

    @property
    def complete(self) -> bool:
        """True when every possible code has a price."""
        return all(self.tiers[code] is not None for code in self.possible)


def price_table(card: RateCard, modality: str, present: Collection[str]) -> PriceTable:
    """The unit prices of every configuration that the columns present can have."""
    section = card.sections[modality]
    tiers: list[tuple[int, ...] | None] = [None] * CODES
    rounded: dict[Decimal, tuple[int, ...]] = {}
    for code, price in _unit_prices(section, present).items():
        if price is not None:
            if price not in rounded:
                rounded[price] = section.tier_prices(price, card.unit_decimals)
            tiers[code] = rounded[price]
    return PriceTable(tuple(tiers), possible_codes(present))


def _unit_prices(section: Section, present: Collection[str]) -> dict[int, Decimal | None]:
    """The exact unit price of every possible code, None where something of it has none.

    Surcharges are applied dimension by dimension to all codes at once: configurations with the same first choices
    share that part of the work.
    """
    prices: dict[int, Decimal | None] = {0: section.base}
    priced = section.dimensions
    for dimension in (*priced, *(each for each in DIMENSIONS if each not in priced)):
        choices = list(_choices(section, dimension, present))
        prices = {
            code + more: None if price is None or is_missing else price if change is None else change.apply(price)
            for code, price in prices.items()
            for more, change, is_missing in choices
        }
    return prices


def _choices(
    section: Section, dimension: str, present: Collection[str]
) -> Iterator[tuple[int, Surcharge | None, bool]]:
    """For each value of a dimension's column: what it adds to the code, its surcharge, and whether it has no price."""
    kind, _, recipe = dimension.partition(".")
    column = recipe or {"training": "training_type", "expansion": "targets"}.get(kind, kind)
    stride, values = DIGITS[column]
    for value in range(values if column in present else 1):
        more = value * stride
        chosen = configuration(more, section, present)
        is_missing = any(name == dimension or name.startswith(f"{dimension}.") for name in section.missing(chosen))
        priced = dimension in section.dimensions and not is_missing
        yield more, section.surcharge(dimension, chosen) if priced else None, is_missing


def possible_codes(present: Collection[str]) -> tuple[int, ...]:
    """The codes, within one modality, that a table with these columns can have."""
    codes = [0]
    for column, (stride, values) in DIGITS.items():
        if column != "modality" and column in present:
            codes = [code + value * stride for value in range(values) for code in codes]
    return tuple(sorted(codes))


def configuration(code: int, section: Section, present: Collection[str]) -> Configuration:
    """The configuration that a code stands for, the section's defaults in place of absent columns."""
    on = {column: bool(digit(code, column)) for column in SWITCHES}
    asked = {name: on[name] if name in present else name in section.recipes_default for name in RECIPES}
    length = LENGTHS[digit(code, "length")] if "length" in present else section.length_default
    training_type = TRAINING_TYPES[digit(code, "training_type")]
    recipes = tuple(name for name in RECIPES if asked[name])
    return Configuration(length, recipes, training_type, on["grounding"], on["safety"], bool(code & EXPANSION))


def known_inputs(card: RateCard, program: Program, present: Collection[str]) -> dict[str, int]:
    """The program's inputs that are the same for every run of a table with these columns."""
    known = {"billable_max": program.steps[program.positions["billable_max"]].greatest}
    if "targets" not in present or not card.targets_max:
        known |= {"sample_ppm": 0, "targets": 0}
    if "discount" not in present:
        known["discount_basis_points"] = 0
    if "voucher" not in present:
        known |= {"voucher_basis_points": 0, "voucher_amount": 0}
    return known


def named_inputs(card: RateCard) -> dict[str, tuple[str, Amounts]]:
    """The inputs that a discount or voucher decides: the column of its name, and the input's value for each name."""
    discounts, vouchers = card.discounts.items(), card.vouchers.items()
    return {
        "discount_basis_points": ("discount", tuple((name, item.basis_points) for name, item in discounts)),
        "voucher_basis_points": ("voucher", tuple((name, item.basis_points) for name, item in vouchers)),
        "voucher_amount": ("voucher", tuple((name, item.amount(card.unit_decimals)) for name, item in vouchers)),
    }


def price_inputs(program: Program, table: PriceTable) -> tuple[dict[str, int], dict[str, int]]:
    """The unit prices that are the same for all codes, by input; and of the others the place of their tier."""
    same, varying = {}, {}
    for tier, name in enumerate(name for name in program.inputs if name.startswith("unit_price_")):
        values = {each[tier] for each in table.tiers if each is not None}
        if len(values) == 1:
            same[name] = values.pop()
        else:
            varying[name] = tier
    return same, varying


def digit(code: int, column: str) -> int:
    """The place of a column's value: 0 or 1 for a true/false value, else the place of its word in `WORDS`."""
    stride, values = DIGITS[column]
    return code // stride % values


def modality_of(code: int) -> str:
    """The modality of a code."""
    return MODALITIES[code // CODES]
