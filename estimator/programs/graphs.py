"""Folded programs of one or many cards as one graph in which no value stands twice: what arrays are computed by.

Cards have most of their steps in common (rows processed, units, often the tiers). A step that is put in twice is
found again, so it is computed once for all of them. Two more rewrites leave every result as it is:

- A charge over tiers is as many times larger as the prices of its tiers are, all alike. Where the tiers' prices
  are the same multiples of one scale in every configuration, the charge is `scale x charge of the multiples`: one
  price is looked up instead of one a tier, and what it multiplies is the same for all cards of such tiers.
- Of cards of which each is dearer than the one before by whole times the same differences (a field in equal steps, as
  in a sweep), each charge is the one before and a number of times what the differences come to: two operations, with
  nothing looked up, and where the steps are equal one.
- A constant that is added to a minimum or maximum with a constant is added to both sides of it, where it meets the
  constants that were added before.

Bounds come from the programs and from the same interval arithmetic; a rewrite that could leave 64 bits is not made.
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
        """The position of what is given from outside; a name means the same for every program."""
        return self._place(("input", name), ProgramStep(name, Op.INPUT, (), least, greatest))

    def constant(self, value: int) -> int:
        """The position of a constant."""
        return self._place(("const", value), ProgramStep(f"constant_{value}", Op.CONST, (), value, value))

    def operation(self, step: ProgramStep, left: int, right: int) -> int:
        """The position of an operation's value; `step` has its name, its operation and bounds it is known to keep."""
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
        """`a + more` with the constant added to what `a` is made of; None where nothing is gained or fits."""
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
        """`x + y + more` where `x + more` stands already; None where it does not."""
        if a.op is not Op.ADD:
            return None
        (x, y), key = a.operands, (Op.ADD, a.operands[0], self._places.get(("const", more)))
        inner = self.steps[x]
        if inner.op is Op.ADD and self.steps[inner.operands[1]].op is Op.CONST:
            # Which was itself put together with what `x` adds.
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
    """The prices of a section's tiers as multiples of one: `of` gives, for a tuple of prices, how many times."""

    def __init__(self, multiples: Sequence[int]) -> None:
        self.multiples = tuple(multiples)
        self._place = next((place for place, multiple in enumerate(multiples) if multiple), 0)

    def of(self, prices: Sequence[int]) -> int:
        """How many times the multiples some prices are, which must be that."""
        return prices[self._place] // self.multiples[self._place] if self.multiples[self._place] else 0


def common_scale(tiers: Sequence[Sequence[int]]) -> Scale | None:
    """The scale on which all tuples of prices are whole times the same multiples; None where there is none."""
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
        scaled: by input, the multiple that a price is of a scale; empty to put the program in as it is.
        times_scale: the graph's position of the scale times what stands at a position, as a step.
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
        """A step as it is, or as what it would be if prices were their multiples."""
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
    """By step: 1 where it grows as many times as all prices do, 0 where it reads none, None for anything else."""
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
            # Nothing is any number of times nothing; a scale is not negative, so it keeps order.
            alike = {found[operand] for operand, zero in zip(step.operands, is_zero, strict=True) if not zero}
            found.append(1 if alike == {1} else None)
        else:
            found.append(None)
    return found
