"""Partial evaluation of a program: with some inputs known, most steps are constants or pass a value on.

The unit prices, the discount, the voucher and usually the expansion of a configuration are known. Folding them in
once leaves a few steps for every run of that configuration. A step is dropped only where interval arithmetic, the
same that proves the program, proves its value; so the folded program gives the same integers.
"""

from __future__ import annotations

from collections.abc import Mapping

from estimator.programs.program import FUNCTIONS, Adjustment, Op, Program, ProgramStep, interval

RESULTS = ("rows_output", "rows_billable", "units", "charge", "micro")
"""The steps, present in every program, whose values a folded program still gives by name."""


class _Folder:
    """Rebuilds a program step by step, keeping only what is not yet known."""

    def __init__(self, known: Mapping[str, int], limits: Mapping[str, int]) -> None:
        self._known, self._limits = known, limits
        self._inputs: list[ProgramStep] = []
        self._constants: dict[int, ProgramStep] = {}
        self._operations: list[ProgramStep] = []

    def leaf(self, step: ProgramStep) -> ProgramStep:
        """An input or constant, or the constant that the input is known to be."""
        if step.op is Op.CONST:
            return self.constant(step.least)
        if step.name in self._known:
            return self.constant(self._known[step.name])
        step = step._replace(greatest=min(step.greatest, self._limits.get(step.name, step.greatest)))
        self._inputs.append(step)
        return step

    def constant(self, value: int) -> ProgramStep:
        return self._constants.setdefault(value, ProgramStep(f"constant_{value}", Op.CONST, (), value, value))

    def operation(self, step: ProgramStep, left: ProgramStep, right: ProgramStep) -> ProgramStep:
        """The step that holds the operation's value: an earlier one where that is proved to be equal."""
        same = same_as_operand(step.op, left, right)
        if same is not None:
            return same
        bounds = interval(step.op, (left.least, left.greatest), (right.least, right.greatest))
        least, greatest = max(bounds[0], step.least), min(bounds[1], step.greatest)
        if left.op is Op.CONST and right.op is Op.CONST:
            return self.constant(FUNCTIONS[step.op](left.least, right.least))
        if least == greatest:
            return self.constant(least)
        folded = ProgramStep(step.name, step.op, (id(left), id(right)), least, greatest)
        self._operations.append(folded)
        return folded

    def program(
        self, found: Mapping[str, ProgramStep], adjustments: list[tuple[str, ProgramStep, ProgramStep]]
    ) -> Program:
        """The folded program; names of the original lead to the steps that now hold their values."""
        kept = [(code, before, after) for code, before, after in adjustments if before is not after]
        needed = self._needed([*found.values(), *(step for _, *pair in kept for step in pair)])
        constants = [step for step in self._constants.values() if id(step) in needed]
        operations = [step for step in self._operations if id(step) in needed]
        # An input stays even where no step reads it, so that the inputs of a configuration are known beforehand.
        leaves = [*self._inputs, *constants]
        positions = {id(step): position for position, step in enumerate([*leaves, *operations])}
        placed = [step._replace(operands=tuple(positions[operand] for operand in step.operands)) for step in operations]
        moved = [Adjustment(code, positions[id(before)], positions[id(after)]) for code, before, after in kept]
        return Program([*leaves, *placed], moved, {name: positions[id(step)] for name, step in found.items()})

    def _needed(self, results: list[ProgramStep]) -> set[int]:
        """The steps that some result depends on, by identity."""
        needed = {id(step) for step in results}
        for step in reversed(self._operations):
            if id(step) in needed:
                needed.update(step.operands)
        return needed


def same_as_operand(op: Op, left: ProgramStep, right: ProgramStep) -> ProgramStep | None:
    """The operand that an operation is proved to return unchanged."""
    if op is Op.MIN:
        return left if left.greatest <= right.least else right if right.greatest <= left.least else None
    if op is Op.MAX:
        return left if left.least >= right.greatest else right if right.least >= left.greatest else None
    neutral = 0 if op in (Op.ADD, Op.SUB) else 1
    if op is not Op.GREATER and right.least == right.greatest == neutral:
        return left
    commutes = op in (Op.ADD, Op.MUL)
    return right if commutes and left.least == left.greatest == neutral else None


def fold(program: Program, known: Mapping[str, int], limits: Mapping[str, int] | None = None) -> Program:
    """The program with some inputs known: fewer inputs, fewer steps, equal values for `RESULTS`.

    `limits` are the greatest values that some inputs will have; steps that only larger values need are dropped too.
    """
    folder = _Folder(known, limits or {})
    folded: list[ProgramStep] = []
    for step in program.steps:
        if step.operands:
            left, right = step.operands
            folded.append(folder.operation(step, folded[left], folded[right]))
        else:
            folded.append(folder.leaf(step))
    found = {name: folded[program.positions[name]] for name in RESULTS}
    adjustments = [(code, folded[before], folded[after]) for code, before, after in program.adjustments]
    return folder.program(found, adjustments)
