"""Pricings: one for each configuration, kept with the card's program, with integer minutes."""

from __future__ import annotations

from decimal import Decimal

import pytest

from estimator import PriceMissing, RequestRejected, RunPlan, shipped_card
from estimator.pricing import MinutesRate, pricing_of

CARD = shipped_card("example")
PLAN = RunPlan("text", 100, 0, 0, "concise", (), "instruction_dataset", grounding=False, safety=False)


def test_plans_that_differ_only_in_rows_share_a_pricing() -> None:
    assert pricing_of(PLAN, CARD) is pricing_of(PLAN._replace(rows=7), CARD)
    assert pricing_of(PLAN, CARD) is not pricing_of(PLAN._replace(grounding=True), CARD)
    assert pricing_of(PLAN, CARD) is not pricing_of(PLAN, CARD, limited=True)


def test_the_inputs_of_a_pricing_are_those_that_a_configuration_leaves_open() -> None:
    expanded = PLAN._replace(sample_ppm=500_000, targets=2)
    assert pricing_of(PLAN, CARD).program.inputs == ("rows",)
    assert pricing_of(expanded, CARD).program.inputs == ("rows", "sample_ppm", "targets")
    assert pricing_of(PLAN, CARD, limited=True).program.inputs == ("rows", "billable_max")


def test_contributions_sum_to_the_unit_price_and_are_labelled() -> None:
    pricing = pricing_of(PLAN._replace(length="extensive", grounding=True, recipes=("reasoning_traces",)), CARD)
    assert sum(part.scaled for part in pricing.contributions) == pricing.unit
    assert {part.code: part.label for part in pricing.contributions} == {
        "base": "Base price",
        "length.extensive": "Length: extensive",
        "recipes.reasoning_traces": "Recipe: reasoning traces",
        "grounding": "Hallucination mitigation",
    }


@pytest.mark.parametrize(
    ("change", "dimension"),
    [({"modality": "video"}, "video"), ({"discount": "x"}, "discounts.x"), ({"voucher": "x"}, "vouchers.x")],
    ids=str,
)
def test_a_name_that_the_card_lacks_has_no_price(change: dict[str, str], dimension: str) -> None:
    with pytest.raises(PriceMissing) as caught:
        pricing_of(PLAN._replace(**change), CARD)  # type: ignore[arg-type]
    assert caught.value.dimension == dimension


def test_rows_and_targets_beyond_the_card_are_refused_together() -> None:
    with pytest.raises(RequestRejected) as caught:
        pricing_of(PLAN._replace(rows=CARD.rows_max + 1, targets=CARD.targets_max + 1), CARD)
    assert [issue.code for issue in caught.value.issues] == ["rows_max", "targets_max"]


def test_hundredths_of_a_minute_are_rounded_up() -> None:
    assert [MinutesRate(10, 3, 7).hundredths(rows) for rows in (0, 1, 6, 7)] == [2, 2, 4, 5]


def test_the_credit_multiplier_is_of_images_alone() -> None:
    assert pricing_of(PLAN, CARD).credit_multiplier is None
    image = pricing_of(PLAN._replace(modality="image"), shipped_card("observed")).credit_multiplier
    assert image == Decimal(10)
