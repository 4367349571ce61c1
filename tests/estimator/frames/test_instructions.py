"""Instructions over arrays: the same integers as the program, in few arrays."""

from __future__ import annotations

import numpy as np
import pytest

from estimator.frames.instructions import Instructions
from estimator.programs.graphs import Graph
from estimator.programs.program import FUNCTIONS, INT64_MAX, Op, ProgramStep

ANY = (-INT64_MAX, INT64_MAX)


def run(steps: list[ProgramStep], results: list[int], rows: list[int]) -> list[list[int]]:
    made = Instructions(steps, results)
    buffers = [np.empty(len(rows), np.int64) for _ in range(made.slots)]
    loads = {"rows": lambda _: np.array(rows, np.int64)}
    return [np.broadcast_to(found, len(rows)).tolist() for found in made.run(loads, buffers, len(rows))]


@pytest.mark.parametrize("op", FUNCTIONS)
@pytest.mark.parametrize("constant", [1, 3, 4, 10**9])
def test_each_operation_gives_the_integers_of_the_program(op: Op, constant: int) -> None:
    rows = [0, 1, 2, 3, 4, 5, 10**9, 10**9 + 1]
    steps = [
        ProgramStep("rows", Op.INPUT, (), 0, 2 * 10**9),
        ProgramStep("constant", Op.CONST, (), constant, constant),
        ProgramStep("result", op, (0, 1), *ANY),
    ]
    assert run(steps, [2], rows) == [[FUNCTIONS[op](row, constant) for row in rows]]


def test_a_value_that_several_results_read_is_kept_until_the_last_of_them() -> None:
    graph = Graph()
    rows = graph.input("rows", 0, 100)
    shared = graph.operation(ProgramStep("shared", Op.ADD, (), *ANY), rows, graph.constant(1))
    results = [
        graph.operation(ProgramStep("result", Op.MUL, (), *ANY), shared, graph.constant(times)) for times in (2, 3, 5)
    ]
    assert run(graph.steps, results, [1, 9]) == [[4, 20], [6, 30], [10, 50]]


def test_a_long_chain_needs_one_array() -> None:
    steps = [ProgramStep("rows", Op.INPUT, (), 0, 9), ProgramStep("one", Op.CONST, (), 1, 1)]
    steps += [ProgramStep(f"step {n}", Op.ADD, (n - 1 if n > 2 else 0, 1), *ANY) for n in range(2, 50)]
    assert Instructions(steps, [49]).slots == 1


def test_a_result_that_is_a_constant_is_one_number() -> None:
    assert run([ProgramStep("seven", Op.CONST, (), 7, 7)], [0], [1, 2]) == [[7, 7]]
