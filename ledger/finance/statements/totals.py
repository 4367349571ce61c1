"""The statements of all accounts of a period as one stream, whose totals tie to the book.

Two readings of the book are compared: the statements, account by account, and the stream of the whole book
(`stream_book`), whose transfers are added up from the first one on. By bucket, for each account and for all together,

    opening + changes = closing

and the opening and the closing are the sums of all transfers before the period's beginning and end, with the changes
that came due by then and are not recorded yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby
from operator import attrgetter

from sqlalchemy.orm import Session

from estimator.credits import from_micro, to_micro
from ledger.documents import credits_text
from ledger.errors import Finding
from ledger.finance.calendar import AccountingPeriod
from ledger.finance.statements.reading import COLUMNS, AccountStatement, StatementLine, read_period
from ledger.finance.stream import BookEntry, stream_book
from ledger.model.moments import to_moment
from ledger.model.values import Balance, EntryKind
from ledger.storage.sessions import connection_of, connection_to_all
from ledger.storage.stores import fetch, fetch_one

_ACCOUNTS = 1_000
_PAGE = f"SELECT account_id FROM ledger_account WHERE account_id > $1 ORDER BY account_id LIMIT {_ACCOUNTS}"
_IS_THERE = "SELECT 1 FROM ledger_account WHERE account_id = $1"

Amounts = list[int]
"""Micro-credits by bucket, as `COLUMNS` orders them."""


@dataclass(slots=True)
class StatementTotals:
    """All statements of a period together: micro-credits by bucket, as `COLUMNS` orders them.

    `changes` has what the entries of each kind changed. `accounts` is how many statements there are.
    """

    accounts: int = 0
    entries: int = 0
    unrecorded: int = 0
    opening: Amounts = field(default_factory=lambda: [0] * len(COLUMNS))
    changes: dict[str, Amounts] = field(default_factory=dict)
    closing: Amounts = field(default_factory=lambda: [0] * len(COLUMNS))

    def take(self, line: StatementLine) -> None:
        """Count an entry."""
        self.entries += 1
        self.unrecorded += not line.is_recorded
        _add(self.changes.setdefault(line.entry.kind.value, [0] * len(COLUMNS)), line.changes)


class PeriodStatements:
    """The statements of all accounts that had an entry before a period's end, by account. Iterate it once.

    The next statement reads the lines that are left of the one before. `totals` and `findings` are complete after the
    last statement. The book must not change meanwhile: on PostgreSQL, begin with `read_one_moment` where others write.
    A few thousand rows are in memory.
    """

    def __init__(self, session: Session, period: AccountingPeriod) -> None:
        self.period = period
        self.totals = StatementTotals()
        self.findings: list[Finding] = []
        self._session = session
        self._ends = to_moment(period.since, "since"), to_moment(period.until, "until")
        self._book: tuple[Amounts, Amounts] = [0] * len(COLUMNS), [0] * len(COLUMNS)
        self._unrecorded: tuple[Amounts, Amounts] = [0] * len(COLUMNS), [0] * len(COLUMNS)

    def __iter__(self) -> Iterator[AccountStatement]:
        """Each statement, by account."""
        stream = _Groups(stream_book(self._session))
        for account_id in self._accounts():
            statement = read_period(self._session, account_id, self.period)
            own, size = self._sums(self._entries_of(stream, account_id))
            if not size and not statement.count:
                continue
            self.totals.accounts += 1
            yield from self._proven(statement, own)
        for name, entries in stream.rest():
            self._orphan(name, entries)
        self._end()

    def _accounts(self) -> Iterator[str]:
        after, connection = "", connection_to_all(self._session)
        while page := fetch(connection, _PAGE, after):
            yield from (name for (name,) in page)
            (after,) = page[-1]

    def _entries_of(self, stream: _Groups, account_id: str) -> Iterable[BookEntry]:
        """The entries of an account in the stream of the book, which has the same order."""
        while stream.name is not None and stream.name != account_id and not self._is_account(stream.name):
            self._orphan(stream.name, stream.take())
        return stream.take() if stream.name == account_id else ()

    def _is_account(self, name: str) -> bool:
        return fetch_one(connection_of(self._session), _IS_THERE, name) is not None

    def _orphan(self, name: str, entries: Iterable[BookEntry]) -> None:
        count = sum(1 for _ in entries)
        message = f"it has {count:,} entries in the book and no account; restore its row"
        self.findings.append(Finding(name, None, "account_missing", message))

    def _sums(self, entries: Iterable[BookEntry]) -> tuple[tuple[Amounts, Amounts], int]:
        """The sums of an account's transfers before the beginning and the end; its number of entries before the end."""
        since, until = self._ends
        opening, closing, size = [0] * len(COLUMNS), [0] * len(COLUMNS), 0
        for entry in entries:
            if entry.at >= until:
                continue
            size += 1
            for _, source, target, amount in entry.moves:
                for sums in (opening, closing) if entry.at < since else (closing,):
                    _add_to(sums, source, -amount)
                    _add_to(sums, target, amount)
        for total, sums in zip(self._book, (opening, closing), strict=True):
            _add(total, sums)
        return (opening, closing), size

    def _proven(self, statement: AccountStatement, own: tuple[Amounts, Amounts]) -> Iterator[AccountStatement]:
        """A statement; after its last line it is compared with the book's stream."""
        early, due = list(statement.changes_before), list(statement.changes_before)
        lines = statement.lines

        def counted() -> Iterator[StatementLine]:
            for line in lines:
                self.totals.take(line)
                if not line.is_recorded:
                    _add(due, line.changes)
                yield line

        statement.lines = counted()
        yield statement
        for _ in statement.lines:
            pass
        self.findings += statement.findings
        for total, amounts in zip(self._unrecorded, (early, due), strict=True):
            _add(total, amounts)
        for name, balance, sums, waiting in (
            ("opening", statement.opening, own[0], early),
            ("closing", statement.closing, own[1], due),
        ):
            stated = _amounts(balance)
            _add(getattr(self.totals, name), stated)
            self._compare(statement.account_id, name, stated, _sum(sums, waiting))

    def _end(self) -> None:
        """Compare the totals with each other and with the book."""
        totals = self.totals
        self._compare("", "closing", totals.closing, _sum(totals.opening, *totals.changes.values()))
        for name, stated, book, waiting in zip(
            ("opening", "closing"), (totals.opening, totals.closing), self._book, self._unrecorded, strict=True
        ):
            self._compare("", name, stated, _sum(book, waiting))

    def _compare(self, account_id: str, name: str, stated: Amounts, found: Amounts) -> None:
        for column, ours, theirs in zip(COLUMNS, stated, found, strict=True):
            if ours != theirs:
                whose = "all statements" if not account_id else "the statement"
                book = f"the transfers of the book make {credits_text(theirs)}"
                message = f"the {name} balance of {whose} has {credits_text(ours)} {column}; {book}"
                self.findings.append(Finding(account_id, None, f"{name}_not_of_the_book", message))


