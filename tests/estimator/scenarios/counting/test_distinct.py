"""Distinct runs with their counts: the same totals as all runs."""

from __future__ import annotations

import pyarrow
import pytest

from estimator import FrameInvalid, RateCard, from_micro
from estimator.scenarios.counting import distinct
from estimator.scenarios.counting.distinct import RunTotals
from estimator.scenarios.reading.sources import open_runs
from tests.estimator.scenarios.past import MANY, changed, table, total


def test_totals_of_distinct_runs_are_those_of_all_runs(card: RateCard, cheaper: RateCard) -> None:
    runs = pyarrow.concat_tables([MANY] * 3)
    found = RunTotals(open_runs(runs)).of([card, cheaper])
    assert list(map(from_micro, found)) == [total(runs, card), total(runs, cheaper)]


@pytest.mark.parametrize("most", [0, 2])
def test_too_many_distinct_runs_are_read_again_with_the_same_totals(
    card: RateCard, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(distinct, "DISTINCT_MAX", most)
    assert [from_micro(micro) for micro in RunTotals(open_runs(MANY)).of([card])] == [total(MANY, card)]


def test_more_cards_than_one_reading_takes_are_priced_in_turns(card: RateCard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distinct, "_CARDS_A_READING", 2)
    cards = [changed(card, fee=fee) for fee in (1, 2, 3, 4, 5)]
    assert [from_micro(micro) for micro in RunTotals(open_runs(MANY)).of(cards)] == [total(MANY, one) for one in cards]


def test_a_run_that_a_card_cannot_price_is_told_with_its_row(card: RateCard) -> None:
    totals = RunTotals(open_runs(table({"rows": 5}, {"rows": 2_000})))
    with pytest.raises(FrameInvalid, match=r"row 1: 2000"):
        list(totals.of([card, changed(card, rows_max=1_000)]))
