"""Laws of scenarios: on random cards and runs, whatever is added up is what the runs cost one by one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from estimator import PriceMissing, RateCard, RateCardInvalid, RequestRejected, RunPlan, from_micro, price_micro
from estimator.scenarios import compare, sweep
from estimator.scenarios.fields import keeps_order, with_field
from estimator.scenarios.stages import stages
from tests.frames import priced_tables
from tests.laws import examples
from tests.strategies import card_contents

SECTION_PARTS = ("length", "recipes", "training", "grounding", "safety", "expansion", "tiers", "order", "basis")
CARD_PARTS = ("fee", "minimum", "cap", "quantum", "unit_decimals", "discounts", "vouchers")


@st.composite
def compared(draw: st.DrawFn) -> tuple[RateCard, RateCard, pyarrow.Table, list[RunPlan]]:
    """Two cards that differ in some of their parts, and runs that both can price."""
    card, (runs, plans) = draw(priced_tables())
    other = draw(card_contents())
    kept = draw(st.sets(st.sampled_from([*SECTION_PARTS, *CARD_PARTS])))
    content = card.model_dump(exclude_none=True)
    changed: dict[str, Any] = content | {name: other[name] for name in CARD_PARTS if name in other and name not in kept}
    for modality in card.sections:
        changed[modality] = _mixed(content[modality], other.get(modality, other["text"]), kept)
    try:
        candidate = RateCard.from_dict(changed | {"name": "candidate"})
        for plan in plans:
            price_micro(plan, candidate)
    except (RateCardInvalid, PriceMissing, RequestRejected):
        assume(False)
    return card, candidate, runs, plans


def _mixed(section: dict[str, Any], other: dict[str, Any], kept: set[str]) -> dict[str, Any]:
    mixed = {name: value for name, value in section.items() if name != "order"}
    for name in SECTION_PARTS:
        if name in kept or name not in other or name == "order":
            continue
        mixed[name] = mixed[name] | other[name] if isinstance(other[name], dict) and name in mixed else other[name]
    if "tiers" not in kept and "tiers_mode" in other:
        mixed["tiers_mode"] = other["tiers_mode"]
    for name in ("grounding", "safety", "expansion"):
        mixed[name] = other[name] if name in other and name not in kept else section.get(name)
    return {name: value for name, value in mixed.items() if value is not None}


def credits_of(plans: list[RunPlan], card: RateCard) -> Decimal:
    return from_micro(sum(price_micro(plan, card) for plan in plans))


@given(compared())
@settings(max_examples=examples(20))
def test_totals_groups_and_steps_are_sums_of_what_the_runs_cost_one_by_one(
    case: tuple[RateCard, RateCard, pyarrow.Table, list[RunPlan]],
) -> None:
    card, candidate, runs, plans = case
    accounts = [f"account {number % 3}" for number in range(len(plans))]
    found = compare(runs.append_column("account", pyarrow.array(accounts)), card, [candidate])
    (change,) = found.changes
    assert found.baseline.credits == credits_of(plans, card)
    assert change.card.credits == credits_of(plans, candidate)
    for dimension, groups in found.groups.items():
        if dimension != "recipe":
            assert sum(group.runs for group in groups) == len(plans)
            assert sum(group.candidates[0] for group in groups) == change.card.credits
    for group in found.by("account"):
        own = [plan for plan, account in zip(plans, accounts, strict=True) if account == group.key]
        assert (group.baseline, *group.candidates) == (credits_of(own, card), credits_of(own, candidate))
    assert sum((step.delta for step in change.steps), Decimal(0)) == change.delta
    way = stages(card, candidate)
    assert [step.total for step in change.steps] == [credits_of(plans, stage.card) for stage in way]


@given(compared(), st.integers(1, 4))
@settings(max_examples=examples(15))
def test_runs_that_are_folded_cost_what_they_cost_one_by_one(
    case: tuple[RateCard, RateCard, pyarrow.Table, list[RunPlan]], times: int
) -> None:
    card, _, runs, plans = case
    fees = [Decimal(0), Decimal("1.000001")]
    try:
        found = sweep(pyarrow.concat_tables([runs] * times), card, {"fee": fees})
    except RateCardInvalid:
        assume(False)
    assert found.card.credits == times * credits_of(plans, card)
    for point, fee in zip(found, fees, strict=True):
        varied = card.model_copy(update={"fee": fee})
        assert point.total == times * credits_of(plans, varied)


@st.composite
def ordered_fields(draw: st.DrawFn) -> tuple[list[RateCard], list[RunPlan]]:
    """A card with three values, from small to large, of a field that keeps order, and runs that all three price."""
    card, (_, plans) = draw(priced_tables())
    content = json.loads(card.to_json())
    path = draw(st.sampled_from([path for path in _numbers(content, "") if keeps_order(path)]))
    values = sorted(draw(st.lists(st.integers(1, 400), min_size=3, max_size=3)))
    whole = path.rpartition(".")[2] in ("blocks_min", "block_rows")
    found = []
    for value in values:
        try:
            found.append(with_field(card, path, value if whole else Decimal(value) / 8))
        except RateCardInvalid:
            assume(False)
    return found, plans


def _numbers(place: Any, path: str) -> Iterator[str]:
    """The paths of a card's values, lists included."""
    items = place.items() if isinstance(place, dict) else enumerate(place) if isinstance(place, list) else ()
    for name, value in items:
        if value is not None and name != "minutes":
            yield from _numbers(value, f"{path}.{name}" if path else str(name))
    if not isinstance(place, dict | list) and not isinstance(place, bool):
        yield path


@given(ordered_fields())
@settings(max_examples=examples(30))
def test_more_of_a_field_that_keeps_order_never_moves_two_runs_different_ways(
    case: tuple[list[RateCard], list[RunPlan]],
) -> None:
    cards, plans = case
    prices = [[price_micro(plan, card) for card in cards] for plan in plans]
    rises = all(run == sorted(run) for run in prices)
    falls = all(run == sorted(run, reverse=True) for run in prices)
    assert rises or falls
