"""The fit: factors with enough runs are found, the others keep their value."""

from __future__ import annotations

import pytest

from estimator import shipped_card
from estimator.calibration import read_history
from estimator.calibration.fitting import RUNS_MIN, Fit, fit
from tests.estimator.calibration import past
from tests.estimator.calibration.past import FACTORS, GROUNDED, ROW, START, TRACED

CARD = shipped_card("example")


def test_exact_minutes_give_back_start_row_and_factors() -> None:
    found = fit(read_history(past.history(400), CARD), {})
    assert (found.start, found.row) == (pytest.approx(START), pytest.approx(ROW))
    lengths = {name: found.factors[f"length.{name}"] for name in FACTORS}
    assert lengths == pytest.approx(FACTORS)
    assert found.factors["grounding"] == pytest.approx(GROUNDED)
    assert found.factors["recipes.reasoning_traces"] == pytest.approx(TRACED)
    assert set(found.fitted) == {
        "length.minimal",
        "length.detailed",
        "length.extensive",
        "grounding",
        "recipes.reasoning_traces",
    }


def test_a_factor_of_too_few_runs_keeps_the_value_given() -> None:
    grounding = [number < RUNS_MIN - 1 for number in range(400)]
    history = read_history(past.history(400, grounding=grounding), CARD)
    found = fit(history, {"grounding": 3.0, "safety": 2.0})
    assert (found.factors["grounding"], found.factors["safety"]) == (3.0, 2.0)
    assert "grounding" not in found.fitted


def test_minutes_are_the_start_and_the_rows_times_the_factors_that_apply() -> None:
    history = read_history(past.history(3, length=["minimal"] * 3, grounding=[True, False, True]), CARD)
    expected = Fit(1.0, 0.5, {"length.minimal": 2.0, "grounding": 3.0}, ()).minutes(history)
    factors = [6.0, 2.0, 6.0]
    assert expected.tolist() == [1.0 + 0.5 * rows * each for rows, each in zip(history.rows, factors, strict=True)]
