"""Runs over HTTP: what the public client is answered, status, body and headers."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy.orm import Session

import ledger
from estimator import RateCardBook, RunOutcome, shipped_card
from ledger.fastapi import LaunchTerms
from tests.ledger.fastapi.conftest import BODY, DATASETS, Mount, Service, keyed


def test_an_estimate_answers_the_price_and_holds_nothing(any_service: Service) -> None:
    answer = any_service.post({"estimate": True})
    assert answer.status_code == 200
    body = answer.json()
    items = body.pop("line_items")
    assert body == {
        "run_id": None,
        "estimate": True,
        "estimatedCreditsConsumed": 17,
        "estimatedMinutes": 0,
        "multimodalPricingApplied": False,
        "available_credits": 100,
    }
    assert sum(item["credits"] for item in items) == 17
    assert any_service.held() == 0


def test_a_run_holds_its_credits_and_the_same_key_gets_the_first_answer_again(any_service: Service) -> None:
    first = any_service.post(keyed("k"))
    assert (first.status_code, first.json()["estimatedCreditsConsumed"]) == (200, 17)
    assert re.fullmatch(r"dataset-d1-\d{13}", first.json()["run_id"])
    body = {"job_specification": {"idempotency_key": "k"}, "column_mapping": {"prompt": "question"}}
    for path in ("run", "adapt"):
        again = any_service.post(body, path=path)
        assert (again.status_code, again.json()) == (200, first.json())
    assert any_service.held() == 17


def test_another_request_under_a_used_key_is_refused_and_changes_nothing(any_service: Service) -> None:
    any_service.post(keyed("k"))
    answer = any_service.post(keyed("k", brand_controls={"length": "detailed"}))
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_conflict")
    assert "x-should-retry" not in answer.headers
    assert any_service.held() == 17


def test_a_run_beyond_the_balance_is_refused_with_what_would_pay(any_service: Service) -> None:
    answer = any_service.post(dataset="huge")
    body = answer.json()
    assert answer.status_code == 402
    typed = {name: body[name] for name in ("statusCode", "error", "code", "requested", "available", "affordable_rows")}
    assert typed == {
        "statusCode": 402,
        "error": "Payment Required",
        "code": "insufficient_credits",
        "requested": 990,
        "available": 100,
        "affordable_rows": 10_000,
    }
    assert any_service.held() == 0
    estimate = any_service.post({"estimate": True}, dataset="huge")
    assert (estimate.status_code, estimate.json()["available_credits"]) == (200, 100)


def test_a_second_run_of_a_dataset_is_refused_for_as_long_as_the_first_is_active(any_service: Service) -> None:
    run_id = any_service.post().json()["run_id"]
    answer = any_service.post(keyed("other"))
    assert (answer.status_code, answer.json()["code"]) == (409, "run_already_active")
    assert answer.headers["x-should-retry"] == "false"
    assert answer.json()["run_id"] == run_id
    with Session(any_service.engine) as session, session.begin():
        ledger.settle_run(session, account_id="acme", run_id=run_id, outcome=RunOutcome("cancelled", 0))
    assert any_service.post(keyed("other")).status_code == 200


def test_a_dataset_that_is_not_counted_yet_is_refused_for_now(service: Service) -> None:
    for body in (BODY, {"estimate": True}):
        answer = service.post(body, dataset="uncounted")
        assert (answer.status_code, answer.headers["x-should-retry"]) == (409, "false")


def test_a_dataset_of_another_account_is_as_unknown_as_one_that_never_was(service: Service) -> None:
    answers = [service.post(dataset=name) for name in ("d2", "never")]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json() == answers[1].json() | {
        "dataset_id": "d2",
        "message": answers[1].json()["message"].replace("never", "d2"),
    }


@pytest.mark.parametrize(
    ("body", "path"),
    [
        *(
            ({"job_specification": {"max_rows": rows}}, "job_specification.max_rows")
            for rows in (0, 1.5, -3, True, "500")
        ),
        ({"job_specification": {"idempotency_key": ""}}, "job_specification.idempotency_key"),
        ({"brand_controls": {"length": "huge"}}, "brand_controls.length"),
        ({"brand_controls": {"safety_categories": "hate"}}, "brand_controls.safety_categories"),
        ({"recipe_specification": {"recipes": {"reasoning": True}}}, "recipe_specification.recipes.reasoning"),
        ({"column_mapping": {"prompt": "qestion"}}, "column_mapping.prompt"),
        ({"column_mapping": None}, "column_mapping"),
        ({"language_expansion": {"type": "translate", "languages": ["fr"], "sample_rate": 2}}, "language_expansion"),
        (
            {
                "training_type": "instruction_dataset",
                "recipe_specification": {"recipes": {"preference_pairs": True}},
            },
            "preference_pairs",
        ),
    ],
)
def test_a_wrong_request_is_refused_by_the_name_of_its_field(service: Service, body: Any, path: str) -> None:
    answer = service.post(BODY | body)
    assert (answer.status_code, answer.json()["error"]) == (400, "Bad Request")
    assert any(path in issue["path"] for issue in answer.json()["issues"])
    assert all(issue["message"].endswith((".", "?")) for issue in answer.json()["issues"])
    assert service.held() == 0


def test_a_refusal_leaves_the_key_free(service: Service) -> None:
    assert service.post(keyed("k"), dataset="huge").status_code == 402
    smaller = BODY | {"job_specification": {"idempotency_key": "k", "max_rows": 200}}
    assert service.post(smaller, dataset="huge").json()["estimatedCreditsConsumed"] == 2


def test_whole_rows_are_whole_however_they_are_written(service: Service) -> None:
    first = service.post(
        b'{"column_mapping":{"prompt":"question"},"job_specification":{"max_rows":500.0,"idempotency_key":"k"}}'
    )
    again = service.post(BODY | {"job_specification": {"max_rows": 500, "idempotency_key": "k"}})
    assert (first.status_code, first.json()["estimatedCreditsConsumed"]) == (200, 5)
    assert again.json() == first.json()


def test_images_are_priced_as_such_and_say_so(service: Service) -> None:
    mapping = {"prompt": "question", "context": ["picture"], "image": "picture"}
    answer = service.post({"estimate": True, "column_mapping": mapping}).json()
    assert answer["multimodalPricingApplied"] is True
    assert (answer["creditMultiplier"], answer["estimatedCreditsConsumed"]) == (10, 170)


@pytest.mark.parametrize("training_type", ["instruction_dataset", "preference_pairs"])
def test_both_generations_name_the_training_type(mount: Mount, training_type: str) -> None:
    service = mount(cards=RateCardBook([shipped_card("example")]))
    older = {"recipe_specification": {"recipes": {"preference_pairs": training_type == "preference_pairs"}}}
    first, second = (service.post({"estimate": True} | body) for body in ({"training_type": training_type}, older))
    assert first.status_code == 200
    assert first.json() == second.json()


def test_an_account_that_is_not_open_is_not_found(mount: Mount) -> None:
    service = mount(accounts={"token-of-acme": "nobody"}.get, profiles=lambda *_: None)
    assert service.get("balance").json()["code"] == "account_not_found"


def test_without_a_rate_card_in_force_the_service_is_unavailable_and_nobody_is_blamed(mount: Mount) -> None:
    answer = mount(cards=lambda: RateCardBook([])).post()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


def test_what_the_host_writes_with_a_launch_commits_with_it_or_not_at_all(mount: Mount) -> None:
    told: list[str] = []

    def on_launch(session: Session, launch: ledger.Launch, request: Any) -> None:
        told.append(launch.account_id)
        if request.brand_controls is not None:
            raise RuntimeError("a table of the host is full")

    service = mount(on_launch=on_launch)
    assert service.post(keyed("k", brand_controls={"length": "concise"})).status_code == 500
    assert service.held() == 0
    assert service.post(keyed("k")).status_code == 200
    service.post(keyed("k"))
    service.post({"estimate": True})
    assert told == ["acme", "acme"]


def test_the_terms_of_a_launch_are_the_hosts(mount: Mount) -> None:
    def terms(session: Session, account_id: str, dataset_id: str) -> LaunchTerms:
        return LaunchTerms(labels={"project": dataset_id})

    service = mount(terms=terms)
    with Session(service.engine) as session, session.begin():
        ledger.set_limit(session, "acme", "day", 10, label="project")
    answer = service.post()
    assert (answer.status_code, answer.json()["code"]) == (402, "limit_exceeded")


def test_the_status_of_a_dataset_follows_its_run(mount: Mount) -> None:
    service = mount(progress=lambda session, account_id, run_id: 820)
    assert service.get("datasets/d1/status").json()["status"] == "awaiting_input"
    assert service.get("datasets/uncounted/status").json()["status"] == "pending"
    run_id = service.post().json()["run_id"]
    body = service.get("datasets/d1/status").json()
    assert (body["status"], body["run_id"]) == ("running", run_id)
    assert body["progress"] == {"percent": 50, "processed_rows": 820, "total_rows": 1640}
    with Session(service.engine) as session, session.begin():
        ledger.settle_run(session, account_id="acme", run_id=run_id, outcome=RunOutcome("failed", 100))
    body = service.get("datasets/d1/status").json()
    assert (body["status"], body["error_data"]["code"], body["progress"]) == ("failed", "run_failed", None)
    assert body["error"]["message"] == body["error_data"]["message"]


def test_a_replay_is_answered_though_its_dataset_is_gone(mount: Mount) -> None:
    datasets = dict(DATASETS)
    service = mount(profiles=lambda session, account_id, dataset_id: datasets.get((account_id, dataset_id)))
    first = service.post(keyed("k"))
    datasets.clear()
    assert service.post(keyed("k")).json() == first.json()
    assert service.post(keyed("new")).status_code == 404


@pytest.mark.parametrize("estimate", [True, False])
def test_what_a_hook_writes_is_undone_where_the_answer_is_a_refusal(mount: Mount, estimate: bool) -> None:
    """An estimate only reads, and is still one transaction with what the host does before it."""

    def profiles(session: Session, account_id: str, dataset_id: str) -> None:
        assert ledger.get_balance(session, account_id).available == 100
        ledger.reserve(session, account_id, 5)

    service = mount(profiles=profiles)
    assert service.post(BODY | {"estimate": estimate}).status_code == 404
    assert service.held() == 0
