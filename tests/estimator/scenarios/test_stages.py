"""The cards on the way from one card to another."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from estimator import RateCard, price_micro
from estimator.scenarios.stages import LABELS, stages
from tests.estimator.scenarios.past import MANY, changed, plan_of

PLANS = [plan_of(run) for run in MANY.to_pylist()]


def micro(card: RateCard) -> int:
    return sum(price_micro(plan, card) for plan in PLANS)


def plain(**fields: Any) -> RateCard:
    content = {"name": "plain", "effective_from": "2026-01-01T00:00:00Z", "rows_max": 1000, "targets_max": 0}
    return RateCard.from_dict(content | {"text": {"row": "0.01"}} | fields)


def test_parts_change_in_a_fixed_order_and_only_those_that_differ(card: RateCard) -> None:
    other = changed(
        card,
        quantum=Decimal("0.1"),
        minimum=Decimal(2),
        discounts__team__percent=Decimal(6),
        fee=Decimal(0),
        text__tiers__0__multiply=Decimal("0.99"),
        text__safety__add=Decimal("0.2"),
        text__grounding__add=Decimal("0.2"),
        text__recipes__prompt_rephrase__add=Decimal("0.2"),
        text__length__extensive=Decimal("2"),
        text__row=Decimal("0.011"),
    )
    codes = [stage.codes for stage in stages(card, other)]
    order = ["base", "length", "recipes", "grounding", "safety", "tiers", "fee", "discounts", "bounds", "rounding"]
    assert codes == [(code,) for code in order]
    assert [code for code in LABELS if (code,) in codes] == order


def test_the_last_card_is_the_candidate(card: RateCard, cheaper: RateCard) -> None:
    assert stages(card, cheaper)[-1].card == cheaper


def test_cards_that_price_alike_have_no_stages(card: RateCard) -> None:
    assert stages(card, changed(card, name="other", description="x", minutes__start=Decimal(9))) == ()


def test_a_stage_changes_its_part_and_no_other(card: RateCard, cheaper: RateCard) -> None:
    base, recipes, fee = stages(card, cheaper)
    assert micro(base.card) == micro(changed(card, text__row=Decimal("0.009")))
    assert micro(recipes.card) == micro(changed(cheaper, fee=card.fee))
    assert micro(fee.card) == micro(cheaper)


def test_both_modalities_change_together(card: RateCard) -> None:
    other = changed(card, text__row=Decimal("0.02"), image__block=Decimal(11))
    (stage,) = stages(card, other)
    assert stage.codes == ("base",)


def test_from_rows_to_blocks_with_tiers_of_their_own(card: RateCard) -> None:
    """Tiers in rows end long before blocks do, and the other way round: on the way the last one has no end."""
    rows = plain(text={"row": "0.01", "tiers": [{"up_to": 10, "multiply": "1"}, {"up_to": 1000, "multiply": "0.5"}]})
    blocks = plain(text={"block_rows": 100, "block": "1", "tiers": [{"up_to": 10, "multiply": "1"}]})
    assert [stage.codes for stage in stages(rows, blocks)] == [("base",), ("tiers",)]
    assert [stage.codes for stage in stages(blocks, rows)] == [("base",), ("tiers",)]


def test_a_cliff_keeps_what_its_last_step_bills(card: RateCard) -> None:
    cliff = plain(text={"row": "0.01", "tiers_mode": "cliff", "tiers": [{"up_to": 1000, "multiply": "1"}]})
    stage, _ = stages(cliff, changed(cliff, text__row=Decimal("0.02"), fee=Decimal(1)))
    plan = PLANS[0]._replace(rows=5, grounding=False, discount=None, recipes=())
    before, after = price_micro(plan, cliff), price_micro(plan, stage.card)
    assert (before, after) == (10_000_000, 20_000_000)


def test_the_order_of_the_surcharges_is_a_part_of_its_own() -> None:
    text = {"row": "0.01", "grounding": {"add": "0.01"}, "safety": {"multiply": "2"}}
    first = plain(text=text | {"order": ["grounding", "safety"]})
    second = plain(text=text | {"order": ["safety", "grounding"], "grounding": {"add": "0.02"}})
    assert [stage.codes for stage in stages(first, second)] == [("grounding",), ("order",)]


def test_a_surcharge_that_is_new_or_gone_is_a_stage(card: RateCard) -> None:
    with_order = plain(text={"row": "0.01", "grounding": {"add": "0.01"}, "order": ["grounding"]})
    without = plain()
    assert [stage.codes for stage in stages(with_order, without)] == [("grounding",)]
    assert [stage.codes for stage in stages(without, with_order)] == [("grounding",)]


def test_a_part_that_is_impossible_alone_changes_with_the_next() -> None:
    """The dear base price leaves 64 bits under the old multipliers, so both change at once."""
    dear = {"length": {"concise": "1", "extensive": "1000000"}, "row": "0.01"}
    cheap = {"length": {"concise": "1", "extensive": "2"}, "row": "90000"}
    found = stages(plain(text=dear), plain(text=cheap))
    assert [(stage.codes, stage.label) for stage in found] == [(("base", "length"), "Base price and length")]


@pytest.mark.parametrize("modality", ["text", "image"])
def test_a_candidate_without_images_still_has_a_way(card: RateCard, modality: str) -> None:
    text_only = RateCard.from_dict({n: v for n, v in card.model_dump(exclude_none=True).items() if n != "image"})
    first, second = (card, text_only) if modality == "text" else (text_only, card)
    assert stages(first, changed(second, fee=Decimal(3)))[-1].codes == ("fee",)
