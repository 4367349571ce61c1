"""The price of a plan read straight off a rate card's canonical content, with fractions and unbounded integers.

Written from the documentation of rate cards and sharing no code with the package, so that agreement means something.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from typing import Any

DIMENSIONS = [
    "length",
    "recipes.deduplication",
    "recipes.prompt_metadata_injection",
    "recipes.prompt_rephrase",
    "recipes.reasoning_traces",
    "training",
    "grounding",
    "safety",
    "expansion",
]


def half_even(value: Fraction) -> int:
    """The nearest integer, ties to the even one."""
    return round(value)


def unit_price(section: dict[str, Any], plan: dict[str, Any]) -> Fraction:
    """Credits per unit of billing, exactly, before tiers and rounding."""
    price = Fraction(section["row"] if "row" in section else section["block"])
    for dimension in section["order"]:
        surcharge = chosen(section, plan, dimension)
        if surcharge is None:
            continue
        if "add" in surcharge:
            price += Fraction(surcharge["add"])
        elif "multiply" in surcharge:
            price *= Fraction(surcharge["multiply"])
    return price


def chosen(section: dict[str, Any], plan: dict[str, Any], dimension: str) -> dict[str, Any] | None:
    """The surcharge that the plan's choice in a dimension has on the card."""
    if dimension == "length":
        return {"multiply": section["length"][plan["length"]]}
    if dimension == "training":
        return section["training"].get(plan["training_type"])
    if dimension.startswith("recipes."):
        name = dimension.removeprefix("recipes.")
        return section["recipes"][name] if name in plan["recipes"] else None
    wanted = plan["targets"] > 0 if dimension == "expansion" else plan[dimension]
    return section[dimension] if wanted else None


def rows_output(plan: dict[str, Any]) -> int:
    """Input rows and the rows that expansion adds."""
    return plan["rows"] + floor(Fraction(plan["rows"] * plan["sample_ppm"], 10**6)) * plan["targets"]


def units(section: dict[str, Any], plan: dict[str, Any], billable_max: int | None = None) -> int:
    """Rows or blocks billed."""
    output = rows_output(plan)
    rows = {"output": output, "input": plan["rows"], "added": output - plan["rows"]}[section["basis"]]
    if billable_max is not None:
        rows = min(rows, billable_max)
    if "block" in section:
        return max(ceil(Fraction(rows, section["block_rows"])), section["blocks_min"])
    return rows


def charge(section: dict[str, Any], count: int, price: Fraction, decimals: int) -> Fraction:
    """Credits for a number of units, unit prices rounded half-even to so many decimals."""
    scale = 10**decimals

    def priced(multiplier: Fraction) -> Fraction:
        return Fraction(half_even(price * multiplier * scale), scale)

    tiers = section["tiers"]
    if not tiers:
        return count * priced(Fraction(1))
    total, dearest, start = Fraction(0), Fraction(0), 0
    for tier in tiers:
        if count <= start:
            break
        inside = count if tier.get("up_to") is None else min(count, tier["up_to"])
        each = priced(Fraction(tier["multiply"]))
        total += (inside - start) * each
        fixed = tier.get("bill", tier.get("up_to"))
        dearest = max(dearest, (fixed if section["tiers_mode"] == "cliff" else inside) * each)
        start = inside
    return total if section["tiers_mode"] == "graduated" else dearest


def part_of(amount: Fraction, percent: str, decimals: int) -> Fraction:
    """A percentage of an amount, rounded down to so many decimals."""
    scale = 10**decimals
    return Fraction(floor(amount * scale * Fraction(percent) / 100), scale)


def price_micro(card: dict[str, Any], plan: dict[str, Any], billable_max: int | None = None) -> int:
    """Micro-credits of a plan (`RunPlan.to_dict`) under a card (`json.loads(card.to_json())`)."""
    section, decimals = card[plan["modality"]], card["unit_decimals"]
    amount = charge(section, units(section, plan, billable_max), unit_price(section, plan), decimals)
    amount += Fraction(card["fee"])
    if plan["discount"] is not None:
        amount -= part_of(amount, card["discounts"][plan["discount"]]["percent"], decimals)
    amount = max(amount, Fraction(card["minimum"]))
    if "cap" in card:
        amount = min(amount, Fraction(card["cap"]))
    if plan["voucher"] is not None:
        voucher = card["vouchers"][plan["voucher"]]
        off = part_of(amount, voucher["percent"], decimals) if "percent" in voucher else Fraction(voucher["credits"])
        amount = max(amount - off, Fraction(0))
    quantum = Fraction(card["quantum"])
    return int(ceil(amount / quantum) * quantum * 10**6)


def settled_micro(card: dict[str, Any], plan: dict[str, Any], outcome: dict[str, Any]) -> int:
    """Micro-credits of a run that ended, by the card's settlement policy."""
    processed, delivered = outcome["rows_processed"], outcome["rows_delivered"]
    if processed == 0:
        return 0
    if card["settlement"] == "requested":
        rows = plan["rows"] if outcome["status"] == "succeeded" else processed
        return price_micro(card, plan | {"rows": rows})
    basis = card[plan["modality"]]["basis"]
    billable = {"output": delivered, "input": processed, "added": max(0, delivered - processed)}[basis]
    return price_micro(card, plan, billable)
