"""The rows that an audit reads: those of a page of small accounts at once, those of a big account window by window.

Rows are as the driver gives them, with all columns in their tables' order. Values of a tampered row are passed on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import groupby
from operator import itemgetter
from typing import Any, Protocol

from sqlalchemy import Connection
from sqlmodel import SQLModel

from ledger.book.buckets import BUCKETS
from ledger.book.postings import PostedTransfer, entry_text, quote
from ledger.schema.tables import (
    CardRow,
    ClosingRow,
    EntryRow,
    GrantRow,
    LimitRow,
    OutboxRow,
    ReservationRow,
    TransferRow,
    UsageRow,
)
from ledger.storage import queries
from ledger.storage.history import read_spans
from ledger.storage.shapes import RowShape
from ledger.storage.stores import fetch, fetch_keys

WINDOW = 4000
"""Entries read at a time."""

ACCOUNTS_PAGE = 1000
"""Accounts read at a time."""

StoredRow = tuple[Any, ...]

UNREADABLE = (LookupError, ValueError, TypeError, AttributeError, ArithmeticError)
"""What reading a row of any content can raise: a tampered row is a finding, never a failure of the audit."""

SEQUENCE, KIND, AT, DETAILS, HASH = 1, 2, 3, 9, 16
"""Columns of an entry's row."""

_INDEX: dict[Any, Any] = {name: index for index, name in enumerate(BUCKETS)}
_ACCOUNT_ID, _NUMBER = 0, 1


def _of_account(model: type[SQLModel]) -> str:
    shape = RowShape.of(model)
    return f"SELECT {', '.join(shape.columns)} FROM {shape.table} WHERE account_id = $1"


def _of_page(model: type[SQLModel]) -> str:
    shape = RowShape.of(model)
    return (
        f"SELECT {', '.join(shape.columns)} FROM {shape.table} WHERE account_id >= $1 AND account_id <= $2"
        f" ORDER BY {', '.join(shape.key)}"
    )


_BY_NUMBER = "AND number > $2 AND number <= $3 ORDER BY number"
_RESERVATIONS = f"{_of_account(ReservationRow)} {_BY_NUMBER}"
_STARTS = f"{_of_account(OutboxRow)} {_BY_NUMBER}"
_OTHERS = ("ledger_grant", "ledger_card", "ledger_limit", "ledger_usage", "ledger_closing")
_OTHERS_OF_ACCOUNT = [_of_account(model) for model in (GrantRow, CardRow, LimitRow, UsageRow, ClosingRow)]
_MODELS = (EntryRow, TransferRow, ReservationRow, GrantRow, CardRow, LimitRow, UsageRow, ClosingRow, OutboxRow)
_OF_PAGE = {RowShape.of(model).table: _of_page(model) for model in _MODELS}
_PAST_THE_END = {
    table: [
        f"SELECT min({number}) FROM {table} WHERE account_id = $1 AND {number} {beyond}" for beyond in ("< 1", "> $2")
    ]
    for table, number in (
        ("ledger_entry", "sequence"),
        ("ledger_transfer", "sequence"),
        ("ledger_reservation", "number"),
        ("ledger_outbox", "number"),
    )
}
_CAME_DUE = (
    "SELECT 1 FROM ledger_reservation WHERE account_id = $1 AND lapses_at = $2 LIMIT 1",
    "SELECT 1 FROM ledger_grant WHERE account_id = $1 AND (expires_at = $2 OR effective_at = $2) LIMIT 1",
)
_LAPSES_AT, _EXPIRES_AT, _EFFECTIVE_AT = 11, 3, 12


def list_columns(connection: Connection, *columns: str) -> Iterator[StoredRow]:
    """Columns of every account, `account_id` the first of them, in the order of the ids, a page at a time."""
    select = f"SELECT {', '.join(columns)} FROM ledger_account"
    rest = ""
    values: tuple[str, ...] = ()
    while rows := fetch(connection, f"{select} {rest} ORDER BY account_id LIMIT {ACCOUNTS_PAGE}", *values):
        yield from rows
        rest, values = "WHERE account_id > $1", (rows[-1][0],)


@dataclass(slots=True)
class Window:
    """Consecutive entries of an account, their transfers, and the reservations and starts with the same numbers.

    `transfers` are by sequence; `misplaced` has the sequences of entries whose transfers are not numbered from 0 on.
    """

    entries: list[StoredRow]
    transfers: dict[int, list[PostedTransfer]]
    misplaced: set[int]
    reservations: dict[int, StoredRow]
    starts: dict[int, StoredRow]

    @classmethod
    def of(
        cls,
        entries: list[StoredRow],
        rows: Iterable[StoredRow],
        reservations: Iterable[StoredRow] = (),
        starts: Iterable[StoredRow] = (),
    ) -> Window:
        """A window of rows that are in the order of their keys."""
        transfers: dict[int, list[PostedTransfer]] = {}
        misplaced: set[int] = set()
        latest: int | None = None
        taken: list[PostedTransfer] = []
        index: Callable[[Any, Any], Any] = _INDEX.get  # a name that is none stays, and hashes as no bucket does
        for _, sequence, ordinal, grant, source, target, amount in rows:
            if sequence != latest:
                latest, taken = sequence, []
                transfers[sequence] = taken
            if ordinal != len(taken):
                misplaced.add(sequence)
            taken.append((grant, index(source, source), index(target, target), amount))
        by_number = ({row[_NUMBER]: row for row in found} for found in (reservations, starts))
        return cls(entries, transfers, misplaced, *by_number)

    def is_chained_to(self, account_id: str, head: bytes) -> bool:
        """True when each entry's hash follows from the entry and the hash before it, the first one's from `head`."""
        account, entries, transfers = quote(account_id), self.entries, self.transfers
        try:
            contents = [entry_text(account, row, transfers.get(row[SEQUENCE], ())) for row in entries]
            hashes = [row[HASH] for row in entries]
            before = [head, *hashes[:-1]]
            return hashes == [sha256(b + c.encode()).digest() for b, c in zip(before, contents, strict=True)]
        except UNREADABLE:
            return False


