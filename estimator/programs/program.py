"""A rate card compiled to integers: one straight-line program per modality, proved to stay in 64 bits.

A program is a list of steps in single-assignment form. A step is a constant, an input, or one operation on
earlier steps; there is no branch, no loop and no division of a negative number, so the same list can be run
by Python, by an array library or as SQL, and give the same integers. `floordiv` always divides by a positive
constant; a ceiling is written `(a + b - 1) div b`; `greater` is 1 or 0.

Compiling works out, for every step, the interval its value lies in for any run within the card's limits. A
card for which some interval leaves 64 bits is refused, with the step named.

Amounts are credits x 10**unit_decimals until the total is rounded up to the card's quantum. The order is:
rows, added rows, billable rows, units, charge over the tiers, fee, discount, minimum, cap, voucher, rounding.
A discount and a percent voucher are rounded down (in the charge's favour, below the quantum). Every step
keeps the order of rows: more rows never cost less.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from estimator.credits import POWERS, to_micro
from estimator.errors import RateCardOverflow

if TYPE_CHECKING:
    from decimal import Decimal

    from estimator.rates import RateCard
    from estimator.rates.sections import Section

INT64_MAX = 2**63 - 1
DOUBLE_EXACT_MAX = 2**53
PPM = 1_000_000
BASIS_POINTS = 10_000


class Op(StrEnum):
    """What a step does; `operands` are the positions of earlier steps."""

    CONST = "const"
    INPUT = "input"
    ADD = "add"
    SUB = "sub"
    MUL = "mul"
    FLOORDIV = "floordiv"
    MIN = "min"
    MAX = "max"
    GREATER = "greater"


class Step(NamedTuple):
    """One value of a program, which lies in `least..greatest` for every run within the card's limits."""

    name: str
    op: Op
    operands: tuple[int, ...]
    least: int
    greatest: int


class Adjustment(NamedTuple):
    """A stage that changes the running amount: the steps that hold the amount before and after it."""

    code: str
    before: int
    after: int


def _greater(a: int, b: int) -> int:
    return 1 if a > b else 0


def _least(a: int, b: int) -> int:
    return a if a < b else b  # half the time of the built-in, which takes any number of arguments


def _greatest(a: int, b: int) -> int:
    return a if a > b else b


FUNCTIONS: Mapping[Op, Callable[[int, int], int]] = {
    Op.ADD: operator.add,
    Op.SUB: operator.sub,
    Op.MUL: operator.mul,
    Op.FLOORDIV: operator.floordiv,
    Op.MIN: _least,
    Op.MAX: _greatest,
    Op.GREATER: _greater,
}


class Program:
    """The steps that price one modality under one card, and where to find what matters among them.

    Inputs come first, in the order of `inputs`, then constants, then operations. The steps `rows_output`,
    `rows_billable`, `units`, `charge` and `micro` are in every program. `pricings` is a cache for the
    callers' own work per configuration.
    """

    __slots__ = ("_code", "_constants", "adjustments", "inputs", "positions", "pricings", "steps")

    def __init__(
        self,
        steps: Sequence[Step],
        adjustments: Sequence[Adjustment],
        positions: Mapping[str, int] | None = None,
    ) -> None:
        self.steps = tuple(steps)
        self.adjustments = tuple(adjustments)
        self.inputs = tuple(step.name for step in self.steps if step.op is Op.INPUT)
        if positions is None:
            positions = {step.name: position for position, step in enumerate(self.steps)}
        self.positions = dict(positions)
        self.pricings: dict[Any, Any] = {}
        self._constants = tuple(step.least for step in self.steps if step.op is Op.CONST)
        self._code = tuple(
            (FUNCTIONS[step.op], step.operands[0], step.operands[1]) for step in self.steps if step.operands
        )

    @property
    def exact_in_double(self) -> bool:
        """True when a double holds every value exactly, so that even an engine of floats is right."""
        return all(max(-step.least, step.greatest) < DOUBLE_EXACT_MAX for step in self.steps)

    def path_to(self, result: int) -> list[int]:
        """The positions that a step depends on, and its own; no constants, each input just before its first reader."""
        path: list[int] = []
        seen: set[int] = set()

        def visit(position: int) -> None:
            step = self.steps[position]
            if position in seen or step.op is Op.CONST:
                return
            seen.add(position)
            for operand in step.operands:
                visit(operand)
            path.append(position)

        visit(result)
        return path

    def run(self, inputs: Sequence[int]) -> list[int]:
        """The value of every step, by position, for inputs in their order that are known to be in range."""
        values = [*inputs, *self._constants]
        append = values.append
        for function, left, right in self._code:
            append(function(values[left], values[right]))
        return values

    def evaluate(self, inputs: Mapping[str, int]) -> dict[str, int]:
        """The value of every step by name. Raises ValueError for an input that is missing or out of range."""
        for step in self.steps[: len(self.inputs)]:
            value = inputs.get(step.name)
            if value is None or not step.least <= value <= step.greatest:
                raise ValueError(
                    f"Input {step.name!r} is {value}. Give an integer from {step.least} to {step.greatest}."
                )
        values = self.run([inputs[name] for name in self.inputs])
        return {step.name: value for step, value in zip(self.steps, values, strict=True)}


