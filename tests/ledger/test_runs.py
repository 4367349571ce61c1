"""The verbs of runs: launching on the wire, settling an outcome, looking up a dataset's last run."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.orm import Session

import ledger
from estimator import (
    DatasetProfile,
    OutcomeRejected,
    RateCard,
    RateCardBook,
    RateCardNotFound,
    RequestRejected,
    RowCountUnknown,
    RunOutcome,
    RunRequest,
    shipped_card,
)
from ledger.runs import RunState, find_last_run
from tests.ledger.conftest import START, Stored, later

CARD = """
name = "plain"
effective_from = 2026-01-01T00:00:00Z
rows_max = 1_000_000
quantum = "0.01"
settlement = "{settlement}"
[text]
row = "{row}"
[text.training]
instruction_dataset.included = true
[text.length]
concise = "1"
"""
PLAIN = RateCard.from_toml(CARD.format(row="0.1", settlement="requested"))
DELIVERED = RateCard.from_toml(CARD.format(row="0.1", settlement="delivered"))
PROFILE = DatasetProfile(row_count=50, columns=("prompt", "answer"))
BODY: dict[str, Any] = {"column_mapping": {"prompt": "prompt"}}
KEYED = BODY | {"job_specification": {"idempotency_key": "once"}}


def launch(session: Session, body: dict[str, Any] | None = None, **options: Any) -> ledger.Launch:
    """Launch with the tests' defaults."""
    request = RunRequest.from_wire(BODY if body is None else body)
    defaults = {
        "account_id": "acme",
        "dataset_id": "d1",
        "profile": PROFILE,
        "cards": RateCardBook([PLAIN]),
        "at": START,
    }
    return ledger.launch(session, request=request, **(defaults | options))


def settle(session: Session, run_id: str | None, outcome: RunOutcome, **options: Any) -> ledger.RunSettlement:
    """Settle with the tests' defaults."""
    assert run_id is not None
    return ledger.settle_run(
        session, **({"account_id": "acme", "run_id": run_id, "outcome": outcome, "at": START} | options)
    )


def test_a_launch_holds_what_it_is_estimated_to_cost_and_answers_the_wire(session: Session, acme: str) -> None:
    launched = launch(session)
    assert launched.response.to_wire() == {
        "run_id": f"dataset-d1-{int(START.timestamp() * 1000)}",
        "estimate": False,
        "estimatedCreditsConsumed": 5,
        "estimatedMinutes": 0,
        "multimodalPricingApplied": False,
        "available_credits": 5,
        "line_items": [
            {"code": "base", "label": "Base price", "quantity": 50, "unit_price": 0.1, "credits": 5},
        ],
    }
    hold = ledger.get_reservation(session, str(launched.reservation_id), at=START)
    assert (hold.amount, hold.run_id, hold.dataset_id) == (5, launched.run_id, "d1")


def test_what_a_launch_answers_and_keeps_is_exact_however_large_the_balance(session: Session) -> None:
    ledger.open_account(session, "acme", at=START)
    ledger.grant_credits(session, "acme", Decimal("9223372036854.775807"), at=START)
    first = launch(session, KEYED)
    assert first.response.available_credits == Decimal("9223372036849.775807")
    assert launch(session, KEYED).response == first.response
    entry = ledger.get_statement(session, "acme", until=later(1)).entries[-1]
    assert entry.details["response"]["available_credits"] == "9223372036849.775807"


def test_an_estimate_holds_nothing_binds_no_key_and_may_exceed_the_balance(
    session: Session, acme: str, stored: Stored
) -> None:
    before = stored()
    profile = DatasetProfile(row_count=1000, columns=("prompt",))
    for _ in range(2):
        answer = launch(session, {"estimate": True, "job_specification": {"idempotency_key": "once"}}, profile=profile)
        assert (answer.run_id, answer.reservation_id, answer.replayed) == (None, None, False)
        assert answer.response.to_wire()["estimatedCreditsConsumed"] == 100
        assert answer.response.available_credits == 10
    assert stored() == before
    assert not launch(session, KEYED).replayed


def test_an_estimate_neither_replays_nor_conflicts_with_a_bound_key(session: Session, acme: str) -> None:
    launch(session, KEYED)
    answer = launch(session, {"estimate": True, "job_specification": {"idempotency_key": "once"}})
    assert answer.response.estimate
    assert not answer.replayed


def test_the_same_launch_again_is_its_first_answer_whatever_happened_since(
    session: Session, acme: str, stored: Stored
) -> None:
    first = launch(session, KEYED)
    settle(session, first.run_id, RunOutcome("failed", 0))
    ledger.reserve(session, acme, 10, at=START)
    before = stored()
    dear = RateCard.from_toml(CARD.format(row="9", settlement="requested"))
    circumstances: list[dict[str, Any]] = [
        {"at": later(9)},
        {"cards": RateCardBook([dear])},
        {"profile": DatasetProfile(row_count=9, columns=("prompt",))},
        {"profile": DatasetProfile(row_count=9, columns=("renamed",))},
        {"profile": DatasetProfile(row_count=None, columns=("prompt",))},
        {"at": later(days=-900)},
    ]
    for changed in circumstances:
        again = launch(session, KEYED, **changed)
        assert again == replace(first, replayed=True)
        assert again.response.to_json() == first.response.to_json()
    assert stored() == before


