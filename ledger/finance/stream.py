"""The whole book as one stream: entries of all accounts with their transfers, by account and sequence.

One statement reads it, so that it is the book of one moment whatever is written meanwhile, and the database sends it
bit by bit, so that no more than a few thousand rows are in memory.
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
from ledger.storage.history import require_account
from ledger.storage.sessions import connection_of
from ledger.storage.streams import stream_raw

ROWS_AT_ONCE = 5_000
"""Rows that are fetched at a time."""


class BookTransfer(NamedTuple):
    """Micro-credits of one grant moving from a bucket to another."""

    grant: int
    source: str
    target: str
    amount: int


class BookEntry(NamedTuple):
    """One entry as it is stored. Amounts are micro-credits, moments microseconds since 1970 UTC.

    `balances` are what it left in each of `ledger.states.BUCKETS`.
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
    """JSON as it is stored, where it was asked for."""


_HEAD = ("account_id", "sequence", "kind", "at", "recorded_at", "key", "reservation")
_ENTRY = ", ".join(f"e.{name}" for name in (*_HEAD, *BUCKETS))
_BOOK = (
    f"SELECT {_ENTRY}, t.grant_number, t.source, t.target, t.amount, {{details}}"
    " FROM ledger_entry e LEFT JOIN ledger_transfer t ON t.account_id = e.account_id AND t.sequence = e.sequence"
    "{where} ORDER BY e.account_id, e.sequence, t.ordinal"
)
_OF_ONE = "e.account_id = {}"
_BY_THEN = "e.at <= {}"
_MOVES_FROM = len(_HEAD) + len(BUCKETS)


def stream_book(
    session: Session, *, account_id: str | None = None, at: datetime | None = None, details: bool = False
) -> Iterator[BookEntry]:
    """Every recorded entry, of one account or of all, in the order of account and sequence.

    What has lapsed and has not been recorded yet is no entry: run `ledger.expire_due` first to have it in the book.
    With `at` only what had taken effect by then; `details` adds each entry's own. Raises `AccountNotFound`.
    """
    conditions: dict[str, str | int] = {}
    if account_id is not None:
        require_account(session, account_id)
        conditions[_OF_ONE] = account_id
    if at is not None:
        conditions[_BY_THEN] = to_moment(at)
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    statement = _BOOK.format(where=where, details="e.details" if details else "NULL")
    parts = stream_raw(connection_of(session), statement, list(conditions.values()), size=ROWS_AT_ONCE)
    for _, group in groupby(chain.from_iterable(parts), itemgetter(0, 1)):
        yield _entry(list(group))


def read_one_moment(session: Session) -> None:
    """Have a transaction that has not begun yet see the book of one moment in all that it reads.

    On PostgreSQL it is made `REPEATABLE READ`; on SQLite nobody else writes while it lasts.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})


def _entry(rows: list[Any]) -> BookEntry:
    first = rows[0]
    moves = () if first[_MOVES_FROM] is None else tuple([BookTransfer._make(row[_MOVES_FROM:-1]) for row in rows])
    return BookEntry._make((*first[: len(_HEAD)], first[len(_HEAD) : _MOVES_FROM], moves, first[-1]))
