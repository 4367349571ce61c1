"""Programs: inputs in their range, intervals, and the refusal of a step that could leave 64 bits."""

from __future__ import annotations

import pytest

from estimator import RateCardOverflow, shipped_card
from estimator.programs.program import Builder, Op, interval
from tests.estimator.rates.worked import card


def test_inputs_out_of_their_range_are_refused_by_name() -> None:
    program = card({"row": "1"}).programs["text"]
    inputs = dict.fromkeys(program.inputs, 0)
    assert program.evaluate(inputs)["micro"] == 0
    for change in ({"rows": 100_001}, {"rows": -1}, {"sample_ppm": 1_000_001}):
        with pytest.raises(ValueError, match=f"Input '{next(iter(change))}' is .* Give an integer from 0 to"):
            program.evaluate(inputs | change)
    with pytest.raises(ValueError, match="Input 'targets' is None"):
        program.evaluate({name: value for name, value in inputs.items() if name != "targets"})


def test_a_small_card_is_exact_even_in_doubles_and_a_large_one_says_it_is_not() -> None:
    assert card({"row": "1"}, rows_max=1000, targets_max=0).programs["text"].exact_in_double
    assert not shipped_card("example").programs["text"].exact_in_double


@pytest.mark.parametrize(
    ("op", "left", "right", "expected"),
    [
        (Op.ADD, (1, 2), (10, 20), (11, 22)),
        (Op.SUB, (1, 2), (10, 20), (-19, -8)),
        (Op.MUL, (-2, 3), (-5, 7), (-15, 21)),
        (Op.FLOORDIV, (0, 99), (10, 10), (0, 9)),
        (Op.MIN, (1, 5), (2, 9), (1, 5)),
        (Op.MAX, (1, 5), (2, 9), (2, 9)),
        (Op.GREATER, (5, 9), (0, 4), (1, 1)),
        (Op.GREATER, (0, 4), (4, 9), (0, 0)),
        (Op.GREATER, (0, 5), (4, 9), (0, 1)),
    ],
)
def test_intervals_hold_every_result(
    op: Op, left: tuple[int, int], right: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert interval(op, left, right) == expected


def test_a_builder_proves_each_interval_and_puts_inputs_and_constants_first() -> None:
    build = Builder("text", "Lower it.")
    rows = build.input("rows", 0, 10)
    build.step("micro", Op.MUL, build.ceiling("blocks", rows, 4), 5)
    program = build.build()
    assert [step.name for step in program.steps] == [
        "rows",
        "constant_3",
        "constant_4",
        "constant_5",
        "blocks_raised",
        "blocks",
        "micro",
    ]
    assert (program.steps[-1].least, program.steps[-1].greatest) == (0, 15)
    assert program.evaluate({"rows": 9})["micro"] == 15


@pytest.mark.parametrize(("amount", "basis_points"), [(0, 5), (9_999, 1), (123_456_789, 3_333), (10**12, 10_000)])
def test_a_percentage_is_rounded_down(amount: int, basis_points: int) -> None:
    build = Builder("text", "Lower it.")
    build.percentage("part", build.input("amount", 0, 10**12), build.input("points", 0, 10_000))
    values = build.build().evaluate({"amount": amount, "points": basis_points})
    assert values["part_taken_off"] == amount * basis_points // 10_000


def test_a_step_that_could_leave_64_bits_is_refused_with_its_name_its_bound_and_the_remedy() -> None:
    build = Builder("image", "Lower the rows.")
    rows = build.input("rows", 0, 2**62)
    with pytest.raises(RateCardOverflow, match=r"image: step 'charge' .* 9,223,372,036,854,775,808.* Lower the rows\."):
        build.step("charge", Op.MUL, rows, 2)


def test_the_path_to_a_step_leaves_out_constants_and_what_it_does_not_need() -> None:
    build = Builder("text", "")
    rows, unused = build.input("rows", 0, 9), build.input("unused", 0, 9)
    build.step("other", Op.ADD, rows, unused)
    build.step("micro", Op.MUL, rows, 7)
    program = build.build()
    path = program.path_to(program.positions["micro"])
    assert [program.steps[position].name for position in path] == ["rows", "micro"]
