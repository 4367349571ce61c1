"""The minutes of a card are what past runs say, bounded as far as runs support it, and tried on runs held back."""

from __future__ import annotations

from decimal import Decimal

import pytest

from estimator import DatasetProfile, FrameInvalid, RunRequest, estimate, plan_run, shipped_card
from estimator.calibration import calibrate, read_history
from estimator.calibration.bounds import shares
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


def test_runs_of_no_time_among_others_are_no_obstacle() -> None:
    minutes = [0 if at % 5 else 3 for at in range(600)]
    found = calibrated(history(600, minutes=minutes))
    assert found.backtest.error_percent < 101
    assert found.model.p95_factor > 1


def test_a_few_broken_runs_leave_their_kind_without_a_bound_and_the_others_with_theirs() -> None:
    sound = history(1000, length=["minimal"] * 300 + ["concise"] * 700, grounding=None, noise=0.1)
    bounding = [at for at, tenth in enumerate(shares(300)) if tenth in (6, 7)]
    minutes = sound["minutes"].to_pylist()
    for at in bounding[:8]:
        minutes[at] = 9e8
    found = calibrated(sound.set_column(sound.schema.get_field_index("minutes"), "minutes", [minutes]))
    assert {bound.name: bound.factor is None for bound in found.bounds} == {"minimal": True, "concise": False}
    for at in bounding:
        minutes[at] = 9e8
    with pytest.raises(FrameInvalid, match="Leave out broken runs"):
        calibrated(sound.set_column(sound.schema.get_field_index("minutes"), "minutes", [minutes]))


SHORT = [1e-15 * at for at in range(300)]
IDLE = [0.0 if at < 60 else 0.01 * at for at in range(300)]


@pytest.mark.parametrize(
    ("rows", "minutes", "length", "says"),
    [
        (range(1, 301), SHORT, ["concise"] * 300, "300 of 300 would take no time at all"),
        (range(1, 301), IDLE, ["minimal"] * 60 + ["concise"] * 240, "60 of 300 would take no time at all"),
    ],
)
def test_a_model_that_expects_no_time_of_runs_is_refused(
    rows: range, minutes: list[float], length: list[str], says: str
) -> None:
    table = history(300, rows=list(rows), minutes=minutes, length=length, grounding=None, reasoning_traces=None)
    with pytest.raises(FrameInvalid, match=says):
        calibrated(table)


def test_a_model_beyond_what_a_card_can_say_is_refused() -> None:
    wide = CARD.model_copy(update={"minutes": CARD.minutes.model_copy(update={"parallel": 10**15})})
    with pytest.raises(FrameInvalid, match="more than a card can say"):
        calibrate(read_history(history(300), wide), wide)
