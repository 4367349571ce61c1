"""Closing accounting periods: the figures of a period are kept, with the last entry of every account.

A closing has a row for each account that has an entry before the period's end: the figures of the account, the last
entry that they count and its hash, chained to the account's closing before. The book's figures are the sum of its
accounts' figures. All rows of a closing are written in one transaction: after a crash there are none, and closing again
writes all of them. A closed period never changes. An effect that is recorded later counts in the first open period as
an adjustment, also where its account had no entry when the period was closed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from estimator.credits import from_micro
from ledger.accounting.closings import ClosingRecord
from ledger.accounting.money import Figures
from ledger.auditing.checkpoints import AccountMark, Checkpoint
from ledger.book.buckets import BALANCES
from ledger.book.postings import genesis
from ledger.clock import clock
from ledger.errors import AuditFailed, CommandInvalid, Finding, PeriodNotClosable
from ledger.finance.calendar import AccountingPeriod, named_zone
from ledger.finance.revenue.reading import Span, count_transfers, revenue_of, total_revenue
from ledger.model.checks import check_text
from ledger.model.moments import from_moment, to_moment
from ledger.schema.databases import capabilities_of
from ledger.schema.tables import AccountRow, ClosingRow
from ledger.storage import queries
from ledger.storage.sessions import check_writable, connection_of, connection_to_all
from ledger.storage.shapes import RowShape, Write
from ledger.storage.stores import execute_writes, fetch, fetch_keys, fetch_one

# A number that other advisory locks of the database are unlikely to use: the bytes of "closing".
_CLOSING_LOCK = 0x636C6F73696E67
_PAGE = 500
_CLOSING = RowShape.of(ClosingRow)
_HASH = [column.name for column in queries.ENTRY].index("hash")


@dataclass(frozen=True, slots=True)
class Closing:
    """A period that was closed: its zone, when and by whom, and for how many accounts."""

    period: AccountingPeriod
    zone: str
    closed_at: datetime
    closed_by: str
    accounts: int


@dataclass(frozen=True, slots=True)
class PeriodClosed:
    """A closing and the book's figures in it. `replayed`: it was closed before; `stored`: it is closed now."""

    closing: Closing
    figures: Figures
    replayed: bool
    stored: bool


def list_closings(session: Session) -> list[Closing]:
    """All closings, in the order of their periods."""
    return [_closing(row) for row in fetch(connection_to_all(session), _ALL)]


def find_closing(session: Session, period: AccountingPeriod) -> Closing | None:
    """The closing of exactly this period, under any name; None where it was not closed."""
    ends = to_moment(period.since, "since"), to_moment(period.until, "until")
    row = fetch_one(connection_of(session), _OF_PERIOD, *ends)
    return None if row is None else _closing(row)


_FACTS = "name, zone, since, until, closed_at, closed_by"
_GROUPED = f"SELECT {_FACTS}, count(*) FROM ledger_closing{{where}} GROUP BY {_FACTS} ORDER BY since"
_ALL = _GROUPED.format(where="")
_OF_PERIOD = _GROUPED.format(where=" WHERE since = $1 AND until = $2")


def _closing(row: Any) -> Closing:
    name, zone, since, until, closed_at, closed_by, accounts = row
    period = AccountingPeriod(name, from_moment(since), from_moment(until))
    return Closing(period, zone, from_moment(closed_at), closed_by, accounts)


def close_period(
    session: Session, period: str, *, zone: str = "UTC", by: str, at: datetime | None = None, dry_run: bool = False
) -> PeriodClosed:
    """Close an accounting period for good: keep its figures, and the last entry of every account.

    Args:
        session: all rows are written in its transaction. Accounts may be written to meanwhile, except when it ends.
        period: as `AccountingPeriod.parse` takes it, such as `2026-11`. The first one must begin no later than the
            book's first entry (`2026-03..2026-10` closes the past at once), each further one where the last ended.
        zone: whose days, months and years.
        by: who closes it, a person or a job; kept.
        at: the moment of the closing, now by default; not before the period's end.
        dry_run: answer what would be kept, and keep nothing.

    Closing the same period again answers what was kept then. Raises `PeriodNotClosable`, `CommandInvalid`, and
    `AuditFailed` where an earlier closing is missing.
    """
    asked = AccountingPeriod.parse(period, named_zone(zone))
    check_text(by, "by")
    moment = clock() if at is None else to_moment(at)
    connection = connection_to_all(session)
    check_writable(connection)
    _take_turn(connection)
    found = find_closing(session, asked)
    if found is not None:
        return PeriodClosed(found, total_revenue(session, asked), replayed=True, stored=True)
    span = Span.of(session, asked)
    _check(session, span, asked, moment)
    record = ClosingRecord(
        "", 0, asked.name, zone, span.since, span.until, 0, b"", closed_at=moment, closed_by=by, figures=""
    )
    figures, accounts = Figures(), 0
    counted = _counted(session, span, figures)
    while page := list(islice(counted, _PAGE)):
        accounts += len(page)
        rows = _records(connection, span, record, page)
        if not dry_run:
            execute_writes(connection, [Write(_CLOSING, rows)])
    if not accounts:
        raise PeriodNotClosable(period, "ends before the book's first entry. Close the one in which it begins.")
    if not dry_run:
        _count(connection, span)
    closing = Closing(asked, zone, from_moment(moment), by, accounts)
    return PeriodClosed(closing, figures, replayed=False, stored=not dry_run)


