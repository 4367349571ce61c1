"""The whole book as one stream: entries of all accounts with their transfers, by account and sequence.

One statement reads it: it is the book of one moment, whatever is written meanwhile. The database sends it in parts, so
that a few thousand rows are in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import chain, groupby
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from ledger.book.buckets import BUCKETS
from ledger.model.moments import to_moment
from ledger.schema.databases import database_of
from ledger.storage.history import require_account
from ledger.storage.sessions import connection_over
from ledger.storage.stores import stream

ROWS_AT_ONCE = 5_000
"""Rows that are fetched at a time."""


class BookTransfer(NamedTuple):
    """Micro-credits of one grant, from one bucket to another."""

    grant: int
    source: str
    target: str
    amount: int


class BookEntry(NamedTuple):
    """One entry as it is stored. Amounts are micro-credits, moments microseconds since 1970 UTC.

    `moves` are its transfers. `balances` are the credits in each bucket after it, in the order issued, available,
    held, consumed, expired, revoked, scheduled.
    """

    account_id: str
    sequence: int
    kind: str
    at: int
    recorded_at: int
    key: str | None
    reservation: int | None
    balances: tuple[int, ...]
    moves: tuple[BookTransfer, ...]
    details: str | None
    """The entry's details as the JSON that is stored; None where they were not asked for."""


_HEAD = ("account_id", "sequence", "kind", "at", "recorded_at", "key", "reservation")
_ENTRY = ", ".join(f"e.{name}" for name in (*_HEAD, *BUCKETS))
_BOOK = (
    f"SELECT {_ENTRY}, t.grant_number, t.source, t.target, t.amount, {{details}}"
    " FROM ledger_entry e LEFT JOIN ledger_transfer t ON t.account_id = e.account_id AND t.sequence = e.sequence"
    "{where} ORDER BY e.account_id, e.sequence, t.ordinal"
)
_OF_ONE = "e.account_id = ${}"
_BY_THEN = "e.at <= ${}"
_TRANSFERS_AT = len(_HEAD) + len(BUCKETS)


def stream_book(
    session: Session, *, account_id: str | None = None, at: datetime | None = None, details: bool = False
) -> Iterator[BookEntry]:
    """Every recorded entry, of one account or of all, in the order of account and sequence.

    A lapse that is due and not recorded yet is not among them: run `ledger.expire_due` first. With `at` only entries
    that had taken effect by then; `details` adds the details of each. Raises `AccountNotFound`.
    """
    conditions: dict[str, str | int] = {}
    if account_id is not None:
        require_account(session, account_id)
        conditions[_OF_ONE] = account_id
    if at is not None:
        conditions[_BY_THEN] = to_moment(at)
    numbered = [condition.format(number) for number, condition in enumerate(conditions, 1)]
    where = f" WHERE {' AND '.join(numbered)}" if numbered else ""
    statement = _BOOK.format(where=where, details="e.details" if details else "NULL")
    parts = stream(connection_over(session, account_id), statement, list(conditions.values()), size=ROWS_AT_ONCE)
    for _, group in groupby(chain.from_iterable(parts), itemgetter(0, 1)):
        yield _entry(list(group))


def moved_into(entry: BookEntry, bucket: str) -> int:
    """The micro-credits that an entry's transfers put into a bucket."""
    return sum(transfer.amount for transfer in entry.moves if transfer.target == bucket)


def read_one_moment(session: Session) -> None:
    """Make every read of a transaction that has not begun yet see the book of the same moment.

    On PostgreSQL the transaction becomes `REPEATABLE READ`; on SQLite no other transaction writes while it lasts.
    """
    if database_of(session.get_bind().dialect).can.reads_snapshots:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})


def _entry(rows: list[Any]) -> BookEntry:
    first = rows[0]
    has_any = first[_TRANSFERS_AT] is not None
    transfers = tuple([BookTransfer._make(row[_TRANSFERS_AT:-1]) for row in rows]) if has_any else ()
    return BookEntry._make((*first[: len(_HEAD)], first[len(_HEAD) : _TRANSFERS_AT], transfers, first[-1]))
