"""`credits export` and `credits feed`."""

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


def test_revenue_is_told_by_kind_and_currency_exactly(any_book: Credits) -> None:
    any_book("grant", "acme", "3", "--cost", "0.003333 EUR", "--at", "2026-12-30T00:00:00Z", "--key", "k")
    document = any_book.json("revenue", "2026..2027", "--by-grant")
    assert [(total["kind"], total["currency"]) for total in document["totals"]] == [("paid", None), ("paid", "EUR")]
    euros = document["totals"][1]
    assert (euros["credits"]["sold"], euros["money"]["sold"], euros["money"]["closing"]) == (
        "3",
        "0.009999",
        "0.009999",
    )
    assert [grant["per_credit"] for grant in document["grants"]] == [None, "0.003333"]
    shown = any_book("revenue", "2026..2027", "--by-grant", "--zone", "Europe/Berlin")
    assert "0.009999" in shown
    assert "2026..2027 in Europe/Berlin" in shown
    assert "Nothing was deferred" in any_book("revenue", "2001")


def test_a_period_is_closed_shown_and_listed_and_answers_what_was_kept(any_book: Credits, tmp_path: Path) -> None:
    at = "2020-03-05T00:00:00Z"
    any_book("account", "open", "old", "--at", at)
    any_book("grant", "old", "10", "--cost", "0.5 EUR", "--at", at)
    assert "No period is closed" in any_book("closings")
    assert "would be closed so, of 1 accounts. Nothing was kept." in any_book("close", "2020-03", "--dry-run")
    heads = tmp_path / "heads.json"
    closed = any_book.json("close", "2020-03", "--zone", "Europe/Berlin", "--by", "anna", "--checkpoint", str(heads))
    assert (closed["stored"], closed["replayed"], closed["closing"]["closed_by"]) == (True, False, "anna")
    assert closed["totals"][0]["money"]["sold"] == "5"
    assert [each["account_id"] for each in json.loads(heads.read_text())["accounts"]] == ["old"]
    any_book("grant", "old", "1", "--cost", "0.5 EUR", "--at", "2020-03-06T00:00:00Z")
    any_book("credit-line", "old", "2", "--at", "2020-04-06T00:00:00Z")
    again = any_book("close", "2020-03", "--zone", "Europe/Berlin")
    assert "was closed at" in again
    assert "by anna; this is what was kept." in again
    shown = any_book("revenue", "2020-03", "--zone", "Europe/Berlin", "--by-account", "--by-grant", "--account", "old")
    assert "these are the figures that were kept then." in shown
    april = any_book.json("revenue", "2020-04", "--zone", "Europe/Berlin", "--by-account")
    paid = april["totals"][0]["credits"]
    assert [paid["opening"], paid["sold"], paid["adjustments"]["sold"], paid["closing"]] == ["10", "0", "1", "11"]
    assert [account["account_id"] for account in april["accounts"]] == ["old"]
    assert "adjustments" in any_book("revenue", "2020-04", "--zone", "Europe/Berlin")
    assert "overlaps what is closed" in any_book("close", "2020-03", status=3)
    assert "yet to come" in any_book("close", "2999", status=3)
    assert "no time zone" in any_book("close", "2020-04", "--zone", "Mars/Here", status=2)
    (listed,) = any_book.json("closings")["closings"]
    assert (listed["period"]["name"], listed["zone"], listed["accounts"]) == ("2020-03", "Europe/Berlin", 1)
    assert "Europe/Berlin" in any_book("closings")


def test_what_credit_lines_are_owed_is_told_by_account(any_book: Credits) -> None:
    any_book("credit-line", "acme", "50")
    hold = any_book.json("reserve", "acme", "120")["reservation_id"]
    any_book("capture", hold, "110")
    document = any_book.json("revenue", "2026..2027", "--by-account")
    owed = {name: document["receivable"][name] for name in ("lent", "freed", "drawn", "closing", "used_closing")}
    assert owed == {"lent": "20", "freed": "10", "drawn": "10", "closing": "10", "used_closing": "10"}
    assert document["accounts"][0]["receivable"] == document["receivable"]
    assert "owed by credit lines" in any_book("revenue", "2026..2027", "--by-account")


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
