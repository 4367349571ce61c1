"""`credits account`, `balance`, `reservations` and `expire`, on both databases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.command_line import Credits


def test_opening_an_account_again_leaves_it_as_it_was(book: Credits) -> None:
    again = book.json("account", "open", "acme", "--at", "2026-01-01T00:00:00Z")
    assert again["replayed"] is True
    assert book.json("account", "open", "zeta", "--at", "2026-01-01T01:00:00+01:00") == {
        "account_id": "zeta",
        "opened_at": "2026-01-01T00:00:00Z",
        "replayed": False,
    }
    assert book.json("account", "list") == ["acme", "zeta"]
    assert book("account", "list") == "acme\nzeta\n"


def test_account_show_has_the_balance_and_the_holds(book: Credits, run: dict[str, Any]) -> None:
    shown = book.json("account", "show", "acme")
    assert shown["balance"]["held"] == "1.45"
    assert [(hold["reservation_id"], hold["run_id"]) for hold in shown["held"]] == [("acme/r2", run["run_id"])]
    assert "acme/r2" in book("account", "show", "acme")
    book("release", "acme/r2")
    assert "acme/r2" not in book("account", "show", "acme")


def test_a_balance_can_be_asked_of_the_past_and_of_the_future(book: Credits) -> None:
    book("grant", "acme", "5", "--expires-at", "2999-01-01T00:00:00Z")
    assert book.json("balance", "acme", "--at", "2020-01-01T00:00:00Z")["issued"] == "0"
    assert book.json("balance", "acme")["expired"] == "0"
    assert book.json("balance", "acme", "--at", "2999-01-01T00:00:00Z")["expired"] == "5"


def test_reservations_are_listed_by_state_and_page_by_page(book: Credits, dataset: Path) -> None:
    for number in range(3):
        book(
            "launch",
            "acme",
            str(dataset),
            "--dataset-id",
            f"d{number}",
            "--map",
            "prompt=question",
            "--card",
            "observed",
        )
    book("release", "acme/r3")
    assert [found["state"] for found in book.json("reservations", "acme")] == ["held", "released", "held"]
    assert [found["dataset_id"] for found in book.json("reservations", "acme", "--state", "held")] == ["d0", "d2"]
    page = book("reservations", "acme", "--limit", "2")
    assert page.endswith("See them with --after acme/r3\n")
    assert [found["dataset_id"] for found in book.json("reservations", "acme", "--after", "acme/r3")] == ["d2"]
    assert book("reservations", "acme", "--state", "expired") == "No reservation fits.\n"


def test_expire_records_what_has_lapsed_once(any_book: Credits) -> None:
    any_book("grant", "acme", "5", "--expires-at", "2999-01-01T00:00:00Z")
    lapse = ("expire", "--at", "2999-01-01T00:00:00Z")
    first = any_book.json(*lapse)
    assert (first["accounts"], first["grants"], first["expiries"][0]["expired"]) == (1, 1, "5")
    assert any_book.json(*lapse)["accounts"] == 0
    assert any_book.json(*lapse, "--account", "acme")["grants"] == 0
    assert "Grants" in any_book(*lapse)
