"""The compiler: worked prices of every billing rule, and the refusal of cards that could overflow."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from estimator import (
    RateCardOverflow,
    compile_card,
    shipped_card,
)
from estimator.programs.program import INT64_MAX, Op
from tests.estimator.rates.worked import TIERS, card, credits_for, prices
from tests.estimator.rates.written import card as written


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


def test_a_card_that_could_overflow_is_refused_with_the_step() -> None:
    with pytest.raises(
        RateCardOverflow, match=r"text: step 'charge' .* beyond what 64 bits hold\. Lower rows_max"
    ) as caught:
        written(rows_max=10**9, unit_decimals=12, text={"row": "1000"})
    assert caught.value.step == "charge"
    assert caught.value.bound == 10**9 * 101 * 1000 * 10**12
