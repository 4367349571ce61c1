"""Settlements: each policy and ending, and outcomes that fit no plan."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from estimator import OutcomeRejected, RateCard, RunOutcome, RunPlan, settle, shipped_card

PLAN = RunPlan("text", 100, 500_000, 2, "concise", (), "instruction_dataset", grounding=False, safety=False)


def card(settlement: str, basis: str = "output", **changes: Any) -> RateCard:
    """One credit a row, by a policy and basis."""
    content = {
        "name": "worked",
        "effective_from": "2026-01-01T00:00:00Z",
        "rows_max": 1_000,
        "settlement": settlement,
        "text": {"row": "1", "basis": basis, "expansion": {"included": True}},
    }
    return RateCard.from_dict(content | changes)


@pytest.mark.parametrize(
    ("settlement", "basis", "status", "processed", "delivered", "price"),
    [
        ("requested", "output", "succeeded", 100, 200, 200),
        ("requested", "output", "succeeded", 100, 150, 200),
        ("requested", "output", "succeeded", 80, None, 200),
        ("requested", "output", "failed", 80, 100, 160),
        ("requested", "output", "cancelled", 1, None, 1),
        ("requested", "output", "succeeded", 0, 0, 0),
        ("requested", "output", "failed", 0, None, 0),
        ("requested", "input", "failed", 80, 100, 80),
        ("requested", "added", "failed", 80, 100, 80),
        ("delivered", "output", "succeeded", 100, 150, 150),
        ("delivered", "output", "failed", 100, 0, 0),
        ("delivered", "output", "cancelled", 0, None, 0),
        ("delivered", "input", "succeeded", 90, None, 90),
        ("delivered", "added", "succeeded", 100, 150, 50),
        ("delivered", "added", "failed", 100, 50, 0),
        ("delivered", "added", "succeeded", 10, 200, 100),
    ],
)
def test_each_policy_bills_what_it_says(
    settlement: str, basis: str, status: Any, processed: int, delivered: int | None, price: int
) -> None:
    settled = settle(PLAN, card(settlement, basis), RunOutcome(status, processed, delivered))
    assert settled.credits == price
    assert settled.freed == settled.estimate.credits - price
    assert sum(item.credits for item in settled.line_items) == price


def test_a_run_that_processed_something_pays_the_fee_and_the_minimum() -> None:
    priced = card("delivered", fee="2", minimum="5")
    assert settle(PLAN, priced, RunOutcome("failed", 1, 1)).credits == 5
    assert settle(PLAN, priced, RunOutcome("failed", 0)).credits == 0
    assert settle(PLAN, priced, RunOutcome("failed", 0)).line_items == ()


def test_a_settlement_is_json_and_a_table() -> None:
    settled = settle(PLAN, card("delivered"), RunOutcome("succeeded", 100, 150))
    body = json.loads(json.dumps(settled.to_dict()))
    assert (body["credits"], body["freed"]) == ("150", "50")
    assert body["outcome"] == {"status": "succeeded", "rows_processed": 100, "rows_delivered": 150}
    assert settled.card_id == body["estimate"]["card_id"] == card("delivered").id
    assert settled.plan_digest == PLAN.digest
    assert settled.as_table().splitlines()[-1].split() == ["total", "150"]


@pytest.mark.parametrize(
    ("settlement", "basis", "processed", "delivered", "expected"),
    [
        ("requested", "output", 101, None, [("rows_processed", "beyond_plan")]),
        ("requested", "output", 100, 201, [("rows_delivered", "beyond_plan")]),
        ("requested", "output", 101, 201, [("rows_processed", "beyond_plan"), ("rows_delivered", "beyond_plan")]),
        ("delivered", "output", 50, None, [("rows_delivered", "missing")]),
        ("delivered", "added", 50, None, [("rows_delivered", "missing")]),
        ("requested", "output", 0, 5, [("rows_delivered", "contradiction")]),
    ],
)
def test_outcomes_that_fit_no_plan_are_refused(
    settlement: str, basis: str, processed: int, delivered: int | None, expected: list[tuple[str, str]]
) -> None:
    with pytest.raises(OutcomeRejected) as caught:
        settle(PLAN, card(settlement, basis), RunOutcome("succeeded", processed, delivered))
    assert [(issue.path, issue.code) for issue in caught.value.issues] == expected


@pytest.mark.parametrize(
    ("fields", "paths"),
    [
        (("done", 1, 1), ["status"]),
        (("failed", -1, 0), ["rows_processed"]),
        (("failed", 1, -1), ["rows_delivered"]),
        (("failed", None, None), ["rows_processed"]),
        (("failed", 1.0, True), ["rows_processed", "rows_delivered"]),
        ((None, "1", "1"), ["status", "rows_processed", "rows_delivered"]),
    ],
)
def test_an_outcome_refuses_anything_but_counts_and_known_endings(fields: Any, paths: list[str]) -> None:
    with pytest.raises(OutcomeRejected) as caught:
        RunOutcome(*fields)
    assert [issue.path for issue in caught.value.issues] == paths


def test_a_stored_plan_settles_the_same_years_later() -> None:
    """Everything needed is in the plan and the card: both come back from JSON."""
    example = shipped_card("example")
    plan = PLAN._replace(rows=5_000, discount="team", voucher="welcome")
    outcome = RunOutcome("succeeded", 5_000, 9_000)
    again = settle(RunPlan.from_dict(plan.to_dict()), RateCard.from_json(example.to_json()), outcome)
    assert again == settle(plan, example, outcome)
    assert again.credits == Decimal("74.29")
