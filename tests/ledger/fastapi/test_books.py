"""An account's book over HTTP: balance, statement and reservations, a page at a time."""

from __future__ import annotations

import pytest

from tests.ledger.fastapi.conftest import Service, keyed


def test_a_balance_is_told_by_bucket_now_and_at_a_past_moment(any_service: Service) -> None:
    any_service.post()
    now = any_service.get("balance").json()
    assert (now["account_id"], now["available"], now["held"], now["issued"]) == ("acme", 83, 17, 100)
    before = any_service.get("balance", params={"at": "2020-01-01T00:00:00Z"}).json()
    assert (before["available"], before["issued"], before["at"]) == (0, 0, "2020-01-01T00:00:00Z")


def test_the_pages_of_a_statement_join_and_tie(any_service: Service) -> None:
    any_service.post(keyed("k"))
    whole = any_service.get("statement").json()
    assert [entry["kind"] for entry in whole["entries"]] == ["grant", "reserve"]
    assert whole["next_after"] is None
    assert (whole["opening"]["available"], whole["closing"]["held"]) == (0, 17)
    first = any_service.get("statement", params={"limit": 1}).json()
    second = any_service.get("statement", params={"limit": 1, "after": first["next_after"]}).json()
    assert first["entries"] + second["entries"] == whole["entries"]
    assert first["closing"] == second["opening"]
    last = any_service.get("statement", params={"limit": 1, "after": second["next_after"]}).json()
    assert (last["entries"], last["next_after"], last["opening"]) == ([], None, whole["closing"])


def test_reservations_are_listed_and_looked_up(any_service: Service) -> None:
    run_id = any_service.post().json()["run_id"]
    page = any_service.get("reservations", params={"state": "held"}).json()
    (found,) = page["reservations"]
    assert (found["amount"], found["run_id"], found["dataset_id"], page["next_after"]) == (17, run_id, "d1", None)
    assert any_service.get(f"reservations/{found['reservation_id']}").json() == found
    assert any_service.get("reservations", params={"state": "released"}).json()["reservations"] == []
    assert any_service.get("reservations", params={"limit": 1}).json()["next_after"] == found["reservation_id"]
    assert any_service.get("reservations", params={"after": found["reservation_id"]}).json()["reservations"] == []


@pytest.mark.parametrize("reservation_id", ["acme/r999", "acme/x", "nothing", "acme/r1"])
def test_what_is_no_reservation_is_not_found_or_said_to_be_no_id(service: Service, reservation_id: str) -> None:
    answer = service.get(f"reservations/{reservation_id}")
    assert (answer.status_code, answer.json()["code"]) in {(404, "reservation_not_found"), (400, "command_invalid")}


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("statement?limit=0", "limit"),
        ("statement?limit=501", "limit"),
        ("statement?after=-1", "after"),
        ("statement?since=yesterday", "since"),
        ("statement?until=0.5", "until"),
        ("balance?at=-1767225600", "at"),
        ("balance?at=-1.192092896e-07", "at"),
        ("statement?since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", "since"),
        ("balance?at=2026-01-01T00:00:00", "at"),
        ("reservations?state=lost", "state"),
    ],
)
def test_a_wrong_question_is_refused_by_the_name_of_its_field(service: Service, path: str, field: str) -> None:
    answer = service.get(path)
    assert (answer.status_code, [issue["path"] for issue in answer.json()["issues"]]) == (400, [field])