class _Groups:
    """The stream of the book by account; the next account is known before its entries are taken."""

    def __init__(self, entries: Iterator[BookEntry]) -> None:
        self._groups = groupby(entries, attrgetter("account_id"))
        self._next: tuple[str, Iterator[BookEntry]] | None = next(self._groups, None)

    @property
    def name(self) -> str | None:
        """The account whose entries come next."""
        return None if self._next is None else self._next[0]

    def take(self) -> Iterator[BookEntry]:
        """The entries of the next account, to be read at once."""
        assert self._next is not None
        yield from self._next[1]
        self._next = next(self._groups, None)

    def rest(self) -> Iterator[tuple[str, Iterator[BookEntry]]]:
        """The accounts that are left, with their entries."""
        while self._next is not None:
            yield self._next[0], self.take()


_PLACES = {name: index for index, name in enumerate(COLUMNS)}


def _add_to(sums: Amounts, bucket: str, amount: int) -> None:
    if bucket in _PLACES:
        sums[_PLACES[bucket]] += amount


def total_rows(totals: StatementTotals) -> list[tuple[str, list[Decimal]]]:
    """The totals of a period's statements in credits, as rows: opening, the changes of each kind of entry, closing."""
    rows = [("Opening", totals.opening)]
    rows += [(kind.replace("_", " "), totals.changes[kind]) for kind in EntryKind if kind in totals.changes]
    rows.append(("Closing", totals.closing))
    return [(label, [from_micro(amount) for amount in amounts]) for label, amounts in rows]


def _add(total: Amounts, amounts: Iterable[int]) -> None:
    for index, amount in enumerate(amounts):
        total[index] += amount


def _sum(*parts: Amounts) -> Amounts:
    return [sum(amounts) for amounts in zip(*parts, strict=True)]


def _amounts(balance: Balance) -> Amounts:
    return [to_micro(getattr(balance, column)) for column in COLUMNS]
