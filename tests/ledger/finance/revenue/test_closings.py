"""Closing periods: kept once and for good; what comes after counts in the first open period, as an adjustment."""

from __future__ import annotations

import csv
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

import ledger
from ledger import CostBasis
from ledger.accounting.rollforwards import FLOWS, LENDING
from ledger.finance import (
    AccountingPeriod,
    Figures,
    checkpoint_closing,
    close_period,
    export_book,
    find_closing,
    list_closings,
    stream_figures,
    stream_revenue,
    total_revenue,
)
from ledger.finance.revenue import closings as module
from ledger.schema.triggers import remove_triggers
from tests.drivers import create_engine
from tests.ledger.conftest import START, later

EURO = CostBasis(Decimal("0.003"), "EUR")
MARCH, APRIL, MAY = (AccountingPeriod.parse(f"2026-0{month}") for month in (3, 4, 5))


def close(session: Session, name: str, **options: Any) -> module.PeriodClosed:
    return close_period(session, name, **({"by": "anna"} | options))


def figures(session: Session, period: AccountingPeriod) -> str:
    return total_revenue(session, period).to_json()


def spend(session: Session, account_id: str, amount: int, at: datetime) -> str:
    hold = ledger.reserve(session, account_id, amount, at=at).reservation_id
    ledger.capture(session, hold, at=at)
    return hold


@pytest.fixture
def book(session: Session) -> Session:
    """In March `acme` buys 100 credits and uses 10, `beta` uses 5 of its credit line."""
    ledger.open_account(session, "acme", at=START)
    ledger.grant_credits(session, "acme", 100, cost_basis=EURO, at=START)
    spend(session, "acme", 10, later(1))
    ledger.open_account(session, "beta", at=START)
    ledger.set_credit_line(session, "beta", 50, at=later(2))
    spend(session, "beta", 5, later(3))
    return session


def test_a_closing_keeps_the_figures_and_where_every_journal_stood(book: Session) -> None:
    open_figures = figures(book, MARCH)
    closed = close(book, "2026-03", at=later(days=40))
    assert (closed.replayed, closed.stored, closed.closing.accounts) == (False, True, 2)
    assert closed.figures.to_json() == open_figures == figures(book, MARCH)
    (total,) = closed.figures.totals
    assert (total.money("sold"), total.money("recognised")) == (Decimal("0.3"), Decimal("0.03"))
    assert (closed.figures.owed("closing"), closed.figures.owed("used_closing")) == (5, 5)
    (kept,) = list_closings(book)
    assert kept == closed.closing == find_closing(book, MARCH)
    assert (kept.closed_by, kept.zone, kept.closed_at) == ("anna", "UTC", later(days=40))
    assert find_closing(book, APRIL) is None
    heads = checkpoint_closing(book, MARCH)
    assert [(mark.account_id, mark.sequence) for mark in heads.accounts] == [("acme", 3), ("beta", 3)]
    spend(book, "acme", 1, later(days=41))
    assert list(ledger.verify_checkpoint(book, heads)) == []
    assert list(ledger.audit(book)) == []


def test_closing_again_answers_what_was_kept_first(book: Session) -> None:
    first = close(book, "2026-03")
    spend(book, "acme", 7, later(days=2))
    again = close(book, "2026-03", by="bert")
    assert (again.replayed, again.closing, again.figures.to_json()) == (True, first.closing, first.figures.to_json())
    also = close(book, "2026-03-01..2026-03-31", by="bert")
    assert (also.replayed, also.closing) == (True, first.closing)


def test_a_closed_period_is_never_restated_and_what_comes_after_adjusts_the_first_open_one(book: Session) -> None:
    kept = close(book, "2026-03").figures.to_json()
    hold = spend(book, "acme", 20, later(days=20))
    ledger.refund(book, hold, 2, at=later(days=21))
    ledger.grant_credits(book, "beta", 3, cost_basis=EURO, at=later(days=22))
    spend(book, "acme", 4, later(days=33))
    assert figures(book, MARCH) == kept
    april = total_revenue(book, APRIL)
    (total,) = april.totals
    assert [total.credits(flow) for flow in FLOWS] == [90, 0, 0, 4, 0, 0, 68]
    assert {flow: total.credits(flow, adjusted=True) for flow in ("sold", "recognised", "refunded")} == {
        "sold": 3,
        "recognised": 23,
        "refunded": 2,
    }
    assert total.money("recognised", adjusted=True) == Decimal("0.069")
    assert (april.owed("opening"), april.owed("repaid"), april.owed("repaid", adjusted=True)) == (5, 0, 3)
    assert april.owed("closing") == ledger.get_credit_line(book, "beta").owed == 2
    closed = close(book, "2026-04")
    assert closed.figures.to_json() == april.to_json() == figures(book, APRIL)
    may = total_revenue(book, MAY)
    assert [may.totals[0].credits("opening"), may.totals[0].credits("adjustments")] == [68, 0]
    assert figures(book, MARCH) == kept
    assert list(ledger.audit(book)) == []