def test_the_key_of_another_launch_is_a_conflict_even_for_a_request_that_cannot_be_planned(
    session: Session, acme: str
) -> None:
    launch(session, KEYED)
    other = KEYED | {"brand_controls": {"length": "concise"}}
    for options in ({}, {"profile": DatasetProfile(row_count=None, columns=("prompt",))}):
        with pytest.raises(ledger.IdempotencyConflict):
            launch(session, other, **options)


def test_a_key_is_a_datasets_own_and_no_plain_reservations(session: Session, acme: str) -> None:
    launch(session, KEYED | {"job_specification": {"idempotency_key": "once", "max_rows": 10}})
    limited = KEYED | {"job_specification": {"idempotency_key": "once", "max_rows": 20.0}}
    assert not launch(session, limited, dataset_id="d2").replayed
    assert not ledger.reserve(session, acme, 1, key="once", at=START).replayed


@pytest.mark.parametrize("key", [None, "once"])
def test_a_request_that_cannot_be_planned_is_refused_and_leaves_its_key_free(
    session: Session, acme: str, stored: Stored, key: str | None
) -> None:
    before = stored()
    body = BODY | {"job_specification": {"idempotency_key": key}}
    for profile, refusal in (
        (DatasetProfile(row_count=None, columns=("prompt",)), RowCountUnknown),
        (DatasetProfile(row_count=5, columns=("other",)), RequestRejected),
    ):
        with pytest.raises(refusal):
            launch(session, body, profile=profile)
    with pytest.raises(RateCardNotFound):
        launch(session, body, at=later(days=-900))
    assert stored() == before
    assert not launch(session, body).replayed


def test_a_launch_beyond_the_balance_says_how_many_rows_it_pays_and_leaves_its_key_free(
    session: Session, acme: str, stored: Stored
) -> None:
    before = stored()
    profile = DatasetProfile(row_count=101, columns=("prompt",))
    with pytest.raises(ledger.InsufficientCredits, match="set max_rows to 100") as caught:
        launch(session, KEYED, profile=profile)
    assert (caught.value.requested, caught.value.available, caught.value.affordable_rows) == (Decimal("10.1"), 10, 100)
    assert stored() == before
    payable = KEYED | {"job_specification": {"idempotency_key": "once", "max_rows": 100}}
    assert launch(session, payable, profile=profile).response.credits == 10


@pytest.mark.parametrize(
    ("card", "outcome", "captured"),
    [
        (PLAIN, RunOutcome("succeeded", 50, 50), "5"),
        (PLAIN, RunOutcome("succeeded", 50, 30), "5"),
        (PLAIN, RunOutcome("failed", 20), "2"),
        (PLAIN, RunOutcome("failed", 0), "0"),
        (PLAIN, RunOutcome("cancelled", 1, 0), "0.1"),
        (DELIVERED, RunOutcome("succeeded", 50, 30), "3"),
        (DELIVERED, RunOutcome("succeeded", 50, 0), "0"),
        (DELIVERED, RunOutcome("cancelled", 0, 0), "0"),
    ],
)
def test_a_run_is_charged_for_its_outcome_and_the_rest_is_freed(
    session: Session, acme: str, card: RateCard, outcome: RunOutcome, captured: str
) -> None:
    launched = launch(session, cards=RateCardBook([card]))
    settled = settle(session, launched.run_id, outcome)
    assert (settled.captured, settled.freed) == (Decimal(captured), 5 - Decimal(captured))
    assert (settled.run_id, settled.status, settled.reservation_id) == (
        launched.run_id,
        outcome.status,
        launched.reservation_id,
    )
    assert sum(Decimal(item["credits"]) for item in settled.line_items) == settled.captured
    balance = ledger.get_balance(session, acme, at=START)
    assert (balance.consumed, balance.held) == (Decimal(captured), 0)
    ledger.require_clean(session)


def test_a_run_is_settled_under_the_card_it_was_launched_with_from_the_ledger_alone(
    session: Session, acme: str
) -> None:
    launched = launch(session, cards=RateCardBook([shipped_card("example")]))
    settled = settle(session, launched.run_id, RunOutcome("succeeded", 50, 40))
    assert settled.captured == Decimal("1")  # the card's minimum
    assert {item["code"] for item in settled.line_items} == {"base", "fee", "minimum"}


def test_the_same_outcome_again_is_a_replay_and_another_a_conflict(session: Session, acme: str, stored: Stored) -> None:
    launched = launch(session)
    first = settle(session, launched.run_id, RunOutcome("failed", 20))
    before = stored()
    assert settle(session, launched.run_id, RunOutcome("failed", 20), at=later(9)) == replace(first, replayed=True)
    for other in (RunOutcome("failed", 21), RunOutcome("succeeded", 20), RunOutcome("failed", 20, 20)):
        with pytest.raises(ledger.IdempotencyConflict):
            settle(session, launched.run_id, other)
    assert stored() == before


