"""The commands that read and write the book, on both databases, and what they refuse."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ledger.schema.roles import role_script
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


def test_a_grant_says_what_was_issued(book: Credits) -> None:
    options = ("--expires-at", "2030-01-01T00:00:00+01:00", "--priority", "7", "--key", "k")
    granted = book.json("grant", "acme", "0.000001", *options)
    assert granted["amount"] == "0.000001"
    assert (granted["priority"], granted["expires_at"]) == (7, "2029-12-31T23:00:00Z")
    assert book.json("grant", "acme", "0.000001", *options) == granted | {"replayed": True}
    assert "0.000001" in book("grant", "acme", "0.000001", *options)


def test_the_largest_amount_keeps_every_digit(book: Credits) -> None:
    book("account", "open", "rich")
    book("grant", "rich", "9223372036854.775807")
    assert book.json("balance", "rich")["available"] == "9223372036854.775807"
    assert "9,223,372,036,854.775807" in book("balance", "rich")


def test_a_balance_can_be_asked_of_the_past_and_of_the_future(book: Credits) -> None:
    book("grant", "acme", "5", "--expires-at", "2999-01-01T00:00:00Z")
    assert book.json("balance", "acme", "--at", "2020-01-01T00:00:00Z")["issued"] == "0"
    assert book.json("balance", "acme")["expired"] == "0"
    assert book.json("balance", "acme", "--at", "2999-01-01T00:00:00Z")["expired"] == "5"


def test_a_capture_below_the_hold_frees_the_rest(book: Credits, run: dict[str, Any]) -> None:
    captured = book.json("capture", run["reservation_id"], "0.45", "--key", "k")
    assert (captured["state"], captured["captured"], captured["freed"]) == ("captured", "0.45", "1")
    assert book.json("capture", run["reservation_id"], "0.45", "--key", "k") == captured | {"replayed": True}


def test_a_capture_without_an_amount_takes_all_that_is_held(book: Credits, run: dict[str, Any]) -> None:
    assert book.json("capture", run["reservation_id"])["captured"] == "1.45"


def test_a_release_frees_all_and_happens_once(book: Credits, run: dict[str, Any]) -> None:
    released = book.json("release", run["reservation_id"], "--key", "k")
    assert (released["state"], released["freed"]) == ("released", "1.45")
    assert book.json("release", run["reservation_id"], "--key", "k") == released | {"replayed": True}
    assert "is released" in book("release", run["reservation_id"], "--key", "other", status=3)


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


def test_a_statement_has_the_entries_of_its_period_only(book: Credits) -> None:
    now = datetime.now(UTC).isoformat()
    book("grant", "acme", "7")
    entries = book.json("statement", "acme", "--since", now)["entries"]
    assert [entry["transfers"][0]["amount"] for entry in entries] == ["7"]
    earlier = book.json("statement", "acme", "--until", now)
    assert (len(earlier["entries"]), earlier["closing"]["available"]) == (1, "100")


def test_a_statement_writes_amounts_and_moments_out_wherever_they_are(book: Credits, run: dict[str, Any]) -> None:
    book("settle", "acme", run["run_id"], "--status", "failed", "--rows-processed", "0")
    reserve, capture = book.json("statement", "acme")["entries"][1:]
    assert reserve["details"]["amount"] == "1.45"
    assert reserve["details"]["response"]["estimatedCreditsConsumed"] == "1.45"
    assert capture["details"]["reserved_at"] == reserve["at"]
    assert reserve["balance"]["held"] == "1.45"


def test_a_statement_lines_up_running_balances(book: Credits, run: dict[str, Any]) -> None:
    rows = [row.split() for row in book("statement", "acme").splitlines()]
    assert rows[0] == ["#", "At", "(UTC)", "Entry", "Ref", "Available", "Held", "Consumed"]
    assert [row[-4:] for row in rows if "reserve" in row] == [[run["reservation_id"], "98.55", "1.45", "0"]]
    assert rows[-1] == ["closing", "98.55", "1.45", "0"]


def test_expire_records_what_has_lapsed_once(any_book: Credits) -> None:
    any_book("grant", "acme", "5", "--expires-at", "2999-01-01T00:00:00Z")
    lapse = ("expire", "--at", "2999-01-01T00:00:00Z")
    first = any_book.json(*lapse)
    assert (first["accounts"], first["grants"], first["expiries"][0]["expired"]) == (1, 1, "5")
    assert any_book.json(*lapse)["accounts"] == 0
    assert any_book.json(*lapse, "--account", "acme")["grants"] == 0
    assert "Grants" in any_book(*lapse)


def test_an_audit_that_finds_something_ends_with_status_1(book: Credits, run: dict[str, Any]) -> None:
    file = str(book.database_url).removeprefix("sqlite:///")
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE ledger_account SET available = available + 1, issued = issued + 1")
    connection.close()
    report = book.json("audit", status=1)
    assert report["clean"] is False
    assert {finding["code"] for finding in report["findings"]} == {"account_wrong"}
    assert "account_wrong" in book("audit", "--account", "acme", status=1)


REFUSED = [
    (["balance", "nobody"], 3, "account_not_found", "No account 'nobody' exists"),
    (["account", "show", "nobody"], 3, "account_not_found", "No account 'nobody' exists"),
    (["account", "open", ""], 2, "command_invalid", "account_id: has 0 characters"),
    (["account", "open", "x" * 256], 2, "command_invalid", "account_id: has 256 characters"),
    (["account", "open", "x", "--at", "2026-01-01T00:00"], 2, "moment_invalid", "has no time zone"),
    (["grant", "nobody", "5"], 3, "account_not_found", "open it first"),
    (["grant", "acme", "five"], 2, "amount_invalid", "is not an amount of credits"),
    (["grant", "acme", "1e3"], 2, "amount_invalid", "is not an amount of credits"),
    (["grant", "acme", "NaN"], 2, "amount_invalid", "is not an amount of credits"),
    (["grant", "acme", "0.0000001"], 2, "amount_invalid", "more than six decimals"),
    (["grant", "acme", "9" * 30], 2, "amount_invalid", "too many digits"),
    (["grant", "acme", "0"], 2, "command_invalid", "amount: is 0"),
    (["grant", "acme", "5", "--key", ""], 2, "command_invalid", "key: has 0 characters"),
    (["grant", "acme", "5", "--key", "k" * 256], 2, "command_invalid", "key: has 256 characters"),
    (["grant", "acme", "5", "--priority", "-1"], 2, "command_invalid", "priority: must be"),
    (["grant", "acme", "5", "--expires-at", "2030-01-01T00:00"], 2, "moment_invalid", "--expires-at"),
    (["balance", "acme", "--at", "noon"], 2, "moment_invalid", "is no ISO 8601"),
    (["settle", "acme", "dataset-d-1", "--status", "failed", "--rows-processed", "0"], 3, "run_not_found", "No run"),
    (["settle", "acme", "d", "--status", "failed", "--rows-processed", "-1"], 2, "outcome_rejected", "rows_processed"),
    (["settle", "acme", "d", "--status", "done", "--rows-processed", "1"], 2, "usage", "'--status'"),
    (["capture", "acme/r9"], 3, "reservation_not_found", "No reservation 'acme/r9'"),
    (["capture", "acme"], 3, "reservation_not_found", "No reservation 'acme'"),
    (["capture", "acme/r2", "2.5.1"], 2, "amount_invalid", "is not an amount"),
    (["capture", "acme/r2", "100"], 3, "capture_exceeds_reservation", "holds 1.45 credits"),
    (["release", "acme/r9"], 3, "reservation_not_found", "No reservation 'acme/r9'"),
    (["reservations", "nobody"], 3, "account_not_found", "No account 'nobody'"),
    (["reservations", "acme", "--state", "lost"], 2, "usage", "'--state'"),
    (["reservations", "acme", "--limit", "0"], 2, "usage", "'--limit'"),
    (["statement", "nobody"], 3, "account_not_found", "No account 'nobody'"),
    (["statement", "acme", "--since", "2030-01-01T00:00:00Z"], 2, "command_invalid", "since: is after until"),
    (["audit", "--account", "nobody"], 3, "account_not_found", "No account 'nobody'"),
    (["expire", "--account", "nobody"], 3, "account_not_found", "No account 'nobody'"),
    (["grant"], 2, "usage", "Missing argument"),
    (["nonsense"], 2, "usage", "No such command"),
]


@pytest.mark.parametrize(("arguments", "status", "code", "sentence"), REFUSED)
def test_a_refused_command_says_why_and_moves_nothing(
    book: Credits, run: dict[str, Any], arguments: list[str], status: int, code: str, sentence: str
) -> None:
    before = book.json("statement", "acme")["entries"]
    assert sentence in book(*arguments, status=status)
    error = json.loads(book(*arguments, "--json", status=status))
    assert error["code"] == code
    assert sentence in error["message"]
    assert book.json("statement", "acme")["entries"] == before


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


def test_no_digit_is_cut_on_a_narrow_terminal(book: Credits, run: dict[str, Any]) -> None:
    book("grant", "acme", "9223372035000.123456")
    for arguments in (
        ["statement", "acme"],
        ["reservations", "acme"],
        ["balance", "acme"],
        ["account", "show", "acme"],
    ):
        printed = book(*arguments, columns=30)
        assert "…" not in printed
        assert "1.45" in printed
    assert "9,223,372,035,098.673456" in book("statement", "acme", columns=30)


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
