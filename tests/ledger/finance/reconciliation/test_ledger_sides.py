"""The ledger as records: runs, captures, grants and entries, on every database, now and as they stood."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

import ledger
from estimator import RunOutcome
from ledger.errors import AccountNotFound
from ledger.finance import Record, RecordMapping, export_book, reconcile
from tests.ledger.conftest import START, later
from tests.ledger.test_runs import launch, settle


def side_of(session: Session, side: str, tmp_path: Path, *, at: Any = None, **sections: Any) -> list[Record]:
    """All records of a side, in order, found by comparing it with a file that has none."""
    columns = {"reference": "reference", "amount": "amount", "currency": "currency"}
    mapping = RecordMapping.from_dict({"side": side, "columns": columns} | sections)
    empty = tmp_path / "nothing.csv"
    empty.write_text("reference,amount,currency\n")
    with reconcile(session, empty, mapping, at=at) as found:
        return [record for result in found for record in result.here]


@pytest.fixture
def runs(session: Session, acme: str) -> list[str]:
    """Four runs: one that succeeded, one cancelled, one that failed midway, one under way; ids of all."""
    ledger.grant_credits(session, acme, 30, at=START)
    ids = [str(launch(session, dataset_id=f"d{number}").run_id) for number in range(4)]
    outcomes = [RunOutcome("succeeded", 50), RunOutcome("cancelled", 0), RunOutcome("failed", 20)]
    for run_id, outcome in zip(ids, outcomes, strict=False):
        settle(session, run_id, outcome, at=later(60))
    return ids


def test_runs_are_told_by_their_holds(session: Session, runs: list[str], tmp_path: Path) -> None:
    found = {record.reference: record for record in side_of(session, "runs", tmp_path)}
    assert [found[run].status for run in runs] == ["captured", "released", "captured", "held"]
    standing = [ledger.get_reservation(session, str(found[run].record_id)) for run in runs]
    assert [found[run].amount for run in runs] == [hold.captured for hold in standing]
    assert [found[run].at for run in runs] == [later(60)] * 3 + [START]
    before = side_of(session, "runs", tmp_path, at=later(60))
    assert {(record.status, record.amount, record.at) for record in before} == {("held", Decimal(0), START)}


def test_runs_are_told_by_their_rows_and_outcomes(session: Session, runs: list[str], tmp_path: Path) -> None:
    rules = {"amount": {"unit": "rows"}, "status": {"of": "outcome"}}
    found = {record.reference: record for record in side_of(session, "runs", tmp_path, **rules)}
    assert [(found[run].amount, found[run].status) for run in runs] == [
        (50, "succeeded"),
        (0, "cancelled"),
        (20, "failed"),
        (0, "active"),
    ]


def test_a_refund_changes_a_run_only_where_the_mapping_says_so(
    session: Session, runs: list[str], tmp_path: Path
) -> None:
    hold = next(record for record in side_of(session, "runs", tmp_path) if record.reference == runs[0])
    ledger.refund(session, str(hold.record_id), Decimal("0.000001"), reason="x", at=later(90))
    (same,) = (r for r in side_of(session, "runs", tmp_path) if r.reference == runs[0])
    rules = {"amount": {"net_of_refunds": True}}
    (less,) = (r for r in side_of(session, "runs", tmp_path, **rules) if r.reference == runs[0])
    assert (same.amount - hold.amount, less.amount - hold.amount) == (0, Decimal("-0.000001"))


def test_captures_are_told_one_by_one(session: Session, acme: str, tmp_path: Path) -> None:
    hold = ledger.reserve(session, "acme", 3, at=later(1)).reservation_id
    ledger.capture(session, hold, 1, final=False, at=later(2))
    ledger.capture(session, hold, Decimal("1.5"), at=later(3))
    found = side_of(session, "captures", tmp_path)
    assert [(record.reference, record.amount, record.at, record.record_id) for record in found] == [
        (hold, 1, later(2), "acme/3"),
        (hold, Decimal("1.5"), later(3), "acme/4"),
    ]


@pytest.fixture
def grants(session: Session) -> None:
    """Two that were bought in euros, one of them monthly; one given away; one without a cost."""
    ledger.open_account(session, "acme", at=START)
    basis = ledger.CostBasis(Decimal("0.333333333333"), "EUR")
    ledger.grant_credits(session, "acme", 3, cost_basis=basis, external_ref="ch_1", at=START)
    monthly = ledger.Recurrence("month")
    ledger.grant_credits(session, "acme", 6, cost_basis=basis, external_ref="sub_1", recurrence=monthly, at=later(1))
    ledger.grant_credits(session, "acme", 5, kind="promotional", at=later(2))
    ledger.grant_credits(session, "acme", 7, external_ref="ch_2", at=later(3))
    ledger.adjust(session, "acme", 1, reason="x", at=later(4))
    ledger.set_credit_line(session, "acme", 3, at=later(5))
    ledger.expire_due(session, at=later(days=40))


def test_grants_are_told_in_credits_by_what_they_were_sold_as(session: Session, grants: None, tmp_path: Path) -> None:
    found = side_of(session, "grants", tmp_path)
    assert [(record.reference, record.amount, record.status) for record in found] == [
        ("ch_1", 3, "paid"),
        ("sub_1", 6, "paid"),
        ("sub_1", 6, "paid"),
        ("acme/g3", 5, "promotional"),
        ("ch_2", 7, "paid"),
    ]


def test_grants_are_told_in_exact_money_where_they_have_a_cost(session: Session, grants: None, tmp_path: Path) -> None:
    found = side_of(session, "grants", tmp_path, amount={"unit": "money"})
    assert [(record.reference, str(record.amount), record.currency) for record in found] == [
        ("ch_1", "0.999999999999", "EUR"),
        ("sub_1", "1.999999999998", "EUR"),
        ("sub_1", "1.999999999998", "EUR"),
    ]


def test_a_ledger_agrees_with_its_own_journal_and_with_itself(book: Engine, tmp_path: Path) -> None:
    with Session(book) as session:
        export_book(session, "csv", tmp_path / "out")
        with reconcile(session, tmp_path / "out" / "journal.csv", "journal") as found:
            assert list(found) == []
            entries = found.summary.records_here
            assert entries == found.summary.counts["matched"] > 50
        with reconcile(session, session, "journal") as found:
            assert (found.summary.is_clean, found.summary.records_there) == (True, entries)


def test_a_second_ledger_that_lacks_an_entry_is_told_of(book: Engine, tmp_path: Path) -> None:
    with Session(book) as session:
        export_book(session, "csv", tmp_path / "out")
        path = tmp_path / "out" / "journal.csv"
        lines = path.read_text().splitlines(keepends=True)
        last = [line for line in lines if line.startswith("Acme,")][-1].split(",")[:2]
        path.write_text("".join(line for line in lines if line.split(",")[:2] != last))
        (found,) = reconcile(session, path, "journal", account_id="Acme")
        assert (found.kind, found.account_id) == ("missing_there", "Acme")
        with pytest.raises(AccountNotFound):
            reconcile(session, path, "journal", account_id="nobody")
