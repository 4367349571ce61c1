"""`credits statement` and `credits statements`."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from ledger.cli.finance import statements as cli_statements
from tests.command_line import Credits

LATER = ("--at", "2100-12-15T00:00:00Z")


@pytest.fixture
def two(any_book: Credits) -> Credits:
    """A second account whose id is a formula, and entries of December: at its beginning in Berlin, and within it."""
    any_book("account", "open", "=1+1", "--at", "2100-11-30T22:00:00Z")
    any_book("grant", "=1+1", "0.000001", "--key", "before", "--at", "2100-11-30T22:59:59.999999Z")
    any_book("grant", "=1+1", "3", "--key", "first", "--at", "2100-11-30T23:00:00Z")
    any_book("reserve", "=1+1", "1", "--expires-in", "1h", *LATER)
    return any_book


def test_a_statement_of_a_month_begins_with_the_zones_first_day(two: Credits) -> None:
    in_utc = two.json("statement", "=1+1", "2100-12")
    in_berlin = two.json("statement", "=1+1", "2100-12", "--zone", "Europe/Berlin")
    assert (in_utc["opening"]["available"], in_berlin["opening"]["available"]) == ("3.000001", "0.000001")
    kinds = [(entry["kind"], entry["key"], entry["is_recorded"]) for entry in in_berlin["entries"]]
    assert kinds == [("grant", "first", True), ("reserve", None, True), ("expire", None, False)]
    assert in_berlin["closing"] == in_utc["closing"] | {"at": "2100-12-31T23:00:00Z"}
    shown = two("statement", "=1+1", "2100-Q4", "--zone", "Europe/Berlin")
    assert "At (Europe/Berlin)" in shown
    assert "2100-12-01 00:00:00" in shown
    assert (
        two.json("statement", "=1+1", "2100-11..2100-12")["entries"] == two.json("statement", "=1+1", "2100")["entries"]
    )


def test_a_statement_is_written_to_the_files_asked_for(two: Credits, tmp_path: Path) -> None:
    paths = {kind: tmp_path / f"statement.{kind}" for kind in ("csv", "html", "parquet")}
    options = [text for kind, path in paths.items() for text in (f"--{kind}", str(path))]
    document = two.json("statement", "=1+1", "2100", *options)
    assert (document["entries"], set(document["files"])) == (4, set(map(str, paths.values())))
    with paths["csv"].open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["row"] for row in rows] == ["opening", *["entry"] * 4, "closing"]
    assert {row["account_id"] for row in rows} == {"'=1+1"}
    assert {row["account_id"] for row in parquet.read_table(paths["parquet"]).to_pylist()} == {"=1+1"}
    assert "Statement of =1+1" in paths["html"].read_text(encoding="utf-8")
    assert "4 entries written to" in two("statement", "=1+1", "2100", "--csv", str(paths["csv"]))


def test_all_statements_of_a_period_are_written_and_tie(two: Credits, tmp_path: Path) -> None:
    out = {"csv": tmp_path / "all.csv", "parquet": tmp_path / "all.parquet", "html": tmp_path / "pages"}
    options = [text for kind, path in out.items() for text in (f"--{kind}", str(path))]
    document = two.json("statements", "2100-12", "--zone", "Europe/Berlin", *options)
    assert (document["clean"], document["accounts"], document["entries"], document["unrecorded"]) == (True, 2, 3, 1)
    assert (document["opening"]["available"], document["closing"]["available"]) == ("100.000001", "103.000001")
    assert document["changes"]["expire"]["held"] == "-1"
    assert len(list(out["html"].iterdir())) == 3
    assert parquet.read_table(out["parquet"]).num_rows == 7
    shown = two("statements", "2100-12")
    assert "2 statements with 2 entries tie to the book." in shown
    assert "run `credits expire`" in shown
    assert "exists" in two("statements", "2100-12", "--html", str(out["html"]), status=2)


def test_a_book_that_does_not_add_up_is_found_and_nothing_is_written(book: Credits, tmp_path: Path) -> None:
    book("reserve", "acme", "5")
    with closing(sqlite3.connect(str(book.database_url).removeprefix("sqlite:///"))) as connection, connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f'DROP TRIGGER "{name}"')
        connection.execute("UPDATE ledger_transfer SET amount = amount + 1 WHERE sequence = 2")
    path = tmp_path / "out.csv"
    path.write_text("before")
    year = "2000..2200"
    for command in (["statement", "acme"], ["statement", "acme", year, "--csv", str(path)]):
        found = book.json(*command, status=1)
        assert [(finding["code"], finding["sequence"]) for finding in found["findings"]] == [("entry_differs", 2)]
    for options in ([], ["--csv", str(path)], ["--html", str(tmp_path / "pages")]):
        codes = {finding["code"] for finding in book.json("statements", year, *options, status=1)["findings"]}
        assert codes == {"entry_differs", "closing_not_of_the_book"}
    assert "entry_differs" in book("statements", year, status=1)
    assert "Nothing was written" in book("statement", "acme", status=1)
    assert path.read_text() == "before"
    assert not (tmp_path / "pages").exists()


def test_a_long_statement_is_listed_in_part_and_printed_whole(book: Credits, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        book("reserve", "acme", "1")
    monkeypatch.setattr(cli_statements, "LISTED_MAX", 2)
    monkeypatch.setattr(cli_statements, "_SPOOLED_BYTES", 100)
    shown = book("statement", "acme")
    assert "2 more entries are not listed. Write them all with --csv FILE." in shown
    assert shown.count("reserve") == 1
    assert len(json.loads(book("statement", "acme", "--json"))["entries"]) == 4


def test_wrong_words_of_a_statement_are_said_in_a_sentence(book: Credits, tmp_path: Path) -> None:
    assert "no time zone" in book("statement", "acme", "2026-11", "--zone", "Mars/Here", status=2)
    assert "Give one such as 2026" in book("statement", "acme", "november", status=2)
    assert "its own beginning" in book("statement", "acme", "2026", "--since", "2026-01-01T00:00:00Z", status=2)
    assert "does not exist" in book("statement", "acme", "--csv", str(tmp_path / "no" / "x.csv"), status=2)
    assert "is a folder" in book("statements", "2026", "--parquet", str(tmp_path), status=2)
    assert "No account 'nobody'" in book("statement", "nobody", "2026", status=3)


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
