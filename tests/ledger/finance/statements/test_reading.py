"""Statements: every entry with what it was for, proven while it is read, whatever has been recorded."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import ledger
from estimator import DatasetProfile, RateCardBook, RunOutcome, RunRequest, shipped_card
from ledger.finance import AccountingPeriod, AccountStatement, StatementLine, read_period, read_statement
from ledger.schema.triggers import remove_triggers
from ledger.storage import history as entries
from tests.ledger.conftest import START, later

LONG = {
    "column_mapping": {"prompt": "prompt"},
    "brand_controls": {"length": "detailed", "hallucination_mitigation": True},
    "recipe_specification": {"recipes": {"reasoning_traces": True}},
}


def run(session: Session, name: str, rows: int, at: datetime, *, dataset: str = "d1", body: object = LONG) -> str:
    """Launch a run under the card `example`; answers its id."""
    launched = ledger.launch(
        session,
        account_id=name,
        dataset_id=dataset,
        profile=DatasetProfile(rows, ("prompt", "answer")),
        request=RunRequest.from_wire(body),
        cards=RateCardBook([shipped_card("example")]),
        at=at,
    )
    return str(launched.run_id)


def settle(session: Session, name: str, run_id: str, rows: int, at: datetime, status: str = "succeeded") -> None:
    """Settle a run that processed so many rows."""
    outcome = RunOutcome(status, rows_processed=rows, rows_delivered=rows)  # type: ignore[arg-type]
    ledger.settle_run(session, account_id=name, run_id=run_id, outcome=outcome, at=at)


def read(statement: AccountStatement) -> list[StatementLine]:
    """All lines of a statement that adds up."""
    lines = list(statement.lines)
    assert statement.findings == []
    assert len(lines) == statement.count
    return lines


@pytest.fixture
def ran(session: Session) -> Session:
    """A run that was settled, one that was released by hand, and one that is open."""
    ledger.open_account(session, "acme", at=START)
    ledger.grant_credits(session, "acme", 500, at=START)
    settle(session, "acme", run(session, "acme", 1_200, later(1)), 1_190, later(2))
    run(session, "acme", 10, later(3))
    ledger.release(session, "acme/r4", at=later(4))
    run(session, "acme", 10, later(5), dataset="d2")
    return session


def test_each_entry_has_its_run_dataset_card_and_line_items(ran: Session) -> None:
    lines = read(read_statement(ran, "acme"))
    assert [line.entry.kind for line in lines] == ["grant", "reserve", "capture", "reserve", "release", "reserve"]
    assert [line.dataset_id for line in lines] == [None, "d1", "d1", "d1", "d1", "d2"]
    assert lines[2].run_id == f"dataset-d1-{int(later(1).timestamp()) * 1000}"
    assert lines[1].run_id == lines[2].run_id != lines[3].run_id == lines[4].run_id
    card = shipped_card("example")
    assert {(line.card_id, line.card_name) for line in lines[1:]} == {(card.id, card.name)}
    launched, settled = lines[1], lines[2]
    assert sum(item.credits for item in launched.line_items) * 10**6 == launched.changes[1]
    assert sum(item.credits for item in settled.line_items) * 10**6 == settled.changes[2]
    assert settled.line_items[0].quantity == 1_190
    assert lines[4].line_items == lines[0].line_items == ()


def test_a_month_begins_and_ends_where_it_does_in_its_zone(session: Session) -> None:
    """In Berlin, March begins an hour before that of UTC and April, by summer time, two."""
    berlin = ZoneInfo("Europe/Berlin")
    edges = [datetime(2026, 3, 1, tzinfo=berlin), datetime(2026, 3, 31, 23, 59, 59, 999_999, tzinfo=berlin)]
    moments = [edges[0] - timedelta(microseconds=1), *edges, edges[1] + timedelta(microseconds=1)]
    ledger.open_account(session, "zone", at=moments[0])
    for number, moment in enumerate(moments):
        ledger.grant_credits(session, "zone", Decimal("0.000001"), key=str(number), at=moment)
    found = read_period(session, "zone", AccountingPeriod.parse("2026-03", berlin))
    assert [line.entry.key for line in read(found)] == ["1", "2"]
    assert (found.opening.available, found.closing.available) == (Decimal("0.000001"), Decimal("0.000003"))
    assert (found.since, found.until) == (
        datetime(2026, 2, 28, 23, tzinfo=UTC),
        datetime(2026, 3, 31, 22, tzinfo=UTC),
    )


def test_what_has_come_due_is_a_line_that_says_it_is_not_recorded(session: Session) -> None:
    ledger.open_account(session, "acme", at=START)
    ledger.grant_credits(session, "acme", 5, expires_at=later(60), at=START)
    ledger.reserve(session, "acme", 2, expires_in=timedelta(seconds=20), at=later(10))
    period = {"since": later(5), "until": later(100)}
    before = read_statement(session, "acme", **period)
    lines = read(before)
    assert [(line.entry.kind, line.is_recorded) for line in lines] == [
        ("reserve", True),
        ("expire", False),
        ("expire", False),
    ]
    assert (before.closing.available, before.closing.expired) == (0, 5)
    after_them = read_statement(session, "acme", since=later(40), until=later(50))
    assert (read(after_them), after_them.opening.available, after_them.changes_before[:2]) == (
        [],
        5,
        (2_000_000, -2_000_000),
    )
    ledger.expire_due(session, at=later(100))
    recorded = read(read_statement(session, "acme", **period))
    assert [line.is_recorded for line in recorded] == [True] * 3
    assert [line.entry.transfers for line in recorded] == [line.entry.transfers for line in lines]


def test_lines_are_read_a_window_at_a_time(ran: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    fetch = entries.fetch

    def counted(connection: object, statement: str, *values: object) -> object:
        reads.append(1)
        return fetch(connection, statement, *values)  # type: ignore[arg-type]

    monkeypatch.setattr(entries, "WINDOW", 2)
    monkeypatch.setattr(entries, "fetch", counted)
    statement = read_statement(ran, "acme")
    assert reads == []
    next(statement.lines)
    assert len(reads) == 2
    assert len(list(statement.lines)) == 5


@pytest.fixture
def broken(engine: Engine) -> Iterator[Session]:
    """A book whose database refuses nothing, with eight entries of one account."""
    with Session(engine) as session, session.begin():
        ledger.open_account(session, "acme", at=START)
        for second in range(8):
            ledger.grant_credits(session, "acme", 1, at=later(second))
    with engine.begin() as connection:
        remove_triggers(connection)
        if engine.dialect.name == "postgresql":
            for table, constraint in connection.execute(_CHECKS).all():
                connection.execute(text(f'ALTER TABLE {table} DROP CONSTRAINT "{constraint}" CASCADE'))
    with Session(engine) as session:
        if engine.dialect.name == "sqlite":
            session.connection().exec_driver_sql("COMMIT")
            session.connection().exec_driver_sql("PRAGMA foreign_keys = OFF")
            session.connection().exec_driver_sql("PRAGMA ignore_check_constraints = ON")
            session.connection().exec_driver_sql("BEGIN IMMEDIATE")
        yield session


_CHECKS = text(
    "SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE contype IN ('c', 'f')"
    " AND conrelid::regclass::text LIKE 'ledger_%' ORDER BY contype DESC"
)
ALTERED = {
    "a transfer": ("UPDATE ledger_transfer SET amount = 2 WHERE sequence = 5", {("entry_differs", 5)}),
    "a balance": (
        "UPDATE ledger_entry SET available = available + 1, issued = issued + 1 WHERE sequence = 5",
        {("entry_differs", 5)},
    ),
    "the last balance": (
        "UPDATE ledger_entry SET available = available + 1, issued = issued + 1 WHERE sequence = 8",
        {("entry_differs", 8), ("closing_differs", None)},
    ),
    "the account": ("UPDATE ledger_account SET available = available + 1", {("closing_differs", None)}),
    "details": ("UPDATE ledger_entry SET details = '{' WHERE sequence = 5", {("entry_unreadable", 5)}),
    # The search for the end of the period ends at the gap, or passes it by.
    "an entry removed": ("DELETE FROM ledger_entry WHERE sequence = 6", {("closing_differs", None)}),
    "another removed": ("DELETE FROM ledger_entry WHERE sequence = 5", {("entry_missing", 6)}),
}


@pytest.mark.parametrize("what", ALTERED)
def test_what_was_altered_does_not_add_up(broken: Session, what: str) -> None:
    statement, expected = ALTERED[what]
    broken.execute(text(statement))
    found = read_statement(broken, "acme", since=later(2), until=later(100))
    list(found.lines)
    assert {(finding.code, finding.sequence) for finding in found.findings} == expected
