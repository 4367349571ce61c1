"""The minutes model: the names that its factors and bounds may have."""

from __future__ import annotations

import pytest

from estimator.rates.minutes import MinutesModel, minutes_bound_name, minutes_bound_names, minutes_factor_names


def test_a_bound_is_named_by_length_and_grounding() -> None:
    assert minutes_bound_name("concise", False) == "concise"
    assert minutes_bound_name("concise", True) == "concise.grounding"
    assert len(minutes_bound_names()) == len(set(minutes_bound_names())) == 8


def test_factors_are_of_everything_that_a_run_can_choose() -> None:
    assert {name.partition(".")[0] for name in minutes_factor_names()} == {
        "image",
        "length",
        "recipes",
        "training",
        "grounding",
        "safety",
        "expansion",
    }


@pytest.mark.parametrize(("table", "words"), [("factors", "slows a run down"), ("p95_factors", "a bound of its own")])
def test_an_unknown_name_is_refused_with_those_there_are(table: str, words: str) -> None:
    with pytest.raises(ValueError, match=f"{words}. Use one of: "):
        MinutesModel.model_validate({table: {"speed": "2"}})