class AuditedRows(Protocol):
    """What the tables hold of one account."""

    def windows(self) -> Iterator[Window]:
        """Its entries in order."""

    def reservations(self, numbers: Iterable[int]) -> dict[int, StoredRow]:
        """Its reservations with these numbers; those that do not exist are not in the answer."""

    def others(self, table: str) -> list[StoredRow]:
        """Its rows of another table."""

    def past_the_end(self, table: str) -> int | None:
        """The lowest number of a row that none of the entries which the account counts has; None when there is none."""

    def came_due(self, moment: int) -> bool:
        """True when a reservation or a grant of it comes due, or came due, at the moment."""


@dataclass(slots=True)
class StreamedRows:
    """A big account, read as the audit proceeds; `last` is the count of entries in its row."""

    connection: Connection
    account_id: str
    last: int

    def windows(self) -> Iterator[Window]:
        """Its entries in order, a window at a time."""
        return self.spans(after=0, is_whole=True)

    def spans(self, *, after: int, is_whole: bool) -> Iterator[Window]:
        """As `windows`, of the entries behind `after`; reservations and starts are read when `is_whole`."""
        spans = read_spans(self.connection, self.account_id, after=after, last=self.last, size=WINDOW)
        for entries, transfers, end in spans:
            span = (self.account_id, after, end)
            also = (_RESERVATIONS, _STARTS) if is_whole else ()
            yield Window.of(entries, transfers, *(fetch(self.connection, each, *span) for each in also))
            after = end

    def reservations(self, numbers: Iterable[int]) -> dict[int, StoredRow]:
        """Its reservations with these numbers; those that do not exist are not in the answer."""
        keys = ((self.account_id, number) for number in sorted(numbers))
        return {row[_NUMBER]: row for row in fetch_keys(self.connection, queries.RESERVATIONS, keys)}

    def others(self, table: str) -> list[StoredRow]:
        """Its rows of another table."""
        return fetch(self.connection, _OTHERS_OF_ACCOUNT[_OTHERS.index(table)], self.account_id)

    def past_the_end(self, table: str) -> int | None:
        """The lowest number of a row that none of the entries which the account counts has; None when there is none."""
        below, above = _PAST_THE_END[table]
        rows = fetch(self.connection, below, self.account_id) + fetch(
            self.connection, above, self.account_id, self.last
        )
        return min((number for (number,) in rows if number is not None), default=None)

    def came_due(self, moment: int) -> bool:
        """True when a reservation or a grant of it comes due, or came due, at the moment."""
        return any(fetch(self.connection, each, self.account_id, moment) for each in _CAME_DUE)


@dataclass(slots=True)
class PageRows:
    """A small account whose rows are all in memory; `last` is the count of entries in its row."""

    last: int
    rows: dict[str, list[StoredRow]] = field(default_factory=dict)

    def windows(self) -> Iterator[Window]:
        """Its entries in order, all in one window."""
        entries = [row for row in self.others("ledger_entry") if 0 < row[_NUMBER] <= self.last]
        tables = ("ledger_transfer", "ledger_reservation", "ledger_outbox")
        yield Window.of(entries, *(self.others(table) for table in tables))

    def reservations(self, numbers: Iterable[int]) -> dict[int, StoredRow]:
        """Its reservations with these numbers; those that do not exist are not in the answer."""
        wanted = set(numbers)
        return {row[_NUMBER]: row for row in self.others("ledger_reservation") if row[_NUMBER] in wanted}

    def others(self, table: str) -> list[StoredRow]:
        """Its rows of a table."""
        return self.rows.get(table, [])

    def past_the_end(self, table: str) -> int | None:
        """The lowest number of a row that none of the entries which the account counts has; None when there is none."""
        return min((row[_NUMBER] for row in self.others(table) if not 0 < row[_NUMBER] <= self.last), default=None)

    def came_due(self, moment: int) -> bool:
        """True when a reservation or a grant of it comes due, or came due, at the moment."""
        return any(row[_LAPSES_AT] == moment for row in self.others("ledger_reservation")) or any(
            moment in (row[_EXPIRES_AT], row[_EFFECTIVE_AT]) for row in self.others("ledger_grant")
        )


def read_page(connection: Connection, lasts: dict[str, int]) -> tuple[dict[str, PageRows], bool]:
    """All rows of accounts with neighbouring ids, and whether no rows of other accounts lie between them.

    `lasts` is the count of entries in each account's row.
    """
    names: Sequence[str] = list(lasts)
    page = {name: PageRows(last) for name, last in lasts.items()}
    is_alone = True
    for table, statement in _OF_PAGE.items():
        for name, rows in groupby(fetch(connection, statement, names[0], names[-1]), key=itemgetter(_ACCOUNT_ID)):
            if name in page:
                page[name].rows[table] = list(rows)
            else:
                is_alone = False
    return page, is_alone
