"""Estimates: the items, the minutes, the table, and the inverse of the price."""

from __future__ import annotations

import json
import pickle
from decimal import Decimal
from typing import Any

import pytest

from estimator import (
    AmountInvalid,
    PriceMissing,
    RateCard,
    RequestRejected,
    RunPlan,
    affordable_rows,
    estimate,
    price_micro,
    shipped_card,
)

EXAMPLE = shipped_card("example")
OBSERVED = shipped_card("observed")
PLAN = RunPlan("text", 1_000, 0, 0, "concise", (), "instruction_dataset", grounding=False, safety=False)


def items(plan: RunPlan, card: RateCard = EXAMPLE) -> dict[str, str]:
    """Credits of each line item, by code."""
    return {item.code: format(item.credits, "f") for item in estimate(plan, card).line_items}


def test_every_dimension_is_an_item_of_its_own() -> None:
    plan = PLAN._replace(
        rows=200_000,
        sample_ppm=100_000,
        targets=2,
        length="detailed",
        recipes=("deduplication", "prompt_rephrase", "reasoning_traces"),
        training_type="preference_pairs",
        grounding=True,
        safety=True,
        discount="partner",
        voucher="launch-week",
    )
    assert items(plan) == {
        "base": "2400",
        "length.detailed": "1920",
        "recipes.prompt_rephrase": "240",
        "recipes.reasoning_traces": "1824",
        "training": "4788",
        "grounding": "2880",
        "safety": "360",
        "expansion": "1441.2",
        "tiers": "-924.77",
        "fee": "0.25",
        "discount": "-1866.085",
        "voucher": "-1306.2595",
        "rounding": "0.0045",
    }
    assert estimate(plan, EXAMPLE).credits == Decimal("11756.34")


def test_minimum_and_cap_are_items() -> None:
    assert items(PLAN._replace(rows=1)) == {"base": "0.01", "fee": "0.25", "minimum": "0.74"}
    capped = items(PLAN._replace(rows=50_000_000))
    assert Decimal(capped["cap"]) < 0
    assert estimate(PLAN._replace(rows=50_000_000), EXAMPLE).credits == 250_000


def test_items_keep_quantity_and_unit_price() -> None:
    base = estimate(PLAN, EXAMPLE).line_items[0]
    assert base == ("base", "Base price", 1_000, Decimal("0.01"), Decimal(10))
    assert base.to_dict() == {
        "code": "base",
        "label": "Base price",
        "quantity": 1_000,
        "unit_price": "0.01",
        "credits": "10",
    }
    assert base.to_wire()["unit_price"] == 0.01
    fee = estimate(PLAN, EXAMPLE).line_items[1]
    assert (fee.to_dict()["unit_price"], fee.to_wire()["unit_price"], fee.quantity) == (None, None, None)


@pytest.mark.parametrize(("rows", "price"), [(1, 1), (100, 1), (101, 2), (12_000, 120)])
def test_the_observed_card_charges_a_credit_per_hundred_rows_rounded_up(rows: int, price: int) -> None:
    plan = PLAN._replace(rows=rows, length="extensive", recipes=("reasoning_traces",), grounding=True, safety=True)
    priced = estimate(plan, OBSERVED)
    assert priced.credits == price
    assert [item.code for item in priced.line_items] == ["base"]
    assert (priced.multimodal, priced.credit_multiplier) == (False, None)


@pytest.mark.parametrize(("rows", "price"), [(1, 10), (100, 10), (101, 20)])
def test_the_observed_card_charges_ten_with_images(rows: int, price: int) -> None:
    priced = estimate(PLAN._replace(modality="image", rows=rows), OBSERVED)
    assert (priced.credits, priced.multimodal, priced.credit_multiplier) == (price, True, 10)


def test_expanded_rows_are_billed_as_output() -> None:
    priced = estimate(PLAN._replace(rows=100, sample_ppm=500_000, targets=3), OBSERVED)
    assert (priced.rows, priced.rows_output, priced.rows_billable, priced.units, priced.credits) == (
        100,
        250,
        250,
        3,
        3,
    )


def test_minutes_grow_with_rows_and_factors_and_are_rounded_up() -> None:
    assert estimate(PLAN._replace(rows=1), EXAMPLE).minutes == (Decimal("4.01"), Decimal("6.81"))
    assert estimate(PLAN._replace(rows=100_000), EXAMPLE).minutes == (14, Decimal("23.8"))
    slow = PLAN._replace(
        modality="image",
        rows=100_000,
        length="extensive",
        recipes=("reasoning_traces",),
        grounding=True,
        safety=True,
        training_type="preference_pairs",
    )
    assert (
        estimate(slow, EXAMPLE).minutes.p50
        == 4 + 10 * Decimal("2.5") * Decimal("1.9") * Decimal("1.5") * Decimal("1.6") * Decimal("1.1") * 2
    )
    assert estimate(PLAN, OBSERVED).minutes == (0, 0)


