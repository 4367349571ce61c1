"""Straight-line programs of integers, proved to stay in 64 bits.

A program is a list of steps in single-assignment form. A step is a constant, an input, or one operation on
earlier steps. There is no branch, no loop and no division of a negative number, so Python, an array library and
SQL compute the same integers from the same list. `floordiv` divides by a positive constant; a ceiling is written
`(a + b - 1) div b`; `greater` is 1 or 0.

`Builder` works out the interval of every step from the intervals of its operands, and refuses a step whose
interval leaves 64 bits.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from estimator.errors import RateCardOverflow

INT64_MAX = 2**63 - 1
DOUBLE_EXACT_MAX = 2**53
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


class ProgramStep(NamedTuple):
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
        steps: Sequence[ProgramStep],
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


class Builder:
    """Collects the steps of a program with their intervals.

    Args:
        section: the part of a rate card that the program prices, named in a refusal.
        remedy: the closing sentence of a refusal.

    Raises `RateCardOverflow` for a step that could leave 64 bits.
    """

    def __init__(self, section: str, remedy: str) -> None:
        self._section, self._remedy = section, remedy
        self._inputs: list[ProgramStep] = []
        self._constants: dict[int, ProgramStep] = {}
        self._operations: list[tuple[str, Op, str, str]] = []
        self._intervals: dict[str, tuple[int, int]] = {}
        self.stages: list[tuple[str, str, str]] = []

    def input(self, name: str, least: int, greatest: int) -> str:
        """Add an input, whose values lie in `least..greatest`; returns its name."""
        self._bound(name, least, greatest)
        self._inputs.append(ProgramStep(name, Op.INPUT, (), least, greatest))
        return name

    def const(self, value: int) -> str:
        """Add a constant, unless it is there; returns its name."""
        name = f"constant_{value}"
        if value not in self._constants:
            self._bound(name, value, value)
            self._constants[value] = ProgramStep(name, Op.CONST, (), value, value)
        return name

    def step(self, name: str, op: Op, left: str, right: str | int) -> str:
        """Add an operation on two earlier steps, or on a step and a constant; returns its name."""
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
                raise RateCardOverflow(self._section, name, bound, self._remedy)
        self._intervals[name] = (least, greatest)

    def build(self) -> Program:
        """The program of all the steps that were added."""
        leaves = [*self._inputs, *self._constants.values()]
        names = [step.name for step in leaves] + [name for name, *_ in self._operations]
        positions = {name: position for position, name in enumerate(names)}
        operations = [
            ProgramStep(name, op, (positions[left], positions[right]), *self._intervals[name])
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
