"""Laws of prices, over random rate cards and plans."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings

from estimator import (
    RateCard,
    RunOutcome,
    RunPlan,
    affordable_rows,
    estimate,
    from_micro,
    price_micro,
    settle,
    to_micro,
)
from estimator.pricing import pricing_of
from estimator.programs.folding import RESULTS
from tests.estimator import reference
from tests.laws import examples
from tests.strategies import ended_runs, part, priced_plans, thousandths

pytestmark = pytest.mark.external
"""Takes long; run by .ci/run."""

many = settings(max_examples=examples(150))
"""For the laws that hold the package to an independent reading: rounding differs on few cards."""


@many
@given(priced_plans())
def test_the_program_agrees_with_an_independent_reading_of_the_card(case: tuple[RateCard, RunPlan]) -> None:
    card, plan = case
    content = json.loads(card.to_json())
    assert price_micro(plan, card) == reference.price_micro(content, plan.to_dict())
    priced = estimate(plan, card)
    assert priced.rows_output == reference.rows_output(plan.to_dict())
    assert priced.units == reference.units(content[plan.modality], plan.to_dict())


@given(priced_plans())
def test_line_items_sum_to_the_total_and_none_but_the_base_is_zero(case: tuple[RateCard, RunPlan]) -> None:
    card, plan = case
    priced = estimate(plan, card)
    assert sum(item.credits for item in priced.line_items) == priced.credits
    assert priced.line_items[0].code == "base"
    assert all(item.credits or item.quantity == 0 for item in priced.line_items[1:])
    for item in priced.line_items:
        if item.quantity is not None and item.unit_price is not None:
            assert item.quantity * item.unit_price == item.credits


@given(thousandths, priced_plans())
def test_more_rows_never_cost_less(share: int, case: tuple[RateCard, RunPlan]) -> None:
    card, plan = case
    fewer = part(1, plan.rows, share)
    assert price_micro(plan._replace(rows=max(1, plan.rows - 1)), card) <= price_micro(plan, card)
    assert price_micro(plan._replace(rows=fewer), card) <= price_micro(plan, card)


@given(priced_plans())
def test_the_same_plan_and_card_give_the_same_bytes_whatever_was_priced_before(
    case: tuple[RateCard, RunPlan],
) -> None:
    card, plan = case
    fresh_card = RateCard.from_json(card.to_json())
    fresh_plan = RunPlan.from_dict(json.loads(json.dumps(plan.to_dict())))
    estimate(plan._replace(rows=1), card)
    first, second = estimate(plan, card), estimate(fresh_plan, fresh_card)
    assert fresh_card.id == card.id
    assert json.dumps(first.to_dict()) == json.dumps(second.to_dict())
    assert first.as_table() == second.as_table()


@given(thousandths, priced_plans())
def test_affordable_rows_is_the_exact_inverse_of_the_price(share: int, case: tuple[RateCard, RunPlan]) -> None:
    card, plan = case
    price = price_micro(plan, card)
    most = price_micro(plan._replace(rows=card.rows_max), card)
    for budget in {price, max(0, price - 1), part(0, most + 10, share)}:
        rows = affordable_rows(plan, card, from_micro(budget))
        assert rows == 0 or price_micro(plan._replace(rows=rows), card) <= budget
        assert rows == card.rows_max or price_micro(plan._replace(rows=rows + 1), card) > budget


@many
@given(ended_runs())
def test_a_settlement_follows_the_policy_and_never_exceeds_the_estimate(
    case: tuple[RateCard, RunPlan, RunOutcome],
) -> None:
    card, plan, outcome = case
    settled = settle(plan, card, outcome)
    expected = reference.settled_micro(json.loads(card.to_json()), plan.to_dict(), outcome.to_dict())
    assert to_micro(settled.credits) == expected <= price_micro(plan, card)
    assert settled.credits + settled.freed == settled.estimate.credits
    assert sum((item.credits for item in settled.line_items), Decimal(0)) == settled.credits


@given(thousandths, priced_plans())
def test_folding_a_configuration_into_the_program_changes_no_value(share: int, case: tuple[RateCard, RunPlan]) -> None:
    card, plan = case
    program = card.programs[plan.modality]
    limit = part(0, plan.rows_output, share)
    prices = card.sections[plan.modality].unit_prices(plan.configuration, card.unit_decimals)
    discount = card.discounts[plan.discount].basis_points if plan.discount else 0
    voucher = card.vouchers[plan.voucher] if plan.voucher else None
    off = 0 if voucher is None or voucher.credits is None else to_micro(voucher.credits)
    inputs = {
        "rows": plan.rows,
        "sample_ppm": plan.sample_ppm,
        "targets": plan.targets,
        "billable_max": limit,
        "discount_basis_points": discount,
        "voucher_basis_points": 0 if voucher is None else voucher.basis_points,
        "voucher_amount": off * 10 ** (card.unit_decimals - 6),
    } | {f"unit_price_{number}": price for number, price in enumerate(prices.tiers, 1)}
    values = program.evaluate({name: inputs[name] for name in program.inputs})
    pricing = pricing_of(plan, card, limited=True)
    folded = pricing.run(plan, limit)
    assert {name: folded[position] for name, position in pricing.program.positions.items()} == {
        name: values[name] for name in RESULTS
    }
    stages = {code: folded[after] - folded[before] for code, before, after in pricing.program.adjustments}
    steps = list(values.values())
    for code, before, after in program.adjustments:
        assert steps[after] - steps[before] == stages.get(code, 0)
    assert len(pricing.program.steps) <= len(program.steps)
