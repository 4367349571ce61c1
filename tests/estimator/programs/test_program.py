"""Programs: worked prices of every billing rule, step by step, and the proof of their bounds."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from estimator import RateCard, RateCardOverflow, RunPlan, compile_card, price_micro, shipped_card
from estimator.credits import scaled
from estimator.programs.folding import RESULTS, fold
from estimator.programs.program import INT64_MAX, Op, interval

PLAN = RunPlan("text", 1, 0, 0, "concise", (), "instruction_dataset", grounding=False, safety=False)


def card(section: dict[str, Any], **changes: Any) -> RateCard:
    """A card with one text section and a quantum small enough to hide nothing."""
    content = {
        "name": "worked",
        "effective_from": "2026-01-01T00:00:00Z",
        "rows_max": 100_000,
        "quantum": "0.000001",
        "text": section,
    }
    return RateCard.from_dict(content | changes)


def credits_for(priced: RateCard, rows: int, **changes: Any) -> Decimal:
    return Decimal(price_micro(PLAN._replace(rows=rows, **changes), priced)) / 1_000_000


def prices(priced: RateCard, *rows: int) -> list[str]:
    return [f"{credits_for(priced, count).normalize():f}" for count in rows]


TIERS = [{"up_to": 10, "multiply": "1"}, {"up_to": 100, "multiply": "0.5"}, {"multiply": "0.1"}]


def test_rows_cost_the_row_price() -> None:
    assert prices(card({"row": "0.003"}), 1, 2, 1000) == ["0.003", "0.006", "3"]


def test_blocks_are_rounded_up_once_on_the_total() -> None:
    by_block = card({"block_rows": 100, "block": "10"})
    assert prices(by_block, 1, 100, 101, 1000) == ["10", "10", "20", "100"]
    assert (
        credits_for(
            card({"block_rows": 100, "block": "10", "expansion": {"included": True}}), 50, sample_ppm=500_000, targets=3
        )
        == 20
    )


def test_blocks_of_one_row_and_a_least_number_of_blocks() -> None:
    assert prices(card({"block_rows": 1, "block": "2", "blocks_min": 3}), 1, 3, 4) == ["6", "6", "8"]
    assert prices(card({"block_rows": 10, "block": "2", "blocks_min": 3}), 1, 30, 31) == ["6", "6", "8"]
    assert prices(card({"block_rows": 1, "block": "2"}), 1, 3) == ["2", "6"]


@pytest.mark.parametrize(("basis", "expected"), [("output", 250), ("input", 100), ("added", 150)])
def test_the_basis_says_which_rows_are_billed(basis: str, expected: int) -> None:
    priced = card({"row": "1", "basis": basis, "expansion": {"included": True}})
    assert credits_for(priced, 100, sample_ppm=500_000, targets=3) == expected


def test_graduated_tiers_bill_each_unit_in_its_own_tier() -> None:
    priced = card({"row": "1", "tiers": TIERS})
    assert prices(priced, 1, 10, 11, 100, 101, 200) == ["1", "10", "10.5", "55", "55.1", "65"]


def test_volume_tiers_bill_all_units_alike_and_never_less_than_a_smaller_run() -> None:
    priced = card({"row": "1", "tiers_mode": "volume", "tiers": TIERS})
    assert prices(priced, 10, 11, 20, 30, 100, 101, 500, 1000) == ["10", "10", "10", "15", "50", "50", "50", "100"]


def test_cliff_tiers_bill_a_fixed_number_of_units() -> None:
    steps = [{"up_to": 10, "multiply": "1"}, {"up_to": 100, "multiply": "0.5"}, {"multiply": "0.5", "bill": 500}]
    priced = card({"row": "1", "tiers_mode": "cliff", "tiers": steps})
    assert prices(priced, 1, 10, 11, 100, 101, 100_000) == ["10", "10", "50", "50", "250", "250"]


@pytest.mark.parametrize("mode", ["graduated", "volume"])
def test_a_single_tier_is_a_multiplier(mode: str) -> None:
    assert prices(card({"row": "1", "tiers_mode": mode, "tiers": [{"multiply": "0.5"}]}), 1, 10) == ["0.5", "5"]


def test_tiers_beyond_what_any_run_reaches_cost_nothing() -> None:
    priced = card({"row": "1", "tiers": [{"up_to": 10**9, "multiply": "2"}, {"multiply": "3"}]}, targets_max=0)
    assert prices(priced, 100_000) == ["200000"]
    volume = card(
        {"row": "1", "tiers_mode": "volume", "tiers": [{"up_to": 10**9, "multiply": "2"}, {"multiply": "3"}]},
        targets_max=0,
    )
    assert prices(volume, 100_000) == ["200000"]


def test_the_stages_come_in_order_fee_discount_minimum_cap_voucher_rounding() -> None:
    priced = card(
        {"row": "1"},
        quantum="5",
        fee="2",
        minimum="10",
        cap="90",
        discounts={"half": {"percent": "50"}},
        vouchers={"three": {"credits": "3"}, "tenth": {"percent": "10"}},
    )
    assert credits_for(priced, 1) == 10
    assert credits_for(priced, 28, discount="half") == 15  # (28 + 2) / 2
    assert credits_for(priced, 10, discount="half") == 10  # 6, then the minimum
    assert credits_for(priced, 1, voucher="three") == 10  # 10 - 3 = 7, rounded up
    assert credits_for(priced, 1000, voucher="tenth") == 85  # 90 - 9 = 81, rounded up
    assert credits_for(priced, 1000, discount="half") == 90


def test_a_voucher_never_takes_the_price_below_zero() -> None:
    priced = card({"row": "1"}, vouchers={"big": {"credits": "50"}, "all": {"percent": "100"}})
    assert [credits_for(priced, rows, voucher="big") for rows in (1, 50, 51)] == [0, 0, 1]
    assert credits_for(priced, 1000, voucher="all") == 0


def test_discounts_and_vouchers_of_nothing_leave_no_trace_in_the_program() -> None:
    priced = card({"row": "1"}, discounts={"none": {"percent": "0"}}, vouchers={"nil": {"credits": "0"}})
    assert priced.programs["text"].inputs == (
        "rows",
        "sample_ppm",
        "targets",
        "billable_max",
        "unit_price_1",
    )
    assert credits_for(priced, 7, discount="none", voucher="nil") == 7


def test_a_discount_is_rounded_down_below_the_quantum() -> None:
    """A third of a billionth is not given away; the total is still rounded up to the quantum, once."""
    priced = card({"row": "0.000001"}, discounts={"some": {"percent": "33.33"}}, unit_decimals=6)
    assert credits_for(priced, 1, discount="some") == Decimal("0.000001")
    assert credits_for(priced, 10, discount="some") == Decimal("0.000007")


def test_unit_prices_are_exact_then_rounded_half_even_once() -> None:
    section = {"row": "0.0000005", "grounding": {"multiply": "3"}, "safety": {"multiply": "5"}}
    priced = card(section, unit_decimals=6)
    assert credits_for(priced, 10) == 0  # 0.0000005 is a tie, and 0 is even
    assert credits_for(priced, 10, grounding=True) == Decimal("0.00002")  # 0.0000015 -> 0.000002
    assert credits_for(priced, 10, grounding=True, safety=True) == Decimal("0.00008")  # 0.0000075 -> 0.000008


def test_surcharges_apply_in_the_declared_order() -> None:
    section = {"row": "1", "grounding": {"add": "1"}, "safety": {"multiply": "3"}}
    assert credits_for(card(section), 1, grounding=True, safety=True) == 6
    turned = card(section | {"order": ["safety", "grounding"]})
    assert credits_for(turned, 1, grounding=True, safety=True) == 4


def test_inputs_out_of_their_range_are_refused_by_name() -> None:
    program = card({"row": "1"}).programs["text"]
    inputs = dict.fromkeys(program.inputs, 0)
    assert program.evaluate(inputs)["micro"] == 0
    for change in ({"rows": 100_001}, {"rows": -1}, {"sample_ppm": 1_000_001}):
        with pytest.raises(ValueError, match=f"Input '{next(iter(change))}' is .* Give an integer from 0 to"):
            program.evaluate(inputs | change)
    with pytest.raises(ValueError, match="Input 'targets' is None"):
        program.evaluate({name: value for name, value in inputs.items() if name != "targets"})


def test_billable_max_limits_what_is_billed() -> None:
    program = card({"row": "2"}).programs["text"]
    inputs = {
        "rows": 40,
        "sample_ppm": 0,
        "targets": 0,
        "billable_max": 10**6,
        "unit_price_1": 2 * 10**9,
    }
    assert program.evaluate(inputs)["micro"] == 80_000_000
    assert program.evaluate(inputs | {"billable_max": 5})["micro"] == 10_000_000


def test_steps_are_in_single_assignment_form() -> None:
    for program in compile_card(shipped_card("example")).values():
        assert len({step.name for step in program.steps}) == len(program.steps)
        for position, step in enumerate(program.steps):
            assert all(operand < position for operand in step.operands)
            assert len(step.operands) == (0 if step.op in (Op.CONST, Op.INPUT) else 2)


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


@pytest.mark.parametrize(
    ("row", "changes", "step"),
    [
        ("1", {"rows_max": 10**13, "targets_max": 0}, "rows_sampled_in_parts"),
        ("1", {"rows_max": 10**12, "targets_max": 10**7}, "billable_max"),
        ("1000", {"rows_max": 10**9}, "charge"),
        ("1000000000000", {}, "unit_price_1"),
        ("0", {"minimum": "1000000000000", "unit_decimals": 12}, "constant_1000000000000000000000000"),
        ("9", {"fee": "9000000", "targets_max": 2, "unit_decimals": 12}, "with_fee"),
        ("0.00009", {"quantum": "9223372", "unit_decimals": 12}, "quanta_raised"),
    ],
)
def test_the_step_that_could_overflow_is_named(row: str, changes: dict[str, Any], step: str) -> None:
    with pytest.raises(RateCardOverflow, match="Lower rows_max, targets_max") as caught:
        card({"row": row}, **changes)
    assert caught.value.step == step
    assert caught.value.bound > INT64_MAX


def test_amounts_scale_exactly() -> None:
    assert scaled(Decimal("1.000001"), 6) == 1_000_001
    assert scaled(Decimal("1.000001"), 12) == 1_000_001_000_000


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
