"""Comparing past runs under several cards."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pandas
import polars
import pyarrow
import pytest

from estimator import FrameInvalid, RateCard, estimate_frame
from estimator.frames.reader import BLOCK
from estimator.scenarios import ScenarioInvalid, compare, sweep
from tests.estimator.scenarios.past import MANY, changed, prices, table, total


def test_the_totals_are_those_of_the_runs_estimated_one_by_one(card: RateCard, cheaper: RateCard) -> None:
    found = compare(MANY, card, [cheaper])
    assert found.runs == 6
    assert found.baseline.credits == total(MANY, card)
    (change,) = found.changes
    assert change.card.credits == total(MANY, cheaper)
    assert change.delta == total(MANY, cheaper) - total(MANY, card)
    assert (found.baseline.name, found.baseline.id) == (card.name, card.id)
    assert (change.card.name, change.card.id) == ("cheaper", cheaper.id)


KEYS: dict[str, Any] = {
    "account": lambda run: [run["account"]],
    "month": lambda run: [f"{run['at']:%Y-%m}"],
    "length": lambda run: [run["length"]],
    "grounding": lambda run: [str(run["grounding"]).lower()],
    "safety": lambda run: [str(run["safety"]).lower()],
    "training_type": lambda run: [run["training_type"]],
    "modality": lambda run: [run["modality"]],
    "recipe": lambda run: [n for n in ("deduplication", "prompt_rephrase", "reasoning_traces") if run[n]] or ["none"],
}


@pytest.mark.parametrize("dimension", KEYS)
def test_the_groups_of_a_dimension_sum_what_their_runs_cost(card: RateCard, cheaper: RateCard, dimension: str) -> None:
    plain = table({"deduplication": False, "account": "delta"})
    runs = pyarrow.concat_tables([MANY, plain])
    expected: dict[str, list[Any]] = defaultdict(lambda: [0, Decimal(0), Decimal(0)])
    for run, before, after in zip(runs.to_pylist(), prices(runs, card), prices(runs, cheaper), strict=True):
        for key in KEYS[dimension](run):
            expected[key] = [a + b for a, b in zip(expected[key], [1, before, after], strict=True)]
    found = compare(runs, card, [cheaper]).by(dimension)
    assert {group.key: [group.runs, group.baseline, *group.candidates] for group in found} == expected


def test_accounts_come_with_the_largest_change_first_and_months_in_order(card: RateCard, cheaper: RateCard) -> None:
    found = compare(MANY, card, [cheaper])
    changes = [abs(group.deltas[0]) for group in found.by("account")]
    assert changes == sorted(changes, reverse=True)
    assert [group.key for group in found.by("month")] == ["2025-12", "2026-01", "2026-02"]
    assert [group.key for group in found.by("account").head(1)] == [found.by("account").rows[0].key]


def test_several_candidates_are_compared_in_one_reading(card: RateCard, cheaper: RateCard) -> None:
    dearer = changed(card, name="dearer", text__row=Decimal("0.011"))
    found = compare(MANY, card, [cheaper, dearer])
    assert [change.card.credits for change in found.changes] == [total(MANY, cheaper), total(MANY, dearer)]
    assert all(len(group.candidates) == 2 for group in found.by("account"))


def test_no_candidate_prices_the_baseline_alone(card: RateCard) -> None:
    found = compare(MANY, card, [])
    assert (found.baseline.credits, found.changes) == (total(MANY, card), ())


def test_who_pays_more_is_counted_by_run_and_by_account(card: RateCard, cheaper: RateCard) -> None:
    deltas = [b - a for a, b in zip(prices(MANY, card), prices(MANY, cheaper), strict=True)]
    (change,) = compare(MANY, card, [cheaper]).changes
    counts = sum(d > 0 for d in deltas), sum(d < 0 for d in deltas), sum(d == 0 for d in deltas)
    assert (change.runs.dearer, change.runs.cheaper, change.runs.same) == counts
    assert change.runs.share_dearer == Decimal("16.67")
    assert change.accounts is not None
    assert (change.accounts.dearer, change.accounts.cheaper, change.accounts.same) == (1, 2, 0)
    assert sum(part.count for part in change.distribution) == len(deltas)


def test_the_largest_movers_are_listed_with_their_runs_and_prices(card: RateCard, cheaper: RateCard) -> None:
    (change,) = compare(MANY, card, [cheaper], movers=2).changes
    before, after = prices(MANY, card), prices(MANY, cheaper)
    ranked = sorted(range(len(before)), key=lambda row: after[row] - before[row])
    assert [mover.row for mover in change.cheaper_runs] == ranked[:2]
    first = change.cheaper_runs[0]
    assert (first.path, first.baseline, first.candidate) == ("", before[ranked[0]], after[ranked[0]])
    assert first.run["rows"] == MANY["rows"][ranked[0]].as_py()
    assert first.run["account"] == "beta"
    assert [mover.row for mover in change.dearer_runs] == [row for row in reversed(ranked) if after[row] > before[row]]
    assert [group.key for group in change.dearer_accounts] == ["gamma"]


def test_of_equal_changes_the_first_runs_are_listed(card: RateCard) -> None:
    dearer = changed(card, name="dearer", fee=Decimal("1"))
    runs = table({"rows": 5_000}).take(pyarrow.nulls(2 * BLOCK + 77, pyarrow.int64()).fill_null(0))
    (change,) = compare(runs, card, [dearer], movers=3).changes
    assert [mover.row for mover in change.dearer_runs] == [0, 1, 2]
    assert change.delta == runs.num_rows * Decimal("0.75")  # from a fee of a quarter


def test_the_steps_sum_to_the_whole_change(card: RateCard, cheaper: RateCard) -> None:
    (change,) = compare(MANY, card, [cheaper]).changes
    assert [step.codes for step in change.steps] == [("base",), ("recipes",), ("fee",)]
    assert sum((step.delta for step in change.steps), Decimal(0)) == change.delta
    assert change.steps[-1].total == change.card.credits


def test_a_step_is_the_exact_price_of_the_card_on_the_way(card: RateCard, cheaper: RateCard) -> None:
    halfway = changed(card, text__row=Decimal("0.009"))
    (change,) = compare(MANY, card, [cheaper]).changes
    assert change.steps[0].total == total(MANY, halfway)


@pytest.mark.parametrize(
    "frame",
    [MANY.to_batches()[0], polars.from_arrow(MANY), polars.from_arrow(MANY).lazy()],
    ids=["record batch", "Polars", "Polars, lazy"],
)
def test_runs_come_in_any_kind_of_frame(card: RateCard, frame: Any) -> None:
    assert compare(frame, card, []).baseline.credits == total(MANY, card)


def test_runs_come_in_a_pandas_frame_whose_missing_limits_stay_whole_numbers(card: RateCard) -> None:
    frame = MANY.to_pandas(types_mapper={pyarrow.int64(): pandas.Int64Dtype()}.get)
    assert compare(frame, card, []).baseline.credits == total(MANY, card)


def test_a_dimension_without_its_column_is_refused_by_name(card: RateCard) -> None:
    runs = MANY.drop_columns(["account"])
    with pytest.raises(ScenarioInvalid, match="account: needs a column account, which the runs lack"):
        compare(runs, card, [], by=["account"])
    found = compare(runs, card, [])
    with pytest.raises(ScenarioInvalid, match="account: is not what these runs were compared by"):
        found.by("account")


def test_a_misspelt_column_of_a_dimension_is_named(card: RateCard) -> None:
    runs = MANY.rename_columns({"account": "acount"})
    with pytest.raises(ScenarioInvalid, match="Did you mean 'acount'"):
        compare(runs, card, [], by=["account"])


def test_runs_that_were_priced_before_are_priced_anew(card: RateCard, cheaper: RateCard) -> None:
    found = compare(estimate_frame(MANY, card), card, [cheaper])
    assert found.changes[0].card.credits == total(MANY, cheaper)
    assert sweep(estimate_frame(MANY, card), card, {"fee": [Decimal(1)]}).card.credits == total(MANY, card)


def test_a_misspelt_dimension_is_refused_with_the_nearest(card: RateCard) -> None:
    with pytest.raises(ScenarioInvalid, match="Did you mean 'account'"):
        compare(MANY, card, [], by=["acount"])


def test_two_cards_of_one_content_are_refused(card: RateCard, cheaper: RateCard) -> None:
    with pytest.raises(ScenarioInvalid, match="one content, and so one id"):
        compare(MANY, card, [cheaper, RateCard.from_json(cheaper.to_json())])
    with pytest.raises(ScenarioInvalid, match="one content, and so one id"):
        compare(MANY, card, [card])


def test_a_run_that_a_candidate_cannot_price_is_refused_with_its_row(card: RateCard) -> None:
    small = changed(card, name="small", rows_max=1_000_000)
    with pytest.raises(FrameInvalid, match=r"row 3.*'small' allows 1,000,000"):
        compare(MANY, card, [small])


def test_months_are_those_of_utc(card: RateCard) -> None:
    late = datetime.fromisoformat("2026-01-31T22:00:00-05:00")
    runs = table({"at": late.astimezone(UTC)})
    local = runs.set_column(
        runs.schema.get_field_index("at"), "at", runs["at"].cast(pyarrow.timestamp("us", "America/New_York"))
    )
    assert [group.key for group in compare(local, card, []).by("month")] == ["2026-02"]


def test_sums_beyond_64_bits_are_exact(card: RateCard) -> None:
    huge = RateCard.from_dict(
        {
            "name": "huge",
            "effective_from": "2026-01-01T00:00:00Z",
            "rows_max": 9,
            "targets_max": 0,
            "unit_decimals": 6,
            "text": {"row": "1000000000000"},
        }
    )
    runs = pyarrow.table({"rows": [9] * 1000, "account": ["a", "b"] * 500})
    found = compare(runs, huge, [])
    assert found.baseline.credits == 9_000 * Decimal(10) ** 12
    assert {group.baseline for group in found.by("account")} == {4_500 * Decimal(10) ** 12}
