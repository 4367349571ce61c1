"""Layouts: cards that are priced together share their steps and keep their prices."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from estimator import RateCard, shipped_card
from estimator.credits import to_micro
from estimator.frames.kernel import BlockPricer, Kernel, Workspace
from estimator.frames.reader import Reader
from estimator.scenarios.fields import with_field


@pytest.fixture(scope="module")
def card() -> RateCard:
    return shipped_card("example")


def batch(rows: list[int]) -> Any:
    lengths = ["minimal", "concise", "detailed", "extensive"]
    return pa.record_batch(
        {
            "rows": rows,
            "max_rows": pa.array([None] * len(rows), pa.int64()),
            "length": [lengths[place % 4] for place in range(len(rows))],
            "grounding": [place % 3 == 0 for place in range(len(rows))],
        }
    )


def instructions(cards: list[RateCard], rows: list[int]) -> list[int]:
    """How many instructions each card adds to those before it."""
    pricing = BlockPricer(cards)
    results = pricing.prices(Reader(batch(rows)).runs(), Workspace())
    assert results is not None
    assert len(list(results)) == len(cards)
    (found,) = pricing._layouts.values()
    return [len(part) for part in found.steps._parts]


def test_a_card_that_differs_in_a_price_adds_few_steps_to_those_it_shares(card: RateCard) -> None:
    dearer = with_field(card, "text.row", Decimal("0.02"))
    shared, own = instructions([card, dearer], [5, 900_000])
    assert shared > 2 * own
    assert own == 6  # price, charge, fee and rounding, minimum, quanta, micro-credits


def raised(card: RateCard, thousandths: list[int]) -> list[RateCard]:
    """The card with its price of a row raised, or lowered, by so much."""
    return [with_field(card, "text.row", card.text.row + Decimal(each) / 1000) for each in thousandths]


def test_cards_in_equal_steps_look_up_one_difference_between_them(card: RateCard) -> None:
    first, second, *others = instructions(raised(card, [0, 1, 2, 3, 4]), [5, 900_000])
    assert first > second
    assert others == [4, 4, 4]  # the difference, the minimum, quanta, micro-credits


STEPS = {
    "equal": [0, 1, 2, 3],
    "of one kind": [0, 2, 3, 9, 10],
    "none between": [0, 1, 1, 2],
    "down": [4, 3, 2, 1],
    "up and down": [0, 1, 0, 1, 2, 1],
}


@pytest.mark.parametrize("thousandths", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize(
    "field", [None, "fee", "quantum", "minimum", "text.length.minimal", "rows_max", "unit_decimals"]
)
def test_cards_in_steps_are_priced_together_as_apart(card: RateCard, thousandths: list[int], field: str | None) -> None:
    """Also where one of them differs in something else."""
    cards = raised(card, thousandths)
    if field is not None:
        cards[2] = with_field(cards[2], field, {"rows_max": 2_000_000, "unit_decimals": 9}.get(field, Decimal(2)))
    runs = batch([1, 99_999, 100_000, 100_001, 1_999_999, 2_000_000, 7, 123_456])
    for in_quanta in (False, True):
        results = BlockPricer(cards, in_quanta=in_quanta).prices(Reader(runs).runs(), Workspace())
        assert results is not None
        together = [np.broadcast_to(prices.amounts, 8).tolist() for prices in results]
        units = [to_micro(each.quantum) if in_quanta else 1 for each in cards]
        alone = [(Kernel(each).price(runs) // unit).tolist() for each, unit in zip(cards, units, strict=True)]
        assert together == alone


def test_tiers_that_no_run_of_a_block_reaches_are_left_out(card: RateCard) -> None:
    (few,), (many,) = instructions([card], [5, 60_000]), instructions([card], [5, 49_000_000])
    assert 2 * few < many


def test_cards_of_other_limits_tiers_and_quanta_are_priced_together_as_apart(card: RateCard) -> None:
    others = [
        with_field(card, "quantum", Decimal("0.25")),
        with_field(card, "text.tiers.0.multiply", Decimal("0.999999999")),
        with_field(card, "text.tiers.1.multiply", Decimal("0.333333333")),
        with_field(card, "rows_max", 2_000_000),
        with_field(card, "minimum", 250_000),
        with_field(card, "unit_decimals", 8),
    ]
    cards = [card, *others]
    runs = batch([1, 99_999, 100_000, 100_001, 1_999_999, 2_000_000, 7, 123_456])
    results = BlockPricer(cards).prices(Reader(runs).runs(), Workspace())
    assert results is not None
    together = [np.broadcast_to(prices.amounts, 8).tolist() for prices in results]
    assert together == [Kernel(each).price(runs).tolist() for each in cards]