def test_an_outcome_beyond_the_plan_is_refused_and_can_be_corrected(
    session: Session, acme: str, stored: Stored
) -> None:
    launched = launch(session)
    before = stored()
    with pytest.raises(OutcomeRejected):
        settle(session, launched.run_id, RunOutcome("succeeded", 51, 50))
    assert stored() == before
    assert settle(session, launched.run_id, RunOutcome("succeeded", 50, 50)).captured == 5


def test_a_run_of_another_account_or_of_none_is_not_found(session: Session, acme: str) -> None:
    launched = launch(session)
    ledger.open_account(session, "zeta", at=START)
    for account_id, run_id in (("zeta", launched.run_id), ("acme", "dataset-d1-5"), ("acme", "nonsense")):
        with pytest.raises(ledger.RunNotFound):
            settle(session, run_id, RunOutcome("failed", 0), account_id=account_id)
    with pytest.raises(ledger.AccountNotFound):
        settle(session, launched.run_id, RunOutcome("failed", 0), account_id="nobody")
    with pytest.raises(ledger.AccountNotFound):
        launch(session, account_id="nobody")


def test_the_longest_ids_and_key_of_any_script_are_stored_together(session: Session) -> None:
    # Characters of four bytes each that no compression makes shorter.
    characters = "".join(chr(0x20000 + (number * 7919) % 0xA000) for number in range(255))
    account_id, dataset_id = characters[:128], characters[127:]
    ledger.open_account(session, account_id, at=START)
    ledger.grant_credits(session, account_id, 10, at=START)
    body = BODY | {"job_specification": {"idempotency_key": characters}}
    launched = launch(session, body, account_id=account_id, dataset_id=dataset_id)
    assert launch(session, body, account_id=account_id, dataset_id=dataset_id).replayed
    settled = settle(session, launched.run_id, RunOutcome("failed", 0), account_id=account_id)
    assert settled.freed == 5
    with pytest.raises(ledger.CommandInvalid, match="516 bytes"):
        ledger.open_account(session, characters[:129])


def test_the_entry_of_a_launch_keeps_request_plan_card_and_response(session: Session, acme: str) -> None:
    launched = launch(session, KEYED)
    entry = ledger.get_statement(session, acme, until=later(1)).entries[-1]
    assert entry.details["response"] == launched.response.to_dict()
    assert entry.details["card_id"] == PLAIN.id
    assert RunRequest.from_wire(entry.details["request"]).digest() == RunRequest.from_wire(KEYED).digest()
    assert entry.details["plan"]["rows"] == 50


def test_an_estimate_and_a_launch_say_what_is_there_with_the_line_and_for_the_dataset(
    session: Session, acme: str
) -> None:
    ledger.set_credit_line(session, "acme", 5, at=START)
    ledger.grant_credits(session, "acme", 3, scope={"dataset": ["d1"]}, at=START)
    ledger.grant_credits(session, "acme", 70, scope={"dataset": ["other"]}, at=START)
    quoted = launch(session, BODY | {"estimate": True}).response
    assert quoted.available_credits == 18
    started = launch(session).response
    assert started.available_credits == 18 - started.credits


def state(session: Session, seconds: float = 50) -> RunState | None:
    run = find_last_run(session, "acme", "d1", at=later(seconds))
    return None if run is None else run.state


def test_a_dataset_without_runs_has_none(session: Session, acme: str) -> None:
    assert state(session) is None
    launch(session, dataset_id="d2")
    assert state(session) is None


@pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled"])
def test_a_settled_run_stands_as_it_was_settled(session: Session, acme: str, status: str) -> None:
    launched = launch(session)
    assert state(session) is RunState.ACTIVE
    settle(session, launched.run_id, RunOutcome(status, 50 if status == "succeeded" else 0))
    assert state(session) == status


def test_a_run_whose_hold_ended_by_hand_or_lapsed_says_so(session: Session, acme: str) -> None:
    first = launch(session, expires_in=timedelta(seconds=60))
    assert (state(session, 59), state(session, 60)) == (RunState.ACTIVE, RunState.EXPIRED)
    assert first.reservation_id is not None
    ledger.release(session, first.reservation_id, at=later(1))
    assert state(session) is RunState.RELEASED
    second = launch(session, at=later(2))
    assert second.reservation_id is not None
    ledger.capture(session, second.reservation_id, at=later(3))
    assert state(session) is RunState.SUCCEEDED


def test_the_last_run_is_told_with_its_rows(session: Session, acme: str) -> None:
    settle(session, launch(session).run_id, RunOutcome("succeeded", 50))
    body = {"column_mapping": {"prompt": "prompt"}, "job_specification": {"max_rows": 7}}
    second = launch(session, body, at=later(1))
    run = find_last_run(session, "acme", "d1", at=later(2))
    assert run is not None
    assert (run.run_id, run.rows, run.rows_output, run.launched_at) == (second.run_id, 7, 7, later(1))
