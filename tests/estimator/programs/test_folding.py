"""Folding: known inputs leave fewer steps and the same results."""

from __future__ import annotations

import pytest

from estimator.programs.folding import RESULTS, fold, same_as_operand
from estimator.programs.program import Op, ProgramStep
from tests.estimator.rates.worked import TIERS, card


def test_folding_leaves_a_few_steps_and_the_same_results() -> None:
    program = card({"row": "2", "tiers": TIERS}, discounts={"d": {"percent": "10"}}).programs["text"]
    known = {"sample_ppm": 0, "targets": 0, "billable_max": 10_100_000, "discount_basis_points": 0}
    known |= {"unit_price_1": 2 * 10**9, "unit_price_2": 10**9, "unit_price_3": 0}
    folded = fold(program, known)
    assert folded.inputs == ("rows",)
    assert len(folded.steps) < len(program.steps) // 2
    values = folded.run((500,))
    full = program.evaluate(known | {"rows": 500})
    assert {name: values[folded.positions[name]] for name in RESULTS} == {name: full[name] for name in RESULTS}


def test_folding_everything_leaves_constants() -> None:
    program = card({"row": "2"}).programs["text"]
    inputs = {"rows": 3, "sample_ppm": 0, "targets": 0, "billable_max": 9, "unit_price_1": 10**9}
    folded = fold(program, inputs)
    assert {step.op for step in folded.steps} == {Op.CONST}
    assert folded.run(())[folded.positions["micro"]] == 3_000_000


@pytest.mark.parametrize(
    ("op", "left", "right", "same"),
    [
        (Op.ADD, (0, 9), (0, 0), "left"),
        (Op.ADD, (0, 0), (0, 9), "right"),
        (Op.SUB, (0, 9), (0, 0), "left"),
        (Op.SUB, (0, 0), (0, 9), None),
        (Op.MUL, (1, 1), (0, 9), "right"),
        (Op.FLOORDIV, (0, 9), (1, 1), "left"),
        (Op.MIN, (0, 5), (5, 9), "left"),
        (Op.MIN, (0, 6), (5, 9), None),
        (Op.MAX, (0, 5), (5, 9), "right"),
        (Op.GREATER, (0, 9), (1, 1), None),
    ],
)
def test_an_operation_that_is_proved_to_return_an_operand_is_that_operand(
    op: Op, left: tuple[int, int], right: tuple[int, int], same: str | None
) -> None:
    operands = {name: ProgramStep(name, Op.INPUT, (), *ends) for name, ends in (("left", left), ("right", right))}
    found = same_as_operand(op, operands["left"], operands["right"])
    assert (None if found is None else found.name) == same


def test_limits_drop_the_tiers_that_no_run_within_them_reaches() -> None:
    program = card({"row": "2", "tiers": TIERS}).programs["text"]
    whole, limited = fold(program, {}), fold(program, {}, {"rows": 10, "targets": 0})
    assert len(limited.steps) < len(whole.steps)
    inputs = (10, 0, 0, 10**6, 2 * 10**9, 10**9, 0)
    assert limited.run(inputs)[limited.positions["micro"]] == whole.run(inputs)[whole.positions["micro"]] == 20_000_000
