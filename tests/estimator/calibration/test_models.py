"""The minutes of a card are what past runs say, bounded as far as runs support it, and tried on runs held back."""

from __future__ import annotations

from decimal import Decimal

import pytest

from estimator import DatasetProfile, FrameInvalid, RunRequest, estimate, plan_run, shipped_card
from estimator.calibration import calibrate, read_history
from estimator.calibration.models import Calibration
from tests.estimator.calibration.past import history

CARD = shipped_card("example")


def calibrated(table: object) -> Calibration:
    return calibrate(read_history(table, CARD), CARD)


def test_minutes_without_chance_give_back_the_model_they_were_made_with() -> None:
    model = calibrated(history(2000)).model
    assert abs(model.start - 2) < Decimal("0.001")
    assert abs(model.row - Decimal("0.004") * CARD.minutes.parallel) < Decimal("0.0001")
    expected = {"length.minimal": 0.5, "length.detailed": 1.5, "length.extensive": 4, "grounding": 1.75}
    for name, factor in (expected | {"recipes.reasoning_traces": 1.25}).items():
        assert abs(float(model.factors[name]) - factor) < 0.001, name


def test_the_estimate_of_a_run_is_what_its_like_took() -> None:
    card = CARD.model_copy(update={"minutes": calibrated(history(2000)).model})
    request = RunRequest.from_wire(
        {"estimate": True, "brand_controls": {"length": "extensive", "hallucination_mitigation": True}}
    )
    plan = plan_run(request, DatasetProfile(10_000, ("prompt",)), type(CARD).from_json(card.to_json()))
    minutes = estimate(plan, type(CARD).from_json(card.to_json())).minutes
    assert abs(minutes.p50 - 282) < Decimal("0.1")
    assert minutes.p95 >= minutes.p50


def test_most_runs_that_were_held_back_stay_below_the_p95() -> None:
    for seed in range(5):
        tried = calibrated(history(5000, noise=0.3, seed=seed)).backtest
        assert tried.runs > 800
        assert 92 < tried.covered_percent < 98
        assert 15 < tried.error_percent < 26


def test_a_bound_that_too_few_runs_support_is_absent() -> None:
    length = ["concise"] * 990 + ["extensive"] * 10
    found = calibrated(history(1000, noise=0.2, length=length, grounding=[False] * 1000))
    bounds = {bound.name: bound.factor for bound in found.bounds}
    assert bounds["concise"] is not None
    assert bounds.get("extensive") is None
    assert "extensive" not in found.model.p95_factors
    assert found.model.p95_factors == {"concise": bounds["concise"]}


def test_factors_of_which_there_are_too_few_runs_stay_as_the_card_has_them() -> None:
    found = calibrated(history(400, grounding=None, reasoning_traces=None))
    assert "grounding" in found.unfitted
    assert found.model.factors["grounding"] == CARD.minutes.factors["grounding"]
    assert "grounding" not in found.fitted


def test_nothing_is_below_zero_where_runs_say_so() -> None:
    table = history(1000)
    minutes = [max(0.0, rows * 0.004 - 3) for rows in table["rows"].to_pylist()]
    model = calibrated(table.set_column(table.schema.get_field_index("minutes"), "minutes", [minutes])).model
    assert model.start == 0
    assert model.row > 0


def test_the_same_runs_give_the_same_model() -> None:
    assert calibrated(history(600, noise=0.2)) == calibrated(history(600, noise=0.2))


@pytest.mark.parametrize(
    ("count", "minutes", "says"), [(199, None, "Give 200"), (300, [7.0] * 300, "no longer for more")]
)
def test_runs_that_support_no_model_are_refused(count: int, minutes: list[float] | None, says: str) -> None:
    table = history(count) if minutes is None else history(count, minutes=minutes)
    with pytest.raises(FrameInvalid, match=says):
        calibrated(table)
