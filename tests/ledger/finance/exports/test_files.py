"""Exports: what other tools read is what the book says, to the last micro-credit."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import venv
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from pyarrow import parquet
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import ledger
from ledger.finance import ExportFormat, export_book, stream_book
from ledger.schema.tables import metadata


def export(engine: Engine, kind: str, path: Path, zone: str = "UTC") -> Path:
    with Session(engine) as session:
        count = export_book(session, kind, path, zone=ZoneInfo(zone))
        assert count == session.execute(text("SELECT count(*) FROM ledger_entry")).scalar_one()
    return path


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_every_row_of_every_table_is_exported(book: Engine, tmp_path: Path, kind: str) -> None:
    folder = export(book, kind, tmp_path / "out")
    assert {path.name for path in folder.iterdir()} == {f"{name}.{kind}" for name in metadata.tables} | {"journal.csv"}
    for table in metadata.sorted_tables:
        with Session(book) as session:
            stored = session.execute(table.select().order_by(*table.primary_key.columns)).all()
        path = folder / f"{table.name}.{kind}"
        if kind == "parquet":
            read = [tuple(row.values()) for row in parquet.read_table(path).to_pylist()]
            assert read == [tuple(row) for row in stored]
            continue
        with path.open(newline="", encoding="utf-8") as file:
            lines = list(csv.reader(file))
        shown = [[v.hex() if isinstance(v, bytes) else "" if v is None else str(v) for v in row] for row in stored]
        assert lines == [[column.name for column in table.columns], *shown]


def test_the_journal_in_csv_ties_to_the_book(book: Engine, tmp_path: Path) -> None:
    with (export(book, "csv", tmp_path / "out") / "journal.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    with Session(book) as session:
        moves = [(e.account_id, e.sequence, m.source, m.amount) for e in stream_book(session) for m in e.moves]
    read = [
        (row["account_id"], int(row["sequence"]), row["source"], int(row["credits"].replace(".", "")))
        for row in lines
        if row["credits"]
    ]
    assert read == moves
    assert lines[0]["at"] == "2026-03-01T00:00:00+00:00"


def test_a_text_of_a_csv_is_read_as_it_is_and_an_empty_one_differs_from_none(engine: Engine, tmp_path: Path) -> None:
    name, key = 'ä, "b"', "two\r\nlines of \"c\", and\t'd'"
    with Session(engine) as session, session.begin():
        ledger.open_account(session, name)
        ledger.grant_credits(session, name, 1, key=key)
        ledger.grant_credits(session, name, 1)
    folder = export(engine, "csv", tmp_path / "out")
    for table in ("ledger_entry", "journal"):
        with (folder / f"{table}.csv").open(newline="", encoding="utf-8") as file:
            assert [(row["account_id"], row["key"]) for row in csv.DictReader(file)] == [(name, key), (name, "")]
    with (folder / "ledger_entry.csv").open(newline="", encoding="utf-8") as file:
        *_, last = file.read().split("\r\n")[:-1]
    scope, no_key, no_digest = last.split(",")[6:9]  # the account has a comma of its own
    assert (scope, no_key, no_digest) == ('""', "", "")


def test_what_exists_is_not_overwritten_by_a_folder_nor_lost_by_a_failure(
    book: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ledger.CommandInvalid, match="exists"):
        export(book, "csv", tmp_path)
    path = tmp_path / "book.beancount"
    path.write_text("before")

    def fail(*_: object, **__: object) -> int:
        raise RuntimeError

    monkeypatch.setattr("ledger.finance.exports.files.write_beancount", fail)
    with pytest.raises(RuntimeError):
        export(book, "beancount", path)
    assert path.read_text() == "before"
    monkeypatch.setattr("ledger.finance.exports.files.write_journal", fail)
    with pytest.raises(RuntimeError):
        export(book, "csv", tmp_path / "out")
    assert [found.name for found in tmp_path.iterdir() if found.name != "book.sqlite"] == [path.name] or not (
        tmp_path / "out"
    ).exists()


def test_a_format_that_is_none_is_refused(book: Engine, tmp_path: Path) -> None:
    with pytest.raises(ledger.CommandInvalid, match="beancount, hledger, csv, parquet"):
        export(book, "xml", tmp_path / "x")


def accepted(command: list[str]) -> bool:
    """Whether a tool accepts a file."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode == 0 and "rror" not in done.stderr + done.stdout


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Callable[[Path], bool]]:
    """The checks of three tools: two of Debian's, one in an environment of its own."""
    folder = tmp_path_factory.mktemp("beancount")
    venv.create(folder, with_pip=True)
    install = [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", "beancount>=3.1"]
    subprocess.run(install, check=True, timeout=300)
    hledger, ledger_cli = shutil.which("hledger"), shutil.which("ledger")
    assert hledger, "Install Debian's package hledger."
    assert ledger_cli, "Install Debian's package ledger."
    return {
        "beancount": lambda path: accepted([str(folder / "bin" / "bean-check"), str(path)]),
        "hledger": lambda path: accepted([hledger, "--file", str(path), "check", "assertions", "parseable"]),
        "ledger": lambda path: accepted([ledger_cli, "--file", str(path), "bal"]),
    }


@pytest.mark.external
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland"])
@pytest.mark.parametrize("tool", ["beancount", "hledger", "ledger"])
def test_other_tools_accept_the_journal_and_refuse_one_that_is_a_micro_credit_off(
    book: Engine, tmp_path: Path, tools: dict[str, Callable[[Path], bool]], tool: str, zone: str
) -> None:
    kind = ExportFormat.BEANCOUNT if tool == "beancount" else ExportFormat.HLEDGER
    path = export(book, kind, tmp_path / f"book.{kind}", zone)
    assert tools[tool](path)
    whole = path.read_text(encoding="utf-8")
    posting = re.compile(r"^( +)(\S+:Consumed)  (\d+)\.(\d{5})(\d) CREDIT$", re.MULTILINE)
    found = posting.search(whole)
    assert found is not None
    digit = (int(found[5]) + 1) % 10
    broken = f"{found[1]}{found[2]}  {found[3]}.{found[4]}{digit} CREDIT"
    for wrong in (whole.replace(found[0], broken, 1), whole.replace(found[0], "", 1), _balanced_but_off(whole)):
        assert wrong != whole
        path.write_text(wrong, encoding="utf-8")
        assert not tools[tool](path)


def _balanced_but_off(whole: str) -> str:
    """A transaction whose postings still sum to zero, with a micro-credit that went elsewhere: only balances tell."""
    pair = re.compile(r"(:Available  )(-\d+\.\d{5})(\d)( CREDIT\n +\S+:Held  )(\d+\.\d{5})(\d)( CREDIT)")
    found = next(match for match in pair.finditer(whole) if match[3] != "9" and match[3] == match[6])
    digit = int(found[3]) + 1
    changed = f"{found[1]}{found[2]}{digit}{found[4]}{found[5]}{digit}{found[7]}"
    return whole.replace(found[0], changed, 1)
