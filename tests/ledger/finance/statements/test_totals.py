"""All statements of a period: together they are the book, and a book that was altered is found out."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import ledger
from ledger.book.buckets import BUCKETS
from ledger.finance import AccountingPeriod, PeriodStatements, read_one_moment, stream_book
from ledger.finance.statements.reading import COLUMNS
from tests.ledger.conftest import START, later
from tests.ledger.finance.conftest import AWKWARD
from tests.ledger.finance.statements.test_reading import broken

__all__ = ["broken"]


def statements(session: Session, name: str) -> PeriodStatements:
    """Those of a period, all of which have been read."""
    found = PeriodStatements(session, AccountingPeriod.parse(name))
    for _ in found:
        pass
    return found


def test_every_months_totals_tie_to_the_next_and_to_the_book(months: Engine) -> None:
    with Session(months) as session:
        read_one_moment(session)
        closing = [0] * len(COLUMNS)
        for month in range(3, 13):
            found = statements(session, f"2026-{month:02d}")
            assert found.findings == []
            assert found.totals.opening == closing
            closing = found.totals.closing
        assert found.totals.accounts == len(AWKWARD)
        assert found.totals.unrecorded > 0
        last = later(days=306) - timedelta(microseconds=1)
        balances = [ledger.get_balance(session, name, at=last) for name in ledger.list_accounts(session)]
        assert closing == [int(sum(getattr(found, column) for found in balances) * 10**6) for column in COLUMNS]
        year = statements(session, "2026")
        assert (year.totals.closing, year.totals.opening) == (closing, [0] * len(COLUMNS))
        moved = [sum(changes) for changes in zip(*year.totals.changes.values(), strict=True)]
        assert moved == closing


def test_statements_are_those_of_single_accounts_in_turn_though_not_all_lines_are_read(months: Engine) -> None:
    with Session(months) as session:
        found = PeriodStatements(session, AccountingPeriod.parse("2026-03"))
        seen = {}
        for statement in found:
            first = next(statement.lines)
            seen[statement.account_id] = statement.opening, statement.closing, first.entry.hash
        assert seen.keys() == {*AWKWARD}
        for name, (opening, closing, first_hash) in seen.items():
            alone = ledger.get_statement(session, name, since=START, until=later(days=31))
            assert (opening, closing, first_hash) == (alone.opening, alone.closing, alone.entries[0].hash)
        assert found.findings == []
        assert found.totals.accounts == len(seen)


def test_accounts_without_an_entry_by_then_have_no_statement(session: Session) -> None:
    for name in ("a", "b", "c"):
        ledger.open_account(session, name, at=START)
    ledger.grant_credits(session, "b", Decimal("0.000001"), at=later(days=40))
    assert statements(session, "2026-03").totals.accounts == 0
    found = statements(session, "2026-04")
    assert (found.totals.accounts, found.totals.closing[0], found.findings) == (1, 1, [])


ALTERED = {
    "a transfer before the period": "UPDATE ledger_transfer SET amount = 2 WHERE sequence = 1",
    "a balance before the period": (
        "UPDATE ledger_entry SET available = available + 1, issued = issued + 1 WHERE sequence = 3"
    ),
    "a transfer within it": "UPDATE ledger_transfer SET amount = amount + 1 WHERE sequence = 5",
    "where a transfer goes": "UPDATE ledger_transfer SET target = 'expired' WHERE sequence = 5",
    "a moment": f"UPDATE ledger_entry SET at = at + {10**12} WHERE sequence = 3",
    "an entry removed": "DELETE FROM ledger_entry WHERE sequence = 6",
    "an account removed": "DELETE FROM ledger_account",
}


@pytest.mark.parametrize("what", ALTERED)
def test_a_book_that_was_altered_is_found_out(broken: Session, what: str) -> None:
    period = AccountingPeriod("five seconds", later(3), later(8))
    untouched = PeriodStatements(broken, period)
    assert [statement.account_id for statement in untouched] == ["acme"]
    assert (untouched.findings, untouched.totals.entries) == ([], 5)
    broken.execute(text(ALTERED[what]))
    found = PeriodStatements(broken, period)
    for _ in found:
        pass
    assert found.findings
    assert {finding.account_id for finding in found.findings} <= {"acme", ""}


def test_the_order_of_both_readings_is_the_databases(session: Session) -> None:
    names = ["b", "A", "a", "B", "ä", "Z", "a b", "a-b", "_"]
    for name in names:
        ledger.open_account(session, name, at=START)
        if name != "B":
            ledger.grant_credits(session, name, 1, at=START)
    found = statements(session, "2026-03")
    assert (found.totals.accounts, found.findings) == (len(names) - 1, [])
    assert found.totals.closing[0] == sum(entry.balances[BUCKETS.index("available")] for entry in stream_book(session))
