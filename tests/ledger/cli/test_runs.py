"""`credits launch` and `settle`, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import Credits


def test_one_run_goes_from_launch_to_audit(any_book: Credits, dataset: Path) -> None:
    launched = any_book.json(
        "launch", "acme", str(dataset), "--map", "prompt=question", "--card", "example", "--key", "k"
    )
    assert (launched["dataset_id"], launched["replayed"]) == ("questions", False)
    assert launched["response"]["estimatedCreditsConsumed"] == 1.45
    settled = any_book.json(
        "settle",
        "acme",
        launched["run_id"],
        "--status",
        "succeeded",
        "--rows-processed",
        "120",
        "--rows-delivered",
        "100",
    )
    assert (settled["captured"], settled["freed"]) == ("1.25", "0.2")
    balance = any_book.json("balance", "acme")
    assert [balance[name] for name in ("available", "held", "consumed", "issued")] == ["98.75", "0", "1.25", "100"]
    statement = any_book.json("statement", "acme")
    assert [entry["kind"] for entry in statement["entries"]] == ["grant", "reserve", "capture"]
    assert statement["closing"]["available"] == "98.75"
    assert any_book.json("audit") == {"clean": True, "accounts": 1, "findings": []}


def test_a_launch_with_the_same_key_is_answered_as_the_first(book: Credits, dataset: Path) -> None:
    launch = ("launch", "acme", str(dataset), "--map", "prompt=question", "--card", "example", "--key", "k")
    first, balance = book.json(*launch), book.json("balance", "acme")["available"]
    again = book.json(*launch)
    assert again == first | {"replayed": True}
    assert book.json("balance", "acme")["available"] == balance
    assert "nothing moved" in book(*launch)


def test_a_request_for_an_estimate_launches_nothing(book: Credits, dataset: Path) -> None:
    answer = book.json(
        "launch", "acme", str(dataset), "--card", "example", "--request", "-", stdin='{"estimate": true}'
    )
    assert (answer["run_id"], answer["reservation_id"]) == (None, None)
    assert answer["response"]["available_credits"] == 100
    assert book.json("reservations", "acme") == []
    assert "an estimate only" in book(
        "launch", "acme", str(dataset), "--card", "example", "--request", "-", stdin='{"estimate": true}'
    )


REFUSED_LAUNCHES = [
    ([], 2, "request_rejected", "column_mapping: is required for a run"),
    (["--map", "prompt=nothing"], 2, "request_rejected", "nothing"),
    (["--map", "prompt=question", "--key", ""], 2, "request_rejected", "idempotency_key"),
    (["--map", "prompt=question", "--dataset-id", ""], 2, "command_invalid", "dataset_id"),
    (["--map", "prompt=question"], 3, "run_already_active", "is still active on dataset 'questions'"),
    (
        ["--map", "prompt=question", "--dataset-id", "d", "--at", "1999-01-01T00:00:00Z"],
        2,
        "rate_card_not_found",
        "force",
    ),
]


def test_a_launch_names_the_card_that_it_is_charged_under(book: Credits, dataset: Path) -> None:
    assert "Missing option '--card'" in book("launch", "acme", str(dataset), status=2)


@pytest.mark.parametrize(("options", "status", "code", "sentence"), REFUSED_LAUNCHES)
def test_a_refused_launch_says_why_and_holds_nothing(
    book: Credits, run: dict[str, Any], dataset: Path, options: list[str], status: int, code: str, sentence: str
) -> None:
    launch = ("launch", "acme", str(dataset), "--card", "observed", *options)
    assert sentence in book(*launch, status=status)
    assert json.loads(book(*launch, "--json", status=status))["code"] == code
    assert len(book.json("reservations", "acme")) == 1


def test_a_launch_beyond_the_balance_says_how_many_rows_it_pays(any_book: Credits, dataset: Path) -> None:
    any_book("account", "open", "poor")
    any_book("grant", "poor", "1.25")
    launch = ("launch", "poor", str(dataset), "--map", "prompt=question", "--card", "example")
    error = json.loads(any_book(*launch, "--json", status=3))
    assert (error["code"], error["requested"], error["affordable_rows"]) == ("insufficient_credits", "1.45", 100)
    assert "set max_rows to 100 or fewer" in any_book(*launch, status=3)


def test_a_key_used_for_another_request_is_a_conflict(book: Credits, dataset: Path) -> None:
    launch = ("launch", "acme", str(dataset), "--map", "prompt=question", "--card", "observed", "--key", "k")
    book(*launch)
    assert "already used for a different request" in book(*launch, "--length", "minimal", status=3)