def test_a_later_period_than_the_first_open_one_has_no_adjustments(book: Session) -> None:
    close(book, "2026-03")
    spend(book, "acme", 20, later(days=20))
    (total,) = total_revenue(book, MAY).totals
    assert [total.credits("opening"), total.credits("adjustments"), total.credits("closing")] == [70, 0, 70]


def test_of_closed_periods_taken_together_nothing_changes_and_what_belongs_in_them_is_no_adjustment(
    book: Session,
) -> None:
    close(book, "2026-03")
    spend(book, "acme", 20, later(days=20))
    close(book, "2026-04")
    both, tenth = (AccountingPeriod.parse(name) for name in ("2026-03..2026-04", "2026-03-01"))
    before = [figures(book, period) for period in (both, tenth)]
    spend(book, "acme", 1, later(days=30))
    assert [figures(book, period) for period in (both, tenth)] == before
    (total,) = total_revenue(book, both).totals
    assert [total.credits(flow) for flow in ("opening", "recognised", "adjustments", "closing")] == [0, 30, 0, 70]
    (year,) = total_revenue(book, AccountingPeriod.parse("2026")).totals
    assert [year.credits(flow) for flow in ("recognised", "adjustments", "closing")] == [31, 0, 69]


def test_an_account_that_is_opened_late_adjusts_the_first_open_period(book: Session) -> None:
    kept = close(book, "2026-03").figures.to_json()
    ledger.open_account(book, "late", at=later(5))
    ledger.grant_credits(book, "late", 8, at=later(6))
    assert close(book, "2026-03").figures.to_json() == kept
    assert [name for name, _ in stream_figures(book, MARCH)] == ["acme", "beta"]
    assert [account.account_id for account in stream_revenue(book, MARCH)] == ["acme", "beta"]
    (late,) = total_revenue(book, APRIL, account_id="late").totals
    assert [late.credits("sold"), late.credits("sold", adjusted=True), late.credits("closing")] == [0, 8, 8]
    assert close(book, "2026-04").closing.accounts == 3
    (late,) = total_revenue(book, APRIL, account_id="late").totals
    assert [late.credits("sold"), late.credits("sold", adjusted=True), late.credits("closing")] == [0, 8, 8]
    assert list(ledger.audit(book)) == []


def test_the_lines_of_a_closed_period_come_to_what_is_kept_or_are_refused(book: Session) -> None:
    close(book, "2026-03")
    spend(book, "acme", 20, later(days=20))
    account = next(stream_revenue(book, MARCH))
    assert [line.credits("recognised") for line in account.lines] == [10]
    remove_triggers(book.connection())
    book.execute(text("UPDATE ledger_closing SET figures = replace(figures, '10000000', '20000000')"))
    with pytest.raises(ledger.AuditFailed, match="credits audit"):
        list(stream_revenue(book, MARCH))
    assert {finding.code for finding in ledger.audit(book)} == {"closing_wrong"}


@pytest.mark.parametrize(
    ("period", "why"),
    [
        ("2026-05", r"leaves a gap: the book is closed up to 2026-04-01.*Close the rest first"),
        ("2026-03-15..2026-04", "overlaps what is closed"),
        ("2026-02", "overlaps what is closed"),
        ("2026-04..2999-12", "yet to come"),
    ],
)
def test_periods_are_closed_in_order_and_when_they_are_over(book: Session, period: str, why: str) -> None:
    close(book, "2026-03")
    with pytest.raises(ledger.PeriodNotClosable, match=why):
        close(book, period)


def test_a_period_is_over_in_the_days_of_its_zone(book: Session) -> None:
    with pytest.raises(ledger.PeriodNotClosable, match="ends at 2026-03-31T22:00:00"):
        close(book, "2026-03", zone="Europe/Berlin", at=datetime(2026, 3, 31, 21, 59, tzinfo=UTC))
    closed = close(book, "2026-03", zone="Europe/Berlin", at=datetime(2026, 3, 31, 22, tzinfo=UTC))
    assert closed.closing.zone == "Europe/Berlin"
    assert find_closing(book, MARCH) is None
    with pytest.raises(ledger.PeriodNotClosable, match="leaves a gap"):
        close(book, "2026-04")
    assert close(book, "2026-04", zone="Europe/Berlin").stored


