"""Responses carry exactly the names that the public client reads, amounts as JSON numbers."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from pydantic import ValidationError

from estimator import DatasetProfile, RunRequest, RunResponse, estimate, plan_run, shipped_card

CARD = shipped_card("observed")
PROFILE = DatasetProfile(row_count=250, columns=("q", "i"))


def test_an_estimate_for_text_names_no_run_and_no_multiplier() -> None:
    plan = plan_run(RunRequest.from_wire({"estimate": True}), PROFILE, CARD)
    response = RunResponse.of(estimate(plan, CARD))
    assert json.loads(response.to_json()) == {
        "run_id": None,
        "estimate": True,
        "estimatedCreditsConsumed": 3,
        "estimatedMinutes": 0,
        "multimodalPricingApplied": False,
    }


def test_a_run_with_images_names_its_run_and_the_multiplier() -> None:
    request = RunRequest.from_wire({"column_mapping": {"prompt": "q", "image": "i"}})
    priced = estimate(plan_run(request, PROFILE, CARD), CARD)
    response = RunResponse.of(priced, run_id="dataset-d1-1", available_credits=Decimal("0.5"), itemised=True)
    assert response.to_wire() == {
        "run_id": "dataset-d1-1",
        "estimate": False,
        "estimatedCreditsConsumed": 30,
        "estimatedMinutes": 0,
        "multimodalPricingApplied": True,
        "creditMultiplier": 10,
        "available_credits": 0.5,
        "line_items": [
            {"code": "base", "label": "Base price", "quantity": 3, "unit_price": 10, "credits": 30},
        ],
    }
    assert RunResponse.from_wire(json.loads(response.to_json())).to_wire() == response.to_wire()
    assert RunResponse.from_wire(json.loads(json.dumps(response.to_dict()))) == response


def test_a_stored_first_answer_reads_back_to_the_same_bytes() -> None:
    stored = RunResponse(run_id="dataset-1-1", estimate=False, credits=Decimal("18.85"), minutes=Decimal("4.16"))
    assert RunResponse.from_wire(json.loads(stored.to_json())) == stored
    assert RunResponse.from_wire(stored.to_wire()).to_json() == stored.to_json()
    assert json.loads(stored.model_dump_json()) == stored.to_wire()


@pytest.mark.parametrize(("run_id", "is_estimate"), [(None, False), ("dataset-1-1", True)])
def test_a_run_id_is_null_exactly_for_estimates(run_id: str | None, is_estimate: bool) -> None:
    with pytest.raises(ValidationError, match="set estimate and run_id to agree"):
        RunResponse(run_id=run_id, estimate=is_estimate, credits=Decimal(1), minutes=Decimal(1))


def test_unknown_fields_of_a_stored_answer_are_refused() -> None:
    with pytest.raises(ValidationError):
        RunResponse.from_wire({"run_id": None, "estimate": True, "estimatedCredits": 1})