class _Builder:
    """Collects steps and their intervals; refuses a step that could leave 64 bits."""

    def __init__(self, modality: str) -> None:
        self._modality = modality
        self._inputs: list[Step] = []
        self._constants: dict[int, Step] = {}
        self._operations: list[tuple[str, Op, str, str]] = []
        self._intervals: dict[str, tuple[int, int]] = {}
        self.stages: list[tuple[str, str, str]] = []

    def input(self, name: str, least: int, greatest: int) -> str:
        self._bound(name, least, greatest)
        self._inputs.append(Step(name, Op.INPUT, (), least, greatest))
        return name

    def const(self, value: int) -> str:
        name = f"constant_{value}"
        if value not in self._constants:
            self._bound(name, value, value)
            self._constants[value] = Step(name, Op.CONST, (), value, value)
        return name

    def step(self, name: str, op: Op, left: str, right: str | int) -> str:
        other = self.const(right) if isinstance(right, int) else right
        least, greatest = interval(op, self._intervals[left], self._intervals[other])
        self._bound(name, least, greatest)
        self._operations.append((name, op, left, other))
        return name

    def ceiling(self, name: str, dividend: str, divisor: int) -> str:
        """`dividend` over `divisor`, rounded up."""
        if divisor == 1:
            return dividend
        raised = self.step(f"{name}_raised", Op.ADD, dividend, divisor - 1)
        return self.step(name, Op.FLOORDIV, raised, divisor)

    def percentage(self, name: str, amount: str, basis_points: str) -> str:
        """`amount x basis_points / 10,000`, rounded down, without a product as large as amount x 10,000."""
        whole = self.step(f"{name}_whole", Op.FLOORDIV, amount, BASIS_POINTS)
        below = self.step(f"{name}_below", Op.MUL, whole, BASIS_POINTS)
        rest = self.step(f"{name}_rest", Op.SUB, amount, below)
        # Division leaves a remainder below its divisor; interval arithmetic alone cannot see that.
        self._intervals[rest] = (0, BASIS_POINTS - 1)
        of_whole = self.step(f"{name}_of_whole", Op.MUL, whole, basis_points)
        of_rest = self.step(f"{name}_of_rest", Op.MUL, rest, basis_points)
        of_rest = self.step(f"{name}_of_rest_in_full", Op.FLOORDIV, of_rest, BASIS_POINTS)
        return self.step(f"{name}_taken_off", Op.ADD, of_whole, of_rest)

    def stage(self, code: str, before: str, after: str) -> str:
        """Record that `code` changes the running amount from one step to another."""
        self.stages.append((code, before, after))
        return after

    def _bound(self, name: str, least: int, greatest: int) -> None:
        for bound in (least, greatest):
            if not -INT64_MAX <= bound <= INT64_MAX:
                remedy = "Lower rows_max, targets_max, unit_decimals or the prices, or raise the quantum."
                raise RateCardOverflow(self._modality, name, bound, remedy)
        self._intervals[name] = (least, greatest)

    def build(self) -> Program:
        leaves = [*self._inputs, *self._constants.values()]
        names = [step.name for step in leaves] + [name for name, *_ in self._operations]
        positions = {name: position for position, name in enumerate(names)}
        operations = [
            Step(name, op, (positions[left], positions[right]), *self._intervals[name])
            for name, op, left, right in self._operations
        ]
        adjustments = [Adjustment(code, positions[before], positions[after]) for code, before, after in self.stages]
        return Program([*leaves, *operations], adjustments)


def interval(op: Op, left: tuple[int, int], right: tuple[int, int]) -> tuple[int, int]:
    """Where the result of an operation lies, given where its operands lie."""
    (a, b), (c, d) = left, right
    if op is Op.ADD:
        return a + c, b + d
    if op is Op.SUB:
        return a - d, b - c
    if op is Op.MUL:
        products = (a * c, a * d, b * c, b * d)
        return min(products), max(products)
    if op is Op.FLOORDIV:
        assert a >= 0
        assert c == d > 0
        return a // c, b // c
    if op is Op.MIN:
        return min(a, c), min(b, d)
    if op is Op.MAX:
        return max(a, c), max(b, d)
    return _greater(a, d), _greater(b, c)