def test_the_first_period_takes_in_the_beginning(book: Session) -> None:
    with pytest.raises(ledger.PeriodNotClosable, match=r"begins after the book's first entry, of 2026-03-01"):
        close(book, "2026-04")
    with pytest.raises(ledger.PeriodNotClosable, match="ends before the book's first entry"):
        close(book, "2026-02")
    assert close(book, "2025..2026-04").figures.totals[0].credits("sold") == 100


def test_what_came_due_is_recorded_before_a_period_is_closed(book: Session) -> None:
    ledger.grant_credits(book, "acme", 5, expires_at=later(days=9), at=later(5))
    with pytest.raises(ledger.PeriodNotClosable, match=r"1 accounts .* Run `credits expire` first"):
        close(book, "2026-03")
    ledger.expire_due(book, at=later(days=31))
    assert sum(total.credits("breakage") for total in close(book, "2026-03").figures.totals) == 5


def test_what_makes_no_closing_is_refused_in_a_sentence(book: Session) -> None:
    for options, field in (({"zone": "Mars/Here"}, "zone"), ({"by": ""}, "by")):
        with pytest.raises(ledger.CommandInvalid, match=field):
            close(book, "2026-03", **options)
    with pytest.raises(ledger.CommandInvalid, match="2026-Q4"):
        close(book, "march")
    with pytest.raises(ledger.PeriodNotClosable, match="is not closed"):
        checkpoint_closing(book, MARCH)


def test_a_dry_run_keeps_nothing(book: Session, stored: Any) -> None:
    before = stored()
    shown = close(book, "2026-03", dry_run=True)
    assert (shown.stored, shown.closing.accounts) == (False, 2)
    assert stored() == before
    assert close(book, "2026-03").figures.to_json() == shown.figures.to_json()