def test_an_estimate_names_its_card_and_plan_and_is_json() -> None:
    priced = estimate(PLAN, EXAMPLE)
    body = json.loads(json.dumps(priced.to_dict()))
    assert (body["card_id"], body["card_name"]) == (EXAMPLE.id, "example")
    assert body["plan_digest"] == priced.plan_digest == PLAN.digest
    assert RunPlan.from_dict(body["plan"]) == PLAN
    assert body["credits"] == "10.25"
    assert body["credit_multiplier"] is None
    assert estimate(PLAN._replace(modality="image"), EXAMPLE).to_dict()["credit_multiplier"] == "10"
    assert pickle.loads(pickle.dumps(priced)) == priced


def test_the_multiplier_is_per_hundred_rows_whatever_the_block() -> None:
    content = json.loads(EXAMPLE.to_json())
    for image, multiplier in (({"row": "0.123"}, "12.3"), ({"block_rows": 300, "block": "1"}, "0.333333")):
        card = RateCard.from_dict(content | {"image": image})
        priced = estimate(PLAN._replace(modality="image"), card)
        assert priced.credit_multiplier == Decimal(multiplier)


def test_the_table_lines_up_and_ends_in_the_total() -> None:
    plan = PLAN._replace(rows=500, length="detailed", grounding=True, voucher="launch-week")
    assert estimate(plan, EXAMPLE).as_table().splitlines() == [
        "item                      quantity  unit price  credits",
        "-------------------------------------------------------",
        "Base price                     500        0.01    5",
        "Length: detailed               500       0.008    4",
        "Hallucination mitigation       500       0.012    6",
        "Fee per run                                       0.25",
        "Voucher: launch-week                             -1.525",
        "Rounded up                                        0.005",
        "-------------------------------------------------------",
        "total                                            13.73",
    ]


def test_a_table_of_whole_credits_has_no_decimal_column() -> None:
    assert estimate(PLAN, OBSERVED).as_table().splitlines()[-1] == "total                                  10"


@pytest.mark.parametrize(
    ("change", "dimension"),
    [
        ({"modality": "image"}, "image"),
        ({"length": "detailed"}, "text.length.detailed"),
        ({"recipes": ("reasoning_traces",)}, "text.recipes.reasoning_traces"),
        ({"training_type": "preference_pairs"}, "text.training.preference_pairs"),
        ({"grounding": True}, "text.grounding"),
        ({"safety": True}, "text.safety"),
        ({"targets": 1, "sample_ppm": 1}, "text.expansion"),
        ({"discount": "team"}, "discounts.team"),
        ({"voucher": "welcome"}, "vouchers.welcome"),
    ],
    ids=str,
)
def test_a_card_without_a_price_for_a_stored_plan_says_which(change: dict[str, Any], dimension: str) -> None:
    bare = RateCard.from_dict(
        {"name": "bare", "effective_from": "2026-01-01T00:00:00Z", "rows_max": 10_000, "text": {"row": "1"}}
    )
    for price in (estimate, price_micro):
        with pytest.raises(PriceMissing, match="'bare' has no price for") as caught:
            price(PLAN._replace(**change), bare)
        assert (caught.value.dimension, caught.value.card) == (dimension, "bare")


def test_a_plan_beyond_the_limits_of_another_card_is_refused() -> None:
    with pytest.raises(RequestRejected, match="rows: are 50000001 and rate card 'example' allows 50000000"):
        estimate(PLAN._replace(rows=50_000_001), EXAMPLE)
    with pytest.raises(RequestRejected) as caught:
        estimate(PLAN._replace(rows=50_000_001, targets=21), EXAMPLE)
    assert [(issue.path, issue.code) for issue in caught.value.issues] == [
        ("rows", "rows_max"),
        ("targets", "targets_max"),
    ]


@pytest.mark.parametrize(
    ("budget", "rows"),
    [
        ("0", 0),
        ("0.99", 0),
        ("1", 75),
        ("10.25", 1_000),
        ("10.249999", 999),
        ("249999.99", 31_112_467),
        ("250000", 50_000_000),
    ],
)
def test_affordable_rows_is_the_most_that_the_budget_buys(budget: str, rows: int) -> None:
    assert affordable_rows(PLAN, EXAMPLE, Decimal(budget)) == rows


def test_affordable_rows_does_not_depend_on_the_rows_of_the_plan() -> None:
    """A ledger that refuses a plan as too large for another card's limits can still say what would do."""
    assert affordable_rows(PLAN._replace(rows=10**12), EXAMPLE, Decimal(1)) == 75


@pytest.mark.parametrize("budget", [Decimal("-1"), Decimal("NaN"), 0.5, "5"], ids=str)
def test_affordable_rows_refuses_what_is_no_budget(budget: Any) -> None:
    with pytest.raises(AmountInvalid):
        affordable_rows(PLAN, EXAMPLE, budget)


def test_many_configurations_leave_the_cache_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program forgets pricings rather than grow, and prices the same afterwards."""
    monkeypatch.setattr("estimator.pricing._PRICINGS_MAX", 2)
    card = RateCard.from_json(EXAMPLE.to_json())
    plans = [PLAN._replace(length=length) for length in ("minimal", "concise", "detailed", "extensive")] * 2
    assert [price_micro(plan, card) for plan in plans] == [price_micro(plan, EXAMPLE) for plan in plans]
    assert len(card.programs["text"].pricings) <= 2
