"""Folded programs of one or many cards, merged into one graph without duplicate steps; arrays are computed by it.

Cards have most of their steps in common (rows, units, often the tiers). A step that is added twice is found again
and computed once. Three rewrites save more and change no result:

- A charge over tiers is proportional to the prices of its tiers. Where these prices are the same multiples of one
  scale in every configuration, the charge is `scale x charge of the multiples`: one price is looked up instead of
  one for each tier, and cards with such tiers share the charge of the multiples.
- Where cards get dearer by whole multiples of one difference (a field in equal steps, as in a sweep), a charge is
  that of the card before plus a multiple of the difference: two operations without a look-up, one for equal steps.
- A constant that is added to a minimum or maximum with a constant is added to both of its sides, where it joins the
  constants added before.

Bounds come from the programs and their interval arithmetic. A rewrite that could leave 64 bits is not made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import gcd

from estimator.programs.folding import same_as_operand
from estimator.programs.program import FUNCTIONS, INT64_MAX, Op, Program, ProgramStep, interval

COMMUTING = (Op.ADD, Op.MUL, Op.MIN, Op.MAX)


class Graph:
    """Steps, each after those it reads; `operands` are positions in `steps`."""

    def __init__(self) -> None:
        self.steps: list[ProgramStep] = []
        self._places: dict[tuple[object, ...], int] = {}

    def input(self, name: str, least: int, greatest: int) -> int:
        """The position of an input; a name is the same input in every program."""
        return self._place(("input", name), ProgramStep(name, Op.INPUT, (), least, greatest))

    def constant(self, value: int) -> int:
        """The position of a constant."""
        return self._place(("const", value), ProgramStep(f"constant_{value}", Op.CONST, (), value, value))

    def operation(self, step: ProgramStep, left: int, right: int) -> int:
        """The position of an operation's value; `step` has its name, its operation and the bounds known so far."""
        op = step.op
        if op in COMMUTING and self.steps[left].op is Op.CONST:
            left, right = right, left
        a, b = self.steps[left], self.steps[right]
        if a.op is Op.CONST and b.op is Op.CONST:
            return self.constant(FUNCTIONS[op](a.least, b.least))
        same = same_as_operand(op, a, b)
        if same is not None:
            return left if same is a else right
        if op is Op.ADD and b.op is Op.CONST:
            moved = self._added_below(step, a, b.least)
            moved = self._added_before(step, a, b.least) if moved is None else moved
            if moved is not None:
                return self._places.setdefault((op, left, right), moved)
        bounds = interval(op, (a.least, a.greatest), (b.least, b.greatest))
        least, greatest = max(bounds[0], step.least), min(bounds[1], step.greatest)
        if least == greatest:
            return self.constant(least)
        return self._place((op, left, right), ProgramStep(step.name, op, (left, right), least, greatest))

    def _added_below(self, step: ProgramStep, a: ProgramStep, more: int) -> int | None:
        """`a + more` with the constant added to the operands of `a`; None where that gains nothing or may overflow."""
        if a.op not in (Op.ADD, Op.MIN, Op.MAX):
            return None
        inner, known = (self.steps[operand] for operand in a.operands)
        if known.op is not Op.CONST or known.least + more > INT64_MAX or inner.greatest + more > INT64_MAX:
            return None
        if a.op is Op.ADD:
            return self.operation(step, a.operands[0], self.constant(known.least + more))
        lower = ProgramStep(step.name, Op.ADD, (), inner.least + more, inner.greatest + more)
        moved = self.operation(lower, a.operands[0], self.constant(more))
        return self.operation(step._replace(op=a.op), moved, self.constant(known.least + more))

    def _added_before(self, step: ProgramStep, a: ProgramStep, more: int) -> int | None:
        """`x + y + more` where the graph has `x + more` already; else None."""
        if a.op is not Op.ADD:
            return None
        (x, y), key = a.operands, (Op.ADD, a.operands[0], self._places.get(("const", more)))
        inner = self.steps[x]
        if inner.op is Op.ADD and self.steps[inner.operands[1]].op is Op.CONST:
            # `x` is a sum with a constant, so `x + more` was placed with both constants as one.
            total = self.steps[inner.operands[1]].least + more
            key = (Op.ADD, inner.operands[0], self._places.get(("const", total)))
        there = self._places.get(key)
        return None if there is None else self.operation(step, there, y)

    def _place(self, key: tuple[object, ...], step: ProgramStep) -> int:
        place = self._places.setdefault(key, len(self.steps))
        if place == len(self.steps):
            self.steps.append(step)
        return place


