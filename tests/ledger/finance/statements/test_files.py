"""Statements as files: every amount and every text of them can be read back exactly, by people and by programs."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from pyarrow import parquet
from sqlalchemy import Engine
from sqlalchemy.orm import Session

import ledger
from estimator import shipped_card
from ledger.finance import (
    AccountingPeriod,
    PeriodStatements,
    read_statement,
    write_statement_json,
    write_statements_csv,
    write_statements_parquet,
)
from ledger.finance.spreadsheets import text_cell
from ledger.finance.statements.reading import COLUMNS
from tests.ledger.conftest import START, later
from tests.ledger.finance.conftest import AWKWARD
from tests.ledger.finance.statements.test_reading import run, settle

EVIL = "=cmd|' /C calc'!A1"
BERLIN = ZoneInfo("Europe/Berlin")


def unescaped(cell: str) -> str:
    """The text of a cell."""
    return cell.removeprefix("'")


def table(write: Callable[[StringIO], None]) -> list[dict[str, str]]:
    out = StringIO(newline="")
    write(out)
    return list(csv.DictReader(StringIO(out.getvalue(), newline="")))


@pytest.fixture
def evil(session: Session) -> Session:
    """An account whose id, dataset, key and reason are formulas, with a run, a refund and one micro-credit."""
    ledger.open_account(session, EVIL, at=START)
    ledger.grant_credits(session, EVIL, 500, key="+1", at=START)
    run_id = run(session, EVIL, 1_200, later(1), dataset="@SUM(1)")
    settle(session, EVIL, run_id, 1_190, later(2))
    ledger.refund(session, f"{EVIL}/r2", Decimal("0.000001"), reason="-1+1", at=later(3))
    ledger.reserve(session, EVIL, 1, expires_in=timedelta(seconds=1), key="'", at=later(4))
    return session


def test_amounts_of_a_csv_add_up_and_its_moments_are_those_of_the_zone(evil: Session) -> None:
    statement = read_statement(evil, EVIL, since=later(1), until=later(9))
    rows = table(lambda out: write_statements_csv([statement], out, zone=BERLIN))
    kinds = [row["row"] for row in rows]
    assert (kinds[0], kinds[-1], kinds.count("entry")) == ("opening", "closing", 5)
    for column in COLUMNS:
        changes = [Decimal(row[f"change_{column}"]) for row in rows if row["row"] == "entry"]
        assert Decimal(rows[0][column]) + sum(changes) == Decimal(rows[-1][column])
    for sequence, column in (("2", "held"), ("3", "consumed")):
        items = [Decimal(row["item_credits"]) for row in rows if (row["row"], row["sequence"]) == ("item", sequence)]
        (entry,) = [row for row in rows if (row["row"], row["sequence"]) == ("entry", sequence)]
        assert sum(items) == Decimal(entry[f"change_{column}"])
        assert len(items) > 3
    refund, lapse = rows[-4], rows[-2]
    assert (refund["kind"], refund["change_available"]) == ("refund", "0.000001")
    assert rows[1]["at"] == "2026-03-01T01:00:01+01:00"
    assert (lapse["kind"], lapse["recorded_at"], rows[-1]["at"]) == ("expire", "", "2026-03-01T01:00:09+01:00")


def test_no_cell_of_a_csv_is_a_formula_and_every_text_can_be_read_back(evil: Session) -> None:
    rows = table(lambda out: write_statements_csv([read_statement(evil, EVIL, until=later(9))], out))
    amounts = {f"change_{column}" for column in COLUMNS} | {*COLUMNS, "owed", "item_credits", "unit_price"}
    cells = [cell for row in rows for name, cell in row.items() if name not in amounts and cell]
    assert not [cell for cell in cells if cell[0] in "=+-@\t\r\n"]
    assert {unescaped(row["account_id"]) for row in rows} == {EVIL}
    entries = [row for row in rows if row["row"] == "entry"]
    assert [unescaped(row["key"]) for row in entries if row["key"]] == ["+1", entries[1]["run_id"], "'"]
    assert [unescaped(row["reason"]) for row in entries if row["reason"]] == ["-1+1"]
    assert [unescaped(row["dataset_id"]) for row in entries if row["dataset_id"]] == ["@SUM(1)"] * 3
    assert {unescaped(row["reservation_id"]) for row in entries if row["reservation_id"]} == {
        f"{EVIL}/r2",
        f"{EVIL}/r5",
    }
    for text in ("=1", "+", "-1", "@a", "\tx", "\r", "\n=1", "'", "''", "＝1", "a=1", "", " =1"):  # noqa: RUF001
        assert unescaped(text_cell(text)) == text
        assert text_cell(text)[:1] not in {"=", "+", "-", "@", "\t", "\r", "\n", "＝"}  # noqa: RUF001


def test_json_is_one_document_with_every_entry_and_its_run(evil: Session) -> None:
    out = StringIO()
    write_statement_json(read_statement(evil, EVIL, until=later(9)), out)
    document = json.loads(out.getvalue())
    assert (document["account_id"], document["since"], len(document["entries"])) == (EVIL, None, 6)
    assert document["closing"]["available"] == document["entries"][-1]["balance"]["available"]
    settled = document["entries"][2]
    assert (settled["card_name"], settled["dataset_id"]) == (shipped_card("example").name, "@SUM(1)")
    assert sum(Decimal(item["credits"]) for item in settled["line_items"]) == Decimal(settled["changes"]["consumed"])
    assert [entry["is_recorded"] for entry in document["entries"]] == [True] * 5 + [False]
    empty = StringIO()
    write_statement_json(read_statement(evil, EVIL, until=START), empty)
    assert json.loads(empty.getvalue())["entries"] == []


def test_parquet_has_the_same_figures_as_decimals_and_every_text_as_it_is(evil: Session, tmp_path: Path) -> None:
    path = tmp_path / "statement.parquet"
    write_statements_parquet([read_statement(evil, EVIL, until=later(9))], path)
    rows = parquet.read_table(path).to_pylist()
    lines = list(read_statement(evil, EVIL, until=later(9)).lines)
    assert [row["row"] for row in rows] == ["opening", *["entry"] * len(lines), "closing"]
    for row, line in zip(rows[1:-1], lines, strict=True):
        assert (row["account_id"], row["key"], row["at"]) == (EVIL, line.entry.key, line.entry.at)
        assert row["available"] == line.entry.balance.available
        assert [row[f"change_{column}"] * 10**6 for column in COLUMNS] == list(line.changes)
        assert [item["credits"] for item in row["line_items"]] == [item.credits for item in line.line_items]
        assert (row["recorded_at"] is None) == (not line.is_recorded)


def test_the_statements_of_awkward_accounts_follow_each_other_in_one_file(months: Engine, tmp_path: Path) -> None:
    with Session(months) as session:
        period = AccountingPeriod.parse("2026-03..2026-04", BERLIN)
        rows = table(lambda out: write_statements_csv(PeriodStatements(session, period), out, zone=BERLIN))
        write_statements_parquet(PeriodStatements(session, period), tmp_path / "all.parquet")
    assert {unescaped(row["account_id"]) for row in rows} == {*AWKWARD}
    assert [row["row"] for row in rows].count("opening") == len(AWKWARD)
    stored = parquet.read_table(tmp_path / "all.parquet").to_pylist()
    assert [(row["account_id"], row["sequence"] or "") for row in stored] == [
        (row["account_id"], int(row["sequence"] or 0) or "") for row in rows
    ]
    offsets = {datetime.fromisoformat(row["at"]).utcoffset() for row in rows if row["at"]}
    assert offsets == {timedelta(hours=1), timedelta(hours=2)}
