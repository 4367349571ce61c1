"""Reconciliations of the ledger with its own journal and with the usage of its runs find nothing."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

import ledger
from estimator import RateCardBook, RunOutcome
from ledger.finance import ResultKind, export_book, reconcile
from tests.ledger.conftest import START, later
from tests.ledger.test_runs import DELIVERED, launch, settle

OUTCOMES = {
    "whole": RunOutcome("succeeded", 50, 40),
    "half": RunOutcome("failed", 25, 25),
    "none": RunOutcome("failed", 0, 0),
    "some": RunOutcome("cancelled", 10, 10),
}


def test_the_exported_journal_reconciles_with_its_ledger_entries_that_move_nothing_too(
    book: Engine, tmp_path: Path
) -> None:
    with Session(book) as session:
        count = export_book(session, "csv", tmp_path / "out")
        with reconcile(session, tmp_path / "out" / "journal.csv", "journal") as found:
            assert list(found) == []
            assert found.summary.records_here == found.summary.counts[ResultKind.MATCHED] == count


@pytest.fixture
def usage(session: Session, tmp_path: Path) -> Path:
    """Runs that ended in every way, and the pipeline's own record of them."""
    ledger.open_account(session, "acme", at=START)
    ledger.grant_credits(session, "acme", 100, at=START)
    path = tmp_path / "usage.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["run_id", "rows", "status", "finished_at"])
        for number, (dataset, outcome) in enumerate(OUTCOMES.items()):
            run = launch(session, cards=RateCardBook([DELIVERED]), dataset_id=dataset, at=later(number))
            settle(session, run.run_id, outcome, at=later(number))
            writer.writerow([run.run_id, outcome.rows_processed, outcome.status, later(number).isoformat()])
    return path


def test_a_run_is_as_its_outcome_says_also_where_part_of_it_was_charged(session: Session, usage: Path) -> None:
    with reconcile(session, usage, "usage") as found:
        assert list(found) == []
        assert found.summary.counts[ResultKind.MATCHED] == len(OUTCOMES)


def test_another_outcome_is_a_status_that_differs(session: Session, usage: Path) -> None:
    usage.write_text(usage.read_text(encoding="utf-8").replace("cancelled", "failed"), encoding="utf-8")
    with reconcile(session, usage, "usage") as found:
        (finding,) = found
    assert finding.kind is ResultKind.STATUS_DIFFERS
    assert finding.reference is not None
    assert finding.reference.startswith("dataset-some-")
