"""Fields of a card by dotted path."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from estimator import RateCard, RateCardInvalid
from estimator.scenarios import ScenarioInvalid
from estimator.scenarios.fields import quantum_of, with_field


@pytest.mark.parametrize(
    ("path", "value", "read"),
    [
        ("text.row", Decimal("0.011"), lambda card: card.text.row),
        ("text.length.detailed", Decimal("1.75"), lambda card: card.text.length["detailed"]),
        ("text.tiers.1.multiply", Decimal("0.7"), lambda card: card.text.tiers[1].multiply),
        ("discounts.team.percent", Decimal("7.5"), lambda card: card.discounts["team"].percent),
        ("cap", 900, lambda card: card.cap),
        ("image.block_rows", 50, lambda card: card.image.block_rows),
        ("name", "other", lambda card: card.name),
    ],
)
def test_a_changed_card_differs_in_that_field_alone(card: RateCard, path: str, value: Any, read: Any) -> None:
    changed = with_field(card, path, value)
    assert read(changed) == value
    assert changed.id != card.id
    assert with_field(changed, path, read(card)) == card


def test_a_field_that_the_card_leaves_out_can_be_given() -> None:
    bare = RateCard.from_dict(
        {"name": "b", "effective_from": "2026-01-01T00:00:00Z", "rows_max": 9, "text": {"row": "1"}}
    )
    assert with_field(bare, "cap", 5).cap == 5
    grounded = with_field(bare, "text.grounding.add", Decimal("0.5")).text.grounding
    assert grounded is not None
    assert grounded.add == Decimal("0.5")


def test_a_misspelt_path_is_refused_with_the_nearest(card: RateCard) -> None:
    with pytest.raises(RateCardInvalid, match="Did you mean 'row'"):
        with_field(card, "text.rwo", Decimal(1))
    with pytest.raises(RateCardInvalid, match="Did you mean 'text'"):
        with_field(card, "txt.row", Decimal(1))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("text.tiers.9.multiply", "text.tiers.9.multiply: has no part '9'. Count from 0 to 2"),
        ("text.tiers.last.multiply", "has no part 'last'"),
        ("text.tiers.0", "leads through a list"),
        ("name.first", "leads through 'example', which has no field 'first'"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(card: RateCard, path: str, message: str) -> None:
    with pytest.raises(ScenarioInvalid, match=message):
        with_field(card, path, Decimal(1))


def test_a_float_is_no_value(card: RateCard) -> None:
    with pytest.raises(ScenarioInvalid, match="binary float"):
        with_field(card, "text.row", 0.01)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "quantum"),
    [
        ("fee", "0.000001"),
        ("vouchers.welcome.credits", "0.000001"),
        ("discounts.team.percent", "0.01"),
        ("text.tiers.0.up_to", "1"),
        ("text.row", "0.000000001"),
        ("text.length.detailed", "0.000000001"),
        ("text.grounding.add", "0.000000001"),
    ],
)
def test_a_field_is_solved_in_the_finest_step_that_is_billed(card: RateCard, path: str, quantum: str) -> None:
    assert quantum_of(card, path) == Decimal(quantum)


def test_a_field_that_is_no_number_has_no_step(card: RateCard) -> None:
    with pytest.raises(ScenarioInvalid, match="is no number that a total depends on"):
        quantum_of(card, "text.basis")
