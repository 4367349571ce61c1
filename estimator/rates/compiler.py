"""A rate card compiled to integers: one program for each modality.

Amounts are credits x 10**unit_decimals until the total is rounded up to the card's quantum. The order is:
rows, added rows, billable rows, units, charge over the tiers, fee, discount, minimum, cap, voucher, rounding.
A discount and a percent voucher are rounded down (in the charge's favour, below the quantum). Every step
keeps the order of rows: more rows never cost less.

The input `rows` is the rows to process: `max_rows` is applied where a request, an array or a table is read.
"""

from __future__ import annotations

from collections.abc import Sequence

from estimator.credits import scaled, to_micro
from estimator.programs.program import Builder, Op, Program
from estimator.rates.sections import PPM, Section
from estimator.rates.terms import Terms

_REMEDY = "Lower rows_max, targets_max, unit_decimals or the prices, or raise the quantum."


def compile_card(card: Terms) -> dict[str, Program]:
    """The program of each modality that a card prices. Raises `RateCardOverflow`."""
    return {name: _compile_section(card, name, section) for name, section in card.sections.items()}


def _compile_section(card: Terms, modality: str, section: Section) -> Program:
    build = Builder(modality, _REMEDY)
    billable = _billable_rows(build, card, section)
    units_max = section.units_max(card.rows_max, card.targets_max)
    prices = [
        build.input(f"unit_price_{number}", 0, greatest)
        for number, greatest in enumerate(section.unit_prices_max(card.unit_decimals), 1)
    ]
    percents = [discount.basis_points for discount in card.discounts.values()]
    discount = build.input("discount_basis_points", 0, max(percents)) if any(percents) else None
    percents = [voucher.basis_points for voucher in card.vouchers.values()]
    voucher_percent = build.input("voucher_basis_points", 0, max(percents)) if any(percents) else None
    amounts = [voucher.amount(card.unit_decimals) for voucher in card.vouchers.values()]
    voucher_amount = build.input("voucher_amount", 0, max(amounts)) if any(amounts) else None

    units = _units(build, section, billable)
    charge = _charge(build, section, units, prices, units_max)
    amount = _adjusted(build, card, charge, discount)
    amount = _less_vouchers(build, amount, voucher_percent, voucher_amount)
    _rounded_up(build, card, amount)
    return build.build()


def _billable_rows(build: Builder, card: Terms, section: Section) -> str:
    rows = build.input("rows", 0, card.rows_max)
    ppm = build.input("sample_ppm", 0, PPM)
    targets = build.input("targets", 0, card.targets_max)
    output_max = card.rows_max * (1 + card.targets_max)
    billable_max = build.input("billable_max", 0, output_max)

    sampled = build.step("rows_sampled_in_parts", Op.MUL, rows, ppm)
    sampled = build.step("rows_sampled", Op.FLOORDIV, sampled, PPM)
    added = build.step("rows_added", Op.MUL, sampled, targets)
    output = build.step("rows_output", Op.ADD, rows, added)
    basis = {"output": output, "input": rows, "added": added}[section.basis]
    return build.step("rows_billable", Op.MIN, basis, billable_max)


def _units(build: Builder, section: Section, billable: str) -> str:
    block_rows = section.block_rows or 1
    if block_rows > 1 and not section.blocks_min:
        return build.ceiling("units", billable, block_rows)
    return build.step("units", Op.MAX, build.ceiling("blocks", billable, block_rows), section.blocks_min)


def _charge(build: Builder, section: Section, units: str, prices: Sequence[str], units_max: int) -> str:
    if not section.tiers:
        return build.step("charge", Op.MUL, units, prices[0])
    terms, reached = [], 0
    for number, (tier, price) in enumerate(zip(section.tiers, prices, strict=True), 1):
        last = units_max if tier.up_to is None else tier.up_to
        if section.tiers_mode == "graduated":
            terms.append(_tier_slice(build, number, units, price, reached, tier.up_to))
        else:
            inside = build.step(f"tier_{number}_reached", Op.GREATER, units, reached)
            fixed = tier.up_to if tier.bill is None else tier.bill
            billed = (
                build.const(fixed)
                if section.tiers_mode == "cliff" and fixed is not None
                else build.step(f"tier_{number}_units", Op.MIN, units, max(last, reached))
            )
            amount = build.step(f"tier_{number}_amount", Op.MUL, billed, price)
            terms.append(build.step(f"tier_{number}_charge", Op.MUL, amount, inside))
        reached = last
    return _combined(build, Op.ADD if section.tiers_mode == "graduated" else Op.MAX, terms)


def _combined(build: Builder, combine: Op, terms: Sequence[str]) -> str:
    """The sum or the greatest of the tiers' charges, as the step `charge`."""
    charge = terms[0]
    for number, term in enumerate(terms[1:-1], 2):
        charge = build.step(f"charge_to_tier_{number}", combine, charge, term)
    return build.step("charge", combine, charge, terms[-1] if len(terms) > 1 else 0)


def _tier_slice(build: Builder, number: int, units: str, price: str, start: int, end: int | None) -> str:
    above = units if end is None else build.step(f"tier_{number}_capped", Op.MIN, units, end)
    if start:
        above = build.step(f"tier_{number}_above", Op.SUB, above, start)
        above = build.step(f"tier_{number}_units", Op.MAX, above, 0)
    return build.step(f"tier_{number}_charge", Op.MUL, above, price)


def _adjusted(build: Builder, card: Terms, charge: str, discount: str | None) -> str:
    decimals = card.unit_decimals
    amount = charge
    if card.fee:
        amount = build.stage("fee", amount, build.step("with_fee", Op.ADD, amount, scaled(card.fee, decimals)))
    if discount is not None:
        taken = build.percentage("discount", amount, discount)
        amount = build.stage("discount", amount, _less(build, "discounted", amount, taken))
    if card.minimum:
        least = scaled(card.minimum, decimals)
        amount = build.stage("minimum", amount, build.step("at_least_the_minimum", Op.MAX, amount, least))
    if card.cap is not None:
        most = scaled(card.cap, decimals)
        amount = build.stage("cap", amount, build.step("at_most_the_cap", Op.MIN, amount, most))
    return amount


def _less(build: Builder, name: str, amount: str, taken: str) -> str:
    """`amount - taken`, never below zero."""
    left = build.step(f"{name}_or_less", Op.SUB, amount, taken)
    return build.step(name, Op.MAX, left, 0)


def _less_vouchers(build: Builder, amount: str, percent: str | None, credits_off: str | None) -> str:
    before = amount
    if percent is not None:
        amount = _less(build, "after_voucher_percent", amount, build.percentage("voucher", amount, percent))
    if credits_off is not None:
        amount = _less(build, "after_voucher", amount, credits_off)
    return amount if amount == before else build.stage("voucher", before, amount)


def _rounded_up(build: Builder, card: Terms, amount: str) -> None:
    quantum = scaled(card.quantum, card.unit_decimals)
    quanta = build.ceiling("quanta", amount, quantum)
    total = build.step("total", Op.MUL, quanta, quantum)
    build.stage("rounding", amount, total)
    build.step("micro", Op.MUL, quanta, to_micro(card.quantum))
