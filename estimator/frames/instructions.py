"""A graph of steps as instructions over arrays: which NumPy function, on which values, into which reused array."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from estimator.frames.arrays import Integers, np
from estimator.programs.program import Op, ProgramStep

_UFUNCS: Mapping[Op, Callable[..., Any]] = {
    Op.ADD: np.add,
    Op.SUB: np.subtract,
    Op.MUL: np.multiply,
    Op.MIN: np.minimum,
    Op.MAX: np.maximum,
    Op.GREATER: np.greater,
}

Load = Callable[[Integers], Any]
"""Gives the values of an input for a block of runs; may write them into the array that it gets."""


class Instruction(NamedTuple):
    """One step: an operation on two positions, or with `function` None the loading of input `name`."""

    position: int
    slot: int
    function: Callable[..., Any] | None
    left: int
    right: int
    name: str


class Instructions:
    """The instructions for some results in order, and the number of arrays (`slots`) that they need.

    A value that several results read is computed once. An array is reused after the last read of its value.
    """

    def __init__(self, steps: Sequence[ProgramStep], results: Sequence[int]) -> None:
        self._results = tuple(results)
        self._constants = [np.int64(step.least) if step.op is Op.CONST else None for step in steps]
        orders = list(_orders(steps, results))
        self._parts: list[tuple[Instruction, ...]] = []
        self.slots = 0
        last = _last_reads(steps, orders, results)
        free: list[int] = []
        held: dict[int, int] = {}
        time = 0
        for order, result in zip(orders, results, strict=True):
            part = []
            for position in order:
                step = steps[position]
                # An operation may overwrite an operand at its last read: each element is read before it is written.
                free += [held.pop(at) for at in set(step.operands) if at in held and last[at] == time]
                held[position] = self._slot(free)
                part.append(_instruction(steps, position, held[position]))
                time += 1
            self._parts.append(tuple(part))
            if result in held and last[result] == time:
                free.append(held.pop(result))
            time += 1

    def _slot(self, free: list[int]) -> int:
        if not free:
            free.append(self.slots)
            self.slots += 1
        return free.pop()

    def run(
        self, loads: Mapping[str, Load], buffers: Sequence[Integers], count: int, out: Integers | None = None
    ) -> Iterator[Any]:
        """Yields each result for a block of `count` runs: an array, valid until the next result, or one number.

        `buffers` are `slots` arrays of at least that length; the last result is computed into `out` if that is given.
        """
        values: list[Any] = self._constants.copy()
        last = len(self._results) - 1
        for number, (part, result) in enumerate(zip(self._parts, self._results, strict=True)):
            for position, slot, function, left, right, name in part:
                into = out if out is not None and number == last and position == result else buffers[slot][:count]
                values[position] = (
                    loads[name](into) if function is None else function(values[left], values[right], out=into)
                )
            yield values[result]


def _instruction(steps: Sequence[ProgramStep], position: int, slot: int) -> Instruction:
    step = steps[position]
    if not step.operands:
        return Instruction(position, slot, None, -1, -1, step.name)
    function = _division(steps[step.operands[1]].least) if step.op is Op.FLOORDIV else _UFUNCS[step.op]
    left, right = step.operands
    return Instruction(position, slot, function, left, right, step.name)


def _division(divisor: int) -> Callable[..., Any]:
    """Division of non-negative numbers by a positive constant, as unsigned integers, which is faster."""
    bits = divisor.bit_length() - 1
    if divisor == 1 << bits:
        return lambda dividend, _, out: np.right_shift(dividend, bits, out=out)
    unsigned = np.uint64(divisor)
    return lambda dividend, _, out: np.floor_divide(dividend.view(np.uint64), unsigned, out=out.view(np.uint64)).view(
        np.int64
    )


def _orders(steps: Sequence[ProgramStep], results: Sequence[int]) -> Iterator[list[int]]:
    """For each result the positions that no earlier result needed: no constants, each input just before its reader."""
    seen: set[int] = set()
    for result in results:
        order: list[int] = []
        _visit(steps, result, seen, order)
        yield order


def _visit(steps: Sequence[ProgramStep], position: int, seen: set[int], order: list[int]) -> None:
    if position in seen or steps[position].op is Op.CONST:
        return
    seen.add(position)
    for operand in steps[position].operands:
        _visit(steps, operand, seen, order)
    order.append(position)


def _last_reads(steps: Sequence[ProgramStep], orders: Sequence[list[int]], results: Sequence[int]) -> dict[int, int]:
    """The time at which each position is read for the last time; a result is read after its own steps."""
    last: dict[int, int] = {}
    time = 0
    for order, result in zip(orders, results, strict=True):
        for position in order:
            last |= dict.fromkeys(steps[position].operands, time)
            time += 1
        last[result] = time
        time += 1
    return last
