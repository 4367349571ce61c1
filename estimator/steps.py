"""A program as instructions over arrays: which NumPy function, on which values, into which reused array."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from estimator.arrays import Integers, np
from estimator.programs import Op, Program

FUNCTIONS: Mapping[Op, np.ufunc] = {
    Op.ADD: np.add,
    Op.SUB: np.subtract,
    Op.MUL: np.multiply,
    Op.FLOORDIV: np.floor_divide,
    Op.MIN: np.minimum,
    Op.MAX: np.maximum,
    Op.GREATER: np.greater,
}

Load = Callable[[Integers], Any]
"""Gives an input's values for a block of runs; may put them into the array it is handed."""


class Instruction(NamedTuple):
    """One step: an operation on two positions, or with `function` None the loading of input `name`."""

    position: int
    slot: int
    function: np.ufunc | None
    left: int
    right: int
    name: str


class Steps:
    """The instructions that lead to one step of a program, and how many arrays (`slots`) they need.

    An array is used again as soon as nothing will read what it holds.
    """

    def __init__(self, program: Program, result: int) -> None:
        self._result = result
        self._constants = [np.int64(step.least) if step.op is Op.CONST else None for step in program.steps]
        order = program.path_to(result)
        uses = _last_uses(program, order, result)
        self.instructions: list[Instruction] = []
        self.slots = 0
        free: list[int] = []
        held: dict[int, int] = {}
        for time, position in enumerate(order):
            step = program.steps[position]
            # An operation may write over what it reads last: element by element, it reads before it writes.
            free += [held.pop(operand) for operand in set(step.operands) if operand in held and uses[operand] == time]
            if not free:
                free.append(self.slots)
                self.slots += 1
            held[position] = free.pop()
            function = FUNCTIONS.get(step.op)
            left, right = step.operands or (-1, -1)
            self.instructions.append(Instruction(position, held[position], function, left, right, step.name))

    def run(self, loads: Mapping[str, Load], buffers: Sequence[Integers], out: Integers) -> None:
        """Write the result for a block of runs to `out`; `buffers` are `slots` arrays of at least that length."""
        values: list[Any] = self._constants.copy()
        count = len(out)
        for position, slot, function, left, right, name in self.instructions:
            into = out if position == self._result else buffers[slot][:count]
            values[position] = (
                loads[name](into) if function is None else function(values[left], values[right], out=into)
            )
        if values[self._result] is not out:
            np.copyto(out, values[self._result])


def _last_uses(program: Program, order: Sequence[int], result: int) -> dict[int, int]:
    """The moment in the order at which each position is read for the last time."""
    uses = {operand: time for time, position in enumerate(order) for operand in program.steps[position].operands}
    return uses | {result: len(order)}