class Scale:
    """The prices of tiers as multiples of one scale; `of` gives the scale of a tuple of prices."""

    def __init__(self, multiples: Sequence[int]) -> None:
        self.multiples = tuple(multiples)
        self._place = next((place for place, multiple in enumerate(multiples) if multiple), 0)

    def of(self, prices: Sequence[int]) -> int:
        """The factor from the multiples to some prices, which must be proportional to them."""
        return prices[self._place] // self.multiples[self._place] if self.multiples[self._place] else 0


def common_scale(tiers: Sequence[Sequence[int]]) -> Scale | None:
    """The scale to which all tuples of prices are proportional; None where there is none."""
    first = next((prices for prices in tiers if any(prices)), None)
    if first is None:
        return None
    scale = Scale([price // gcd(*first) for price in first])
    fits = all(tuple(multiple * scale.of(prices) for multiple in scale.multiples) == tuple(prices) for prices in tiers)
    return scale if fits else None


class Insertion:
    """Puts one folded program into a graph.

    Args:
        leaf: the graph's position of one of the program's inputs.
        scaled: by input, the multiple of the scale that a price is; empty to insert the program as it is.
        times_scale: the graph's position of the scale times the value at a position.
    """

    def __init__(
        self,
        graph: Graph,
        program: Program,
        leaf: Callable[[ProgramStep], int],
        scaled: Mapping[str, int] | None = None,
        times_scale: Callable[[ProgramStep, int], int] | None = None,
    ) -> None:
        self._graph, self._program, self._leaf = graph, program, leaf
        self._scaled, self._times = scaled or {}, times_scale
        self._degrees = degrees(program, self._scaled)
        self._found: dict[tuple[int, bool], int] = {}

    def place(self, position: int) -> int:
        """The graph's position of one of the program's steps."""
        if self._times is not None and self._degrees[position] == 1:
            return self._times(self._program.steps[position], self._put(position, as_multiples=True))
        return self._put(position, as_multiples=False)

    def _put(self, position: int, *, as_multiples: bool) -> int:
        """The position of a step, computed from the prices or from their multiples."""
        key = (position, as_multiples)
        if key not in self._found:
            self._found[key] = self._made(position, as_multiples=as_multiples)
        return self._found[key]

    def _made(self, position: int, *, as_multiples: bool) -> int:
        step = self._program.steps[position]
        if step.op is Op.CONST:
            return self._graph.constant(step.least)
        if step.op is Op.INPUT:
            return self._graph.constant(self._scaled[step.name]) if step.name in self._scaled else self._leaf(step)
        if not as_multiples:
            left, right = map(self.place, step.operands)
            return self._graph.operation(step, left, right)
        left, right = (self._put(operand, as_multiples=self._degrees[operand] == 1) for operand in step.operands)
        return self._graph.operation(step._replace(least=-INT64_MAX, greatest=INT64_MAX), left, right)


def degrees(program: Program, prices: Mapping[str, int]) -> list[int | None]:
    """By step: 1 where it is proportional to the prices, 0 where it reads no price, None for anything else."""
    found: list[int | None] = []
    for step in program.steps:
        if not step.operands:
            found.append(1 if step.name in prices else 0)
            continue
        of = {found[operand] for operand in step.operands}
        is_zero = [program.steps[operand].least == program.steps[operand].greatest == 0 for operand in step.operands]
        if of == {0}:
            found.append(0)
        elif step.op is Op.MUL:
            found.append(1 if of == {0, 1} else None)
        elif step.op in (Op.ADD, Op.SUB, Op.MIN, Op.MAX):
            # Zero is proportional to anything. A scale is not negative, so it keeps the order of amounts.
            alike = {found[operand] for operand, zero in zip(step.operands, is_zero, strict=True) if not zero}
            found.append(1 if alike == {1} else None)
        else:
            found.append(None)
    return found
