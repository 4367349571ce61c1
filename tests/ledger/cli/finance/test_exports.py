"""`credits export`, `feed` and `reprice`."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.command_line import Credits


@pytest.mark.parametrize("kind", ["beancount", "hledger", "csv", "parquet"])
def test_the_book_is_exported_with_one_command(any_book: Credits, tmp_path: Path, kind: str) -> None:
    said = any_book("export", kind, "--out", str(tmp_path / "out"), "--zone", "Europe/Berlin")
    assert said.startswith("1 entries written to") or "entries written to" in said
    assert (tmp_path / "out").exists()
    document = any_book.json("export", kind, "--out", str(tmp_path / "again"))
    assert (document["format"], document["zone"], document["entries"]) == (kind, "UTC", 1)


def test_a_journal_as_of_a_moment_has_what_had_taken_effect(book: Credits, tmp_path: Path) -> None:
    book("grant", "acme", "1", "--at", "2100-01-01T00:00:00Z")
    out = ("--out", str(tmp_path / "out"))
    assert book.json("export", "hledger", *out, "--at", "2100-01-01T00:00:00Z")["entries"] == 2
    assert book.json("export", "hledger", *out, "--at", "2099-12-31T23:59:59.999999Z")["entries"] == 1
    assert "tables are as they stand" in book(
        "export", "csv", "--out", str(tmp_path / "folder"), "--at", "2100-01-01T00:00:00Z", status=2
    )


def test_runs_are_priced_again(book: Credits, dataset: Path) -> None:
    book("launch", "acme", str(dataset), "--card", "example", "--map", "prompt=question")
    assert "costs what it cost then" in book("reprice")
    with closing(sqlite3.connect(str(book.database_url).removeprefix("sqlite:///"))) as connection, connection:
        connection.execute("UPDATE ledger_card SET content = replace(content, 'example', 'exemple')")
    found = book.json("reprice", "--account", "acme", status=1)
    assert [finding["sequence"] for finding in found["findings"]] == [2]


def test_wrong_words_are_said_in_a_sentence(book: Credits, tmp_path: Path) -> None:
    assert "no time zone" in book("export", "csv", "--out", str(tmp_path / "x"), "--zone", "Mars/Here", status=2)
    assert "exists" in book("export", "csv", "--out", str(tmp_path), status=2)
    assert "xml" in book("export", "xml", "--out", str(tmp_path / "x"), status=2)
    assert "Give one such as 2026" in book("revenue", "november", status=2)
    (tmp_path / "cursor.json").write_text("{}")
    assert "no cursor" in book("feed", "--cursor", str(tmp_path / "cursor.json"), status=2)
    assert not (tmp_path / "x").exists()


def test_the_feed_goes_on_where_it_ended(any_book: Credits, tmp_path: Path) -> None:
    cursor = str(tmp_path / "cursor.json")
    first = any_book.json("feed", "--cursor", cursor)
    assert [(entry["account_id"], entry["sequence"]) for entry in first["entries"]] == [("acme", 1)]
    assert "0 new entries. There are no more." in any_book("feed", "--cursor", cursor)
    any_book("reserve", "acme", "5")
    any_book("reserve", "acme", "6")
    assert "There are more: run this again." in any_book("feed", "--cursor", cursor, "--limit", "1")
    assert [entry["sequence"] for entry in any_book.json("feed", "--cursor", cursor)["entries"]] == [3]
    assert json.loads(Path(cursor).read_text())["positions"] == {"acme": 3}
