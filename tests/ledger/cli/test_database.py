"""Databases that cannot be used: one sentence and a status, and no password."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

import pytest

import ledger.cli
import ledger.cli.accounts
import ledger.cli.database
from tests.command_line import Credits
from tests.postgres import Databases

WRONG_URLS = [
    ("", 2, "database_url_missing", "set CREDITS_DATABASE_URL"),
    ("nonsense", 2, "database_url_invalid", "cannot be read"),
    ("postgresql://user:secret@host:port/name", 2, "database_url_invalid", "cannot be read"),
    ("mysql://user:secret@host/name", 2, "database_url_invalid", "'mysql' is no database of the ledger's"),
    ("sqlite+aiosqlite:///x.sqlite", 2, "database_url_invalid", "'sqlite+aiosqlite' is for async engines"),
    (
        "postgresql+asyncpg://user:secret@host/name",
        2,
        "database_url_invalid",
        "'postgresql+asyncpg' is for async engines",
    ),
    ("sqlite://", 2, "database_url_invalid", "in memory is gone"),
    ("sqlite:///nowhere/x.sqlite", 4, "database_missing", "credits db upgrade"),
    ("postgresql+psycopg://user:secret@127.0.0.1:1/name", 4, "database_unavailable", "cannot be reached"),
]


@pytest.mark.parametrize(("url", "status", "code", "sentence"), WRONG_URLS)
def test_a_wrong_database_url_says_what_to_do_and_keeps_its_password(
    command: Credits, url: str, status: int, code: str, sentence: str
) -> None:
    said = command("balance", "acme", "--database-url", url, status=status)
    assert sentence in said
    assert "secret" not in said
    assert json.loads(command("balance", "acme", "--database-url", url, "--json", status=status))["code"] == code


def test_a_wrong_path_makes_no_file(command: Credits, tmp_path: Path) -> None:
    command("balance", "acme", "--database-url", f"sqlite:///{tmp_path / 'typo.sqlite'}", status=4)
    assert list(tmp_path.iterdir()) == []


def test_an_upgrade_into_a_folder_that_does_not_exist_says_so(command: Credits, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'no' / 'x.sqlite'}"
    assert "Check that its folder exists" in command("db", "upgrade", "--database-url", url, status=4)


def test_a_database_without_tables_is_sent_to_the_upgrade(postgres: Databases, tmp_path: Path) -> None:
    (tmp_path / "empty.sqlite").touch()
    url = postgres.create()
    for empty in (Credits(f"sqlite:///{tmp_path / 'empty.sqlite'}"), Credits(url)):
        for arguments in (["balance", "acme"], ["account", "list"], ["audit"], ["expire"], ["statement", "acme"]):
            assert "Run `credits db upgrade`" in empty(*arguments, status=4)
        empty("db", "upgrade")
        assert empty.json("account", "list") == []
    postgres.drop(url)


def test_a_file_that_is_no_database_is_named_as_such(command: Credits, tmp_path: Path) -> None:
    path = tmp_path / "notes.sqlite"
    path.write_text("These are notes, not a database. " * 100, encoding="utf-8")
    for arguments in (["account", "list"], ["db", "upgrade"]):
        said = command(*arguments, "--database-url", f"sqlite:///{path}", status=4)
        assert "is not a SQLite database" in said


def test_a_locked_file_is_waited_for_and_then_named_as_such(book: Credits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger.cli.database, "LOCK_SECONDS", 0.05)
    file = str(book.database_url).removeprefix("sqlite:///")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert "is locked by another process" in book("grant", "acme", "5", status=4)
    assert book.json("balance", "acme")["issued"] == "100"


def test_a_missing_driver_is_named_with_what_installs_it(command: Credits, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_driver(*_: Any) -> NoReturn:
        raise ModuleNotFoundError("No module named 'psycopg'")

    monkeypatch.setattr(ledger.cli.database, "create_engine", without_driver)
    said = command("account", "list", "--database-url", "postgresql+psycopg://host/name", status=4)
    assert "pip install 'run-credits[postgres]'" in said


def test_a_role_without_rights_is_told_so(command: Credits, postgresql_url: str) -> None:
    # A role that every server has and that owns nothing.
    url = postgresql_url + ("&" if "?" in postgresql_url else "?") + "options=-crole%3Dpg_monitor"
    assert "permission denied" in command("account", "list", "--database-url", url, status=4)