def _take_turn(connection: Connection) -> None:
    """Wait until no other session is closing; refuse a session that row-level security shows a part of the accounts."""
    can = capabilities_of(connection)
    if can.hides_rows and fetch(connection, "SELECT row_security_active('ledger_account')") == [(True,)]:
        message = "sees the accounts that row-level security lets it. Close as the tables' owner, who sees all."
        raise CommandInvalid("session", message)
    if can.takes_advisory_locks:
        fetch(connection, "SELECT pg_advisory_xact_lock($1)", _CLOSING_LOCK)


def _check(session: Session, span: Span, asked: AccountingPeriod, moment: int) -> None:
    """Refuse a period that is not the next one to be closed, or not over."""
    name, connection = asked.name, connection_of(session)
    if span.until > moment:
        raise PeriodNotClosable(name, f"ends at {_said(span.until)}, which is yet to come. Close it then.")
    begins = span.closed_until
    if begins is None:
        ((begins,),) = fetch(connection, _FIRST)
        if begins is not None and begins < span.since:
            message = f"begins after the book's first entry, of {_said(begins)}. Close the period of that one first, or"
            raise PeriodNotClosable(name, f"{message} all until now as one, such as 2026-01..2026-10.")
    elif span.since < begins:
        raise PeriodNotClosable(name, f"overlaps what is closed, up to {_said(begins)}. Close the one that follows.")
    elif span.since > begins:
        raise PeriodNotClosable(name, f"leaves a gap: the book is closed up to {_said(begins)}. Close the rest first.")
    ((due,),) = fetch(connection, _DUE, span.until)
    if due:
        message = f"has holds or grants of {due:,} accounts in it that came due and are not recorded."
        raise PeriodNotClosable(name, f"{message} Run `credits expire` first.")


_FIRST = "SELECT min(at) FROM ledger_entry WHERE sequence = 1"
_DUE = "SELECT count(*) FROM ledger_account WHERE due_at < $1"


def _said(moment: int) -> str:
    return from_moment(moment).isoformat()


def _counted(session: Session, span: Span, figures: Figures) -> Iterator[tuple[str, str, int]]:
    """Each account that has an entry before the end, with its figures as text and its last entry; sums the figures."""
    for counted in count_transfers(session, span, is_closing=True):
        if counted.last:
            found = revenue_of(session, counted).figures
            figures.add(found)
            yield counted.account_id, found.to_json(), counted.last


def _records(
    connection: Connection, span: Span, record: ClosingRecord, page: list[tuple[str, str, int]]
) -> list[ClosingRecord]:
    """The rows of some successive accounts, each chained to its account's closing before."""
    between = page[0][0], page[-1][0]
    before = {row[0]: row[1:] for row in fetch(connection, _COUNTS, *between)}
    chained = {row[0]: row[1:] for row in fetch(connection, _CHAINED, *between, span.since)}
    keys = [(account_id, last) for account_id, _, last in page]
    heads = {row[0]: bytes(row[_HASH]) for row in fetch_keys(connection, queries.ENTRIES, keys)}
    records = []
    for account_id, figures, last in page:
        opened_at, count = before[account_id]
        number, previous = chained.get(account_id, (None, None))
        if count != (number or 0):
            message = f"the account counts {count} closings, and the last is not that one. Run `credits audit`"
            raise AuditFailed([Finding(account_id, None, "closings_missing", message)])
        new = record._replace(
            account_id=account_id, number=count + 1, sequence=last, head=heads[account_id], figures=figures
        )
        records.append(new.chained(genesis(account_id, opened_at) if previous is None else bytes(previous)))
    return records


_BETWEEN = "WHERE account_id >= $1 AND account_id <= $2"
_COUNTS = f"SELECT account_id, opened_at, closings_count FROM ledger_account {_BETWEEN}"
_CHAINED = f"SELECT account_id, number, hash FROM ledger_closing {_BETWEEN} AND until = $3"


def _count(connection: Connection, span: Span) -> None:
    """Count the closing in its accounts; locks them in the order of their ids, as operations do."""
    names = sorted(name for (name,) in fetch(connection, _CLOSED, span.until))
    for first in range(0, len(names), _PAGE):
        keys = [(name,) for name in names[first : first + _PAGE]]
        rows = fetch_keys(connection, queries.LOCK_ACCOUNTS, keys)
        counts = [(row[0], row[_CLOSINGS_COUNT] + 1) for row in rows]
        execute_writes(connection, [Write(_COUNTED, counts, is_update=True)])


_CLOSED = "SELECT account_id FROM ledger_closing WHERE until = $1"
_COUNTED = RowShape.of(AccountRow, ("closings_count",))
_CLOSINGS_COUNT = [column.name for column in queries.ACCOUNT].index("closings_count")


def checkpoint_closing(session: Session, period: AccountingPeriod) -> Checkpoint:
    """The last entry of every account that a closing counts, as a checkpoint to be signed and kept elsewhere.

    `ledger.verify_checkpoint` says later whether the book still extends it. Raises `PeriodNotClosable` where the period
    was not closed.
    """
    closing = find_closing(session, period)
    if closing is None:
        raise PeriodNotClosable(period.name, "is not closed. Close it with `credits close` first.")
    marks = [
        AccountMark(account_id, sequence, bytes(head).hex(), tuple(map(from_micro, balances)))
        for account_id, sequence, head, *balances in fetch(
            connection_of(session), _HEADS, to_moment(period.since), to_moment(period.until)
        )
    ]
    return Checkpoint(closing.closed_at, tuple(sorted(marks, key=lambda mark: mark.account_id)))


_HEADS = (
    f"SELECT c.account_id, c.sequence, c.head, {', '.join(f'e.{name}' for name in BALANCES)} FROM ledger_closing c"
    " JOIN ledger_entry e ON e.account_id = c.account_id AND e.sequence = c.sequence"
    " WHERE c.since = $1 AND c.until = $2"
)