def test_a_closing_that_fails_on_the_way_leaves_nothing_and_running_it_again_does_all_of_it(
    book: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.commit()
    write, calls = module.execute_writes, iter(range(9))

    def fail_the_second_time(*given: Any) -> None:
        if next(calls):
            raise RuntimeError("the process died")
        write(*given)

    monkeypatch.setattr(module, "_PAGE", 1)
    monkeypatch.setattr(module, "execute_writes", fail_the_second_time)
    with pytest.raises(RuntimeError, match="died"), Session(book.get_bind()) as session, session.begin():
        close(session, "2026-03")
    assert list_closings(book) == []
    monkeypatch.setattr(module, "execute_writes", write)
    book.rollback()
    assert close(book, "2026-03").closing.accounts == 2
    assert list(ledger.audit(book)) == []


@pytest.mark.triggers
def test_a_closing_can_be_neither_changed_nor_removed(book: Session) -> None:
    close(book, "2026-03")
    book.commit()
    for change in ("UPDATE ledger_closing SET closed_by = 'x'", "DELETE FROM ledger_closing"):
        with pytest.raises(DBAPIError, match="append-only"):
            book.execute(text(change))
        book.rollback()


def test_the_audit_finds_a_closing_that_was_made_up_with_a_hash_that_follows(book: Session) -> None:
    """Who can write rows can hash them, too; what they cannot do is make the entries say so."""
    close(book, "2026-03")
    remove_triggers(book.connection())
    row = book.execute(text("SELECT * FROM ledger_closing WHERE account_id = 'acme'")).one()
    opened_at = book.execute(text("SELECT opened_at FROM ledger_account WHERE account_id = 'acme'")).scalar_one()
    record = module.ClosingRecord(*row)
    forged = record._replace(head=bytes(record.head), figures=record.figures.replace("10000000", "20000000"))
    forged = forged.chained(module.genesis("acme", opened_at))
    book.execute(
        text("UPDATE ledger_closing SET figures = :figures, hash = :hash WHERE account_id = 'acme'"),
        {"figures": forged.figures, "hash": forged.hash},
    )
    assert [(found.account_id, found.code) for found in ledger.audit(book)] == [("acme", "closing_wrong")]
    assert "its entries" in next(ledger.audit(book)).message


@pytest.mark.parametrize("at", [None, later(days=100)])
def test_the_last_closing_that_is_removed_is_found(book: Session, at: datetime | None) -> None:
    close(book, "2026-03")
    close(book, "2026-04")
    remove_triggers(book.connection())
    book.execute(text("DELETE FROM ledger_closing WHERE account_id = 'beta' AND number = 2"))
    assert [(found.account_id, found.code) for found in ledger.audit(book, at=at)] == [("beta", "closings_missing")]
    with pytest.raises(ledger.AuditFailed, match="credits audit"):
        close(book, "2026-05")


@pytest.fixture
def on_postgresql(postgresql_url: str) -> Iterator[Engine]:
    """A committed book on PostgreSQL."""
    engine = create_engine(postgresql_url)
    with Session(engine) as session, session.begin():
        for name in ("acme", "beta"):
            ledger.open_account(session, name, at=START)
            ledger.grant_credits(session, name, 100, at=START)
    yield engine
    engine.dispose()


def test_of_many_who_close_at_once_one_does_and_the_others_are_told_so(on_postgresql: Engine) -> None:
    answers: list[Any] = []
    gate = threading.Barrier(4)

    def work(name: str) -> None:
        gate.wait()
        answers.append(ledger.run_transaction(on_postgresql, lambda session: close(session, "2026-03", by=name)))

    threads = [threading.Thread(target=work, args=(f"closer {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.replayed for answer in answers) == [False, True, True, True]
    assert len({(answer.closing, answer.figures.to_json()) for answer in answers}) == 1
    with Session(on_postgresql) as session:
        assert list(ledger.audit(session)) == []


def test_an_account_is_written_to_while_a_period_is_closed_and_that_is_an_adjustment(
    on_postgresql: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What commits after the book was read, and before the closing is, does not wait and is not lost."""
    write, is_first = module.execute_writes, iter([True])

    def spend_meanwhile(*given: Any) -> None:
        if next(is_first, False):
            ledger.run_transaction(on_postgresql, lambda session: spend(session, "acme", 30, later(9)))
        write(*given)

    monkeypatch.setattr(module, "execute_writes", spend_meanwhile)
    with Session(on_postgresql) as session, session.begin():
        closed = close(session, "2026-03")
    assert closed.figures.totals[0].credits("recognised") == 0
    with Session(on_postgresql) as session:
        (total,) = total_revenue(session, APRIL).totals
        assert [total.credits("recognised", adjusted=True), total.credits("closing")] == [30, 170]
        assert list(ledger.audit(session)) == []


@pytest.mark.row_security
def test_who_sees_a_part_of_the_accounts_closes_nothing(on_postgresql: Engine) -> None:
    with Session(on_postgresql) as session:
        session.execute(text(ledger.role_script(row_level_security=True)))
        session.execute(text("SET ROLE ledger_app"))
        ledger.set_account(session, "acme")
        with pytest.raises(ledger.CommandInvalid, match="Close as the tables' owner"):
            close(session, "2026-03")
        session.rollback()
        session.execute(text(ledger.role_script()))
        session.execute(text("SET ROLE ledger_app"))
        assert close(session, "2026-03").closing.accounts == 2
        assert list(ledger.audit(session)) == []


def test_closings_are_exported_with_the_other_tables(book: Session, tmp_path: Path) -> None:
    close(book, "2026-03")
    export_book(book, "csv", tmp_path / "csv")
    export_book(book, "parquet", tmp_path / "parquet")
    with (tmp_path / "csv" / "ledger_closing.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["account_id"], row["name"], row["closed_by"]) for row in rows] == [
        ("acme", "2026-03", "anna"),
        ("beta", "2026-03", "anna"),
    ]
    exported = Figures()
    for row in rows:
        exported.add(Figures.from_json(row["figures"]))
    assert exported.to_json() == figures(book, MARCH)
    from pyarrow import parquet

    table = parquet.read_table(tmp_path / "parquet" / "ledger_closing.parquet").to_pylist()
    assert [row["figures"] for row in table] == [row["figures"] for row in rows]


def test_days_are_closed_one_after_the_other_and_roll_forward(book: Session) -> None:
    opening = Figures()
    for day in range(1, 6):
        closed = close(book, f"2026-03-0{day}").figures
        for name in ("closing", "used_closing"):
            before = opening.owed(name)
            assert closed.owed(name.replace("closing", "opening")) == before
        spend(book, "acme", day, later(days=day - 1, seconds=80000 - day))
        opening = closed
    assert [name for name in LENDING if opening.owed(name)] == ["opening", "closing"]
    assert timedelta(days=5) == list_closings(book)[-1].period.until - START
