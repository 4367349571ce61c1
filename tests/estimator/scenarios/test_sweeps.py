"""Sweeping fields of a card over a grid."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow
import pytest

from estimator import RateCard, RateCardInvalid
from estimator.scenarios import ScenarioInvalid, sweep
from estimator.scenarios.counting import distinct
from tests.estimator.scenarios.past import MANY, changed, table, total

ROWS = [Decimal("0.009"), Decimal("0.010"), Decimal("0.0111")]
FEES = [Decimal(0), Decimal("0.5")]


def test_every_combination_costs_what_its_runs_cost_one_by_one(card: RateCard) -> None:
    found = sweep(MANY, card, {"text.row": ROWS, "fee": FEES})
    assert [dict(point.values) for point in found] == [{"text.row": row, "fee": fee} for row in ROWS for fee in FEES]
    for point in found:
        varied = changed(card, text__row=point.values["text.row"], fee=point.values["fee"])
        assert (point.card_id, point.total) == (varied.id, total(MANY, varied))
        assert point.delta == point.total - found.card.credits
    assert found.card.credits == total(MANY, card)


def test_runs_that_repeat_are_counted_as_often_as_they_occur(card: RateCard) -> None:
    runs = pyarrow.concat_tables([MANY] * 3 + [table({"rows": 7, "account": "delta"})] * 5)
    (point,) = sweep(runs, card, {"fee": [Decimal("0.33")]})
    assert point.total == total(runs, changed(card, fee=Decimal("0.33")))


def test_runs_that_are_too_many_to_fold_are_read_again_with_the_same_totals(
    card: RateCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    folded = sweep(MANY, card, {"text.row": ROWS})
    monkeypatch.setattr(distinct, "DISTINCT_MAX", 3)
    assert sweep(MANY, card, {"text.row": ROWS}) == folded


def test_a_grid_of_a_billion_is_refused_before_anything_is_read(card: RateCard) -> None:
    many = range(1, 1001)
    with pytest.raises(ScenarioInvalid, match=r"1,000,000,000 combinations \(1,000 x 1,000 x 1,000\), and 10,000"):
        sweep("no such file", card, {"fee": many, "minimum": many, "cap": many})


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({}, "grid: names no field"),
        ({"fee": []}, "fee: has no values to try"),
        ({"fee": Decimal(1)}, "fee: cannot try 1. Give a list"),
        ({"fee": "12"}, "fee: cannot try '12'. Give a list"),
        ({"fee": [0.5]}, "binary float"),
    ],
)
def test_a_grid_that_is_none_is_refused(card: RateCard, grid: Any, message: str) -> None:
    with pytest.raises(ScenarioInvalid, match=message):
        sweep("no such file", card, grid)


def test_a_misspelt_field_is_refused_before_anything_is_read(card: RateCard) -> None:
    with pytest.raises(RateCardInvalid, match="Did you mean 'fee'"):
        sweep("no such file", card, {"fees": FEES})


def test_a_sweep_reads_as_a_table(card: RateCard) -> None:
    lines = str(sweep(MANY, card, {"text.row": ROWS, "fee": FEES})).splitlines()
    assert lines[0].split() == ["text.row", "fee", "total", "change"]
    assert lines[1].split()[:2] == ["0.009", "0"]
    assert len(lines) == 7
