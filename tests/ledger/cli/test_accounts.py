"""`credits account`, `balance`, `reservations`, `expire` and `db`, on both databases."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from ledger.schema.roles import role_script
from tests.command_line import Credits


def test_upgrade_prepares_a_new_file_and_may_be_repeated(tmp_path: Path) -> None:
    new = Credits(f"sqlite:///{tmp_path / 'new.sqlite'}")
    assert new.json("db", "upgrade") == new.json("db", "upgrade")
    assert "at revision" in new("db", "upgrade")
    assert new.json("account", "list") == []
    assert new("account", "list") == "No account is open yet.\n"


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


def test_roles_are_printed_as_sql_without_any_database(command: Credits) -> None:
    printed = command("db", "roles", "--app", "svc", "--readonly", "fin", "--row-level-security")
    assert 'GRANT INSERT ON ledger_entry TO "svc", "ledger_worker";' in printed
    assert 'CREATE POLICY ledger_every_account ON ledger_entry FOR SELECT TO "fin" USING (true);' in printed
    assert "POLICY" not in command.json("db", "roles")["sql"]
    assert command.json("db", "roles", "--app", "a$b", status=2)["code"] == "command_invalid"


@pytest.mark.parametrize("columns", [20, 80])
def test_the_script_of_roles_is_printed_as_it_is_however_narrow_the_terminal(command: Credits, columns: int) -> None:
    name = 'the [bold] "app"  of acme'
    printed = command("db", "roles", "--app", name, "--row-level-security", columns=columns)
    assert printed == role_script(application=name, row_level_security=True)
    assert command.json("db", "roles", "--app", name)["sql"] == role_script(application=name)


@pytest.mark.parametrize("name", ["public", "none", "pg_monitor", "ledger_readonly", ""])
def test_a_name_that_would_give_rights_to_others_is_refused_in_a_sentence(command: Credits, name: str) -> None:
    assert "; give " in command("db", "roles", "--app", name, status=2)


def test_triggers_can_be_left_out_of_an_upgrade(tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite"
    new = Credits(f"sqlite:///{path}")
    for options, count in (((), 8), (("--no-triggers",), 0), (("--triggers",), 8)):
        new("db", "upgrade", *options)
        with sqlite3.connect(path) as connection:
            assert connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'").fetchone() == (
                count,
            )
        connection.close()
