"""A short year in the suite: every sum ties, and whatever was altered in the records of others is found as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import ledger
from ledger.finance import reconcile
from ledger.model.values import EntryKind
from tests.finance_year.__main__ import main
from tests.finance_year.discrepancies import KINDS, SHARES, Expected, compare
from tests.finance_year.outside import OutsideFile
from tests.finance_year.reconciling import reconcile_files, reconcile_year, write_outside
from tests.finance_year.run import run_year
from tests.finance_year.ties import NAMES
from tests.finance_year.writing import Settings, write_year

pytestmark = pytest.mark.external
"""Takes long; run by .ci/run."""

SETTINGS = Settings(seed=1, accounts=24, entries=3_000, discrepancies=100)


def test_every_sum_ties_and_every_discrepancy_is_found(engine: Engine, database_url: str, tmp_path: Path) -> None:
    report = run_year(database_url, SETTINGS, tmp_path)
    assert report.is_clean, str(report)
    assert report.year.entries >= SETTINGS.entries
    assert report.problems.keys() == {*NAMES, "reconciliation"}
    assert report.reconciled is not None
    assert dict(report.reconciled.found) == dict.fromkeys(KINDS, SETTINGS.of_a_kind)
    assert len(KINDS) == 10
    assert report.reconciled.false_findings == 0
    assert "found 100 of 100 discrepancies, 0 false findings" in str(report)
    with Session(engine) as session:
        kinds = set(session.execute(text("SELECT DISTINCT kind FROM ledger_entry")).scalars())
        cards = session.execute(text("SELECT count(DISTINCT card_id) FROM ledger_card")).scalar_one()
        currencies = {one.currency for one in report.year.purchases}
    assert kinds == {str(kind) for kind in EntryKind}
    assert cards == 3
    assert currencies == {"EUR", "USD"}


def test_a_year_is_the_same_for_the_same_seed_and_another_for_another(tmp_path: Path) -> None:
    def heads(name: str, seed: int) -> list[bytes]:
        engine = ledger.create_engine(f"sqlite:///{tmp_path / name}")
        ledger.upgrade(engine)
        write_year(engine, Settings(seed, accounts=4, entries=200, discrepancies=20))
        with engine.connect() as connection:
            found = list(connection.execute(text("SELECT head FROM ledger_account ORDER BY account_id")).scalars())
        engine.dispose()
        return found

    assert heads("one", 1) == heads("again", 1)
    assert heads("one more", 2) != heads("again and again", 3)


@pytest.fixture
def files(sqlite_url: str, tmp_path: Path) -> tuple[Engine, dict[str, OutsideFile], Path]:
    """A small year, and what others have written down of it, without a discrepancy but what was booked twice."""
    engine = ledger.create_engine(sqlite_url)
    year = write_year(engine, replace(SETTINGS, accounts=10, entries=800, discrepancies=20))
    with Session(engine) as session:
        plan = reconcile_year(session, year, tmp_path).plan
        bare = plan._replace(altered={name: {} for name in SHARES})
        found = write_outside(session, year, bare, tmp_path)
        done = reconcile_files(session, bare, found)
    assert {one.kind for one in plan.expected} == set(KINDS)
    assert done.found == {"duplicate_here": 2}
    assert done.false_findings == 0
    return engine, found, tmp_path


def test_one_altered_line_is_one_finding(files: tuple[Engine, dict[str, OutsideFile], Path]) -> None:
    engine, outside, _ = files
    with Session(engine) as session:
        for name, old, new in (("usage", "SUCCEEDED", "FAILED"), ("charges", ",eur,", ",usd,")):
            file = outside[name]
            whole = file.path.read_text(encoding="utf-8")
            file.path.write_text(whole.replace(old, new, 1), encoding="utf-8")
            before = _count(session, name, outside)
            file.path.write_text(whole, encoding="utf-8")
            assert before == _count(session, name, outside) + 1
    engine.dispose()


def _count(session: Session, name: str, outside: dict[str, OutsideFile]) -> int:
    with reconcile(session, outside[name].path, outside[name].mapping) as found:
        return found.summary.findings


def test_a_finding_that_is_missing_too_much_or_of_another_kind_is_told(tmp_path: Path) -> None:
    one, other = Expected("usage", "timing", "r1"), Expected("usage", "timing", "r2")
    assert list(compare({one, other}, [one, other])) == []
    assert [line.partition(":")[0] for line in compare({one}, [other, other])] == [
        "missed", "false finding", "found twice",
    ]  # fmt: skip
    assert any("false finding" in line for line in compare({one}, [one._replace(kind="missing_here")]))


def test_the_command_ends_with_0_when_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--accounts", "5", "--entries", "300", "--discrepancies", "10", "--seed", "2"]) == 0
    assert "found 10 of 10 discrepancies, 0 false findings" in capsys.readouterr().out