def scaled(amount: Decimal, decimals: int) -> int:
    """An amount of credits (at most six decimals) in units of 10**-decimals; `decimals` is at least six."""
    return to_micro(amount) * POWERS[decimals - 6]


def compile_card(card: RateCard) -> dict[str, Program]:
    """The program of each modality that a card prices. Raises `RateCardOverflow`."""
    return {name: _compile_section(card, name, section) for name, section in card.sections.items()}


def _compile_section(card: RateCard, modality: str, section: Section) -> Program:
    build = _Builder(modality)
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
    amounts = [scaled(voucher.credits, card.unit_decimals) for voucher in card.vouchers.values() if voucher.credits]
    voucher_amount = build.input("voucher_amount", 0, max(amounts)) if amounts else None

    units = _units(build, section, billable)
    charge = _charge(build, section, units, prices, units_max)
    amount = _adjusted(build, card, charge, discount)
    amount = _less_vouchers(build, amount, voucher_percent, voucher_amount)
    _rounded_up(build, card, amount)
    return build.build()


def _billable_rows(build: _Builder, card: RateCard, section: Section) -> str:
    rows = build.input("rows", 0, card.rows_max)
    rows_asked = build.input("max_rows", 0, card.rows_max)
    ppm = build.input("sample_ppm", 0, PPM)
    targets = build.input("targets", 0, card.targets_max)
    output_max = card.rows_max * (1 + card.targets_max)
    billable_max = build.input("billable_max", 0, output_max)

    processed = build.step("rows_processed", Op.MIN, rows, rows_asked)
    sampled = build.step("rows_sampled_in_parts", Op.MUL, processed, ppm)
    sampled = build.step("rows_sampled", Op.FLOORDIV, sampled, PPM)
    added = build.step("rows_added", Op.MUL, sampled, targets)
    output = build.step("rows_output", Op.ADD, processed, added)
    basis = {"output": output, "input": processed, "added": added}[section.basis]
    return build.step("rows_billable", Op.MIN, basis, billable_max)


def _units(build: _Builder, section: Section, billable: str) -> str:
    block_rows = section.block_rows or 1
    if block_rows > 1 and not section.blocks_min:
        return build.ceiling("units", billable, block_rows)
    return build.step("units", Op.MAX, build.ceiling("blocks", billable, block_rows), section.blocks_min)


def _charge(build: _Builder, section: Section, units: str, prices: Sequence[str], units_max: int) -> str:
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


def _combined(build: _Builder, combine: Op, terms: Sequence[str]) -> str:
    """The sum or the greatest of the tiers' charges, as the step `charge`."""
    charge = terms[0]
    for number, term in enumerate(terms[1:-1], 2):
        charge = build.step(f"charge_to_tier_{number}", combine, charge, term)
    return build.step("charge", combine, charge, terms[-1] if len(terms) > 1 else 0)


def _tier_slice(build: _Builder, number: int, units: str, price: str, start: int, end: int | None) -> str:
    above = units if end is None else build.step(f"tier_{number}_capped", Op.MIN, units, end)
    if start:
        above = build.step(f"tier_{number}_above", Op.SUB, above, start)
        above = build.step(f"tier_{number}_units", Op.MAX, above, 0)
    return build.step(f"tier_{number}_charge", Op.MUL, above, price)


def _adjusted(build: _Builder, card: RateCard, charge: str, discount: str | None) -> str:
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


def _less(build: _Builder, name: str, amount: str, taken: str) -> str:
    """`amount - taken`, never below zero."""
    left = build.step(f"{name}_or_less", Op.SUB, amount, taken)
    return build.step(name, Op.MAX, left, 0)


def _less_vouchers(build: _Builder, amount: str, percent: str | None, credits_off: str | None) -> str:
    before = amount
    if percent is not None:
        amount = _less(build, "after_voucher_percent", amount, build.percentage("voucher", amount, percent))
    if credits_off is not None:
        amount = _less(build, "after_voucher", amount, credits_off)
    return amount if amount == before else build.stage("voucher", before, amount)


def _rounded_up(build: _Builder, card: RateCard, amount: str) -> None:
    quantum = scaled(card.quantum, card.unit_decimals)
    quanta = build.ceiling("quanta", amount, quantum)
    total = build.step("total", Op.MUL, quanta, quantum)
    build.stage("rounding", amount, total)
    build.step("micro", Op.MUL, quanta, to_micro(card.quantum))
