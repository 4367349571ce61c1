"""`credits audit`: checkpoints written and extended, and large books shared by processes."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

import ledger
from ledger.cli.finance import audit as cli_audit
from tests.command_line import Credits


def test_a_checkpoint_is_written_and_a_later_audit_extends_it(any_book: Credits, tmp_path: Path) -> None:
    path = tmp_path / "today.json"
    any_book("audit", "--checkpoint", str(path))
    assert json.loads(path.read_text())["totals"]["issued"] == "100"
    assert [found.name for found in tmp_path.iterdir() if found.name.startswith(".")] == []
    any_book("reserve", "acme", "5")
    assert "extends the checkpoint of" in any_book("audit", "--extends", str(path))


def test_a_book_that_does_not_extend_its_checkpoint_ends_with_status_1(book: Credits, tmp_path: Path) -> None:
    path = tmp_path / "today.json"
    book("account", "open", "zeta")
    book("audit", "--checkpoint", str(path))
    connection = sqlite3.connect(str(book.database_url).removeprefix("sqlite:///"))
    with connection:
        connection.execute("DROP TRIGGER ledger_account_refuses_delete")
        connection.execute("DELETE FROM ledger_account WHERE account_id = 'zeta'")
    connection.close()
    assert book.json("audit")["clean"] is True
    found = book.json("audit", "--extends", str(path), status=1)
    assert [finding["code"] for finding in found["findings"]] == ["checkpoint_broken"]
    later = tmp_path / "later.json"
    book("audit", "--extends", str(path), "--checkpoint", str(later), status=1)
    assert not later.exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--extends", "missing.json"), "file_unreadable"),
        (("--checkpoint", "no/such/folder.json"), "file_unwritable"),
        (("--account", "acme", "--checkpoint", "x.json"), "option_invalid"),
    ],
)
def test_files_that_cannot_be_used_are_named(
    book: Credits, arguments: tuple[str, ...], code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert book.json("audit", *arguments, status=2)["code"] == code


def test_a_file_that_is_no_checkpoint_is_refused(book: Credits, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text("{}")
    assert book.json("audit", "--extends", str(path), status=2)["code"] == "checkpoint_invalid"


def test_a_big_book_is_audited_by_processes_with_the_same_findings(
    any_book: Credits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_audit, "MANY_ENTRIES", 1)
    for number in range(5):
        any_book("account", "open", f"a{number}")
        any_book("grant", f"a{number}", "5")
    assert any_book.json("audit") == {"clean": True, "accounts": 6, "findings": []}
    engine = ledger.create_engine(str(any_book.database_url))
    with Session(engine) as session, session.begin():
        for number in (1, 3):
            session.execute(text(f"UPDATE ledger_account SET at = at + 1 WHERE account_id = 'a{number}'"))
    with Session(engine) as session:
        expected = [finding.account_id for finding in ledger.audit(session)]
    engine.dispose()
    found = any_book.json("audit", status=1)["findings"]
    assert [finding["account_id"] for finding in found] == expected == ["a1", "a3"]


def test_an_audit_that_finds_something_ends_with_status_1(book: Credits, run: dict[str, Any]) -> None:
    file = str(book.database_url).removeprefix("sqlite:///")
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE ledger_account SET available = available + 1, issued = issued + 1")
    connection.close()
    report = book.json("audit", status=1)
    assert report["clean"] is False
    assert {finding["code"] for finding in report["findings"]} == {"account_wrong"}
    assert "account_wrong" in book("audit", "--account", "acme", status=1)
