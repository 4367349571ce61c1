"""What a call costs on a book of ten thousand entries and on one of millions: `python -m benchmarks.growth`.

Both books are built first (`--entries 10000000` for the large one; one million by default), each with half of its
entries on one hot account, and the audit of that account and of others must be clean. Then the same calls are
timed on both in turns, on SQLite (write-ahead log, synchronous FULL) and on a private PostgreSQL that syncs every
commit. A ratio is the large book's time over the small one's.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

import ledger
from benchmarks.books import HOT, ORDINARY_ENTRIES, STEP_MICROS, Book, moment_after, random_key
from benchmarks.loading import load
from benchmarks.timing import Candidate, compare, report
from ledger.model.moments import from_moment
from tests.postgres import PostgresServer

SMALL = 10_000
_ROUNDS = 31
_AMOUNT = Decimal("1.5")
_BATCH = 100
_AUDITED = 10
_PERIOD_ENTRIES = 20
_GOLDEN = 0.6180339887


class Calls:
    """The calls on one book.

    Those on ten accounts and on twelve moments, spread over all of it, come back to the same pages, as a service and
    its month ends do. Those on all accounts and on any moment hardly ever do: on a large book their pages come from
    the system's cache or the disk, and are written to the disk apart.
    """

    def __init__(self, url: str, book: Book) -> None:
        self.name = f"{book.entries:,} entries"
        self.engine = ledger.create_engine(url)
        self.others = [name for name in book.accounts if name != HOT]
        self.ten = self.others[:: len(self.others) // 10]
        self.hot_entries = book.accounts[HOT]
        self.count = 0

    def audit(self) -> int:
        """Leave with a message unless the hot account and some others prove themselves; answers their entries."""
        audited = [HOT, *(self._other() for _ in range(_AUDITED))]
        with Session(self.engine) as session:
            for name in audited:
                ledger.require_clean(session, account_id=name)
        return self.hot_entries + _AUDITED * ORDINARY_ENTRIES

    def _spread(self) -> float:
        self.count += 1
        return self.count * _GOLDEN % 1

    def _other(self) -> str:
        return self.others[int(self._spread() * len(self.others))]

    def _past(self, place: float) -> datetime:
        """Just before an entry of the hot account took effect, at a place in its past between 0 and 1."""
        return from_moment(moment_after(1 + int(place * (self.hot_entries - _PERIOD_ENTRIES))) - 1)

    def _reserve(self, account_id: str) -> ledger.Reservation:
        self.count += 1
        with Session(self.engine) as session, session.begin():
            return ledger.reserve(session, account_id, _AMOUNT, key=random_key(f"timed-{self.count}"))

    def reserve_hot(self) -> ledger.Reservation:
        """A keyed reservation on the hot account."""
        return self._reserve(HOT)

    def reserve_ten(self) -> ledger.Reservation:
        """A keyed reservation on one of ten accounts."""
        return self._reserve(self.ten[self.count % 10])

    def reserve_any(self) -> ledger.Reservation:
        """A keyed reservation on any account."""
        return self._reserve(self._other())

    def reserve_batch(self) -> list[Any]:
        """Many keyed reservations on ten accounts in one transaction."""
        self.count += _BATCH
        commands = [
            ledger.Reserve(self.ten[index % 10], _AMOUNT, key=random_key(f"batch-{self.count + index}"))
            for index in range(_BATCH)
        ]
        with Session(self.engine) as session, session.begin():
            return list(ledger.execute(session, commands))

    def balance_now(self) -> ledger.Balance:
        """The hot account's balance."""
        with Session(self.engine) as session:
            return ledger.get_balance(session, HOT)

    def balance_at_twelve(self) -> ledger.Balance:
        """The hot account's balance at one of twelve past moments."""
        self.count += 1
        return self._balance_at(self._past(self.count % 12 / 12))

    def balance_at_any(self) -> ledger.Balance:
        """The hot account's balance at any past moment."""
        return self._balance_at(self._past(self._spread()))

    def _balance_at(self, moment: datetime) -> ledger.Balance:
        with Session(self.engine) as session:
            return ledger.get_balance(session, HOT, at=moment)

    def statement_of_twelve(self) -> ledger.Statement:
        """The hot account's statement of a period with twenty entries after one of twelve past moments."""
        self.count += 1
        return self._statement(self._past(self.count % 12 / 12))

    def statement_of_any(self) -> ledger.Statement:
        """The hot account's statement of a period with twenty entries after any past moment."""
        return self._statement(self._past(self._spread()))

    def _statement(self, since: datetime) -> ledger.Statement:
        until = since + (from_moment(STEP_MICROS) - from_moment(0)) * _PERIOD_ENTRIES
        with Session(self.engine) as session:
            return ledger.get_statement(session, HOT, since=since, until=until)


def _check_reserved(answer: ledger.Reservation) -> None:
    _expect(answer.amount, _AMOUNT)


def _check_batch(answers: list[Any]) -> None:
    _expect([answer.amount for answer in answers], [_AMOUNT] * _BATCH)


def _check_now(balance: ledger.Balance) -> None:
    _expect(balance.available > 0 and balance.held > 0, True)


def _check_then(balance: ledger.Balance) -> None:
    _expect(balance.available + balance.held + balance.consumed, balance.issued)


def _check_statement(statement: ledger.Statement) -> None:
    _expect(len(statement.entries), _PERIOD_ENTRIES)


def _expect(found: object, expected: object) -> None:
    if found != expected:
        raise SystemExit(f"wrong result: {found!r} came back where {expected!r} was due")


_TIMED: list[tuple[str, Callable[[Calls], Any], Callable[[Any], None]]] = [
    ("reserve, hot account", Calls.reserve_hot, _check_reserved),
    ("reserve, ten accounts in turn", Calls.reserve_ten, _check_reserved),
    ("reserve, all accounts in turn", Calls.reserve_any, _check_reserved),
    (f"{_BATCH} reserves on ten accounts in a transaction", Calls.reserve_batch, _check_batch),
    ("balance now", Calls.balance_now, _check_now),
    ("balance at twelve past moments", Calls.balance_at_twelve, _check_then),
    ("balance at any past moment", Calls.balance_at_any, _check_then),
    (f"statement of {_PERIOD_ENTRIES} entries, twelve periods", Calls.statement_of_twelve, _check_statement),
    (f"statement of {_PERIOD_ENTRIES} entries, any period", Calls.statement_of_any, _check_statement),
]


@contextmanager
def sqlite() -> Iterator[Callable[[], str]]:
    """Makes URLs of new files."""
    with tempfile.TemporaryDirectory() as folder:
        names = iter(range(100))
        yield lambda: f"sqlite:///{Path(folder) / f'book-{next(names)}.sqlite'}"


@contextmanager
def postgresql() -> Iterator[Callable[[], str]]:
    """Makes URLs of new databases."""
    with PostgresServer.start(durable=True) as server:
        yield server.databases.create


_DATABASES = {"sqlite": sqlite, "postgresql": postgresql}


def main() -> None:
    """Build, check, time and print, a database after the other."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=1_000_000, help="of the large book (default: a million)")
    parser.add_argument("--database", choices=sorted(_DATABASES), help="one of them only")
    options = parser.parse_args()
    for name in [options.database] if options.database else ["sqlite", "postgresql"]:
        with _DATABASES[name]() as new_url, ExitStack() as closing:
            books = []
            for entries in (SMALL, options.entries):
                books.append(_build(name, new_url(), Book(entries)))
                closing.callback(books[-1].engine.dispose)
            _time(name, books)


def _build(name: str, url: str, book: Book) -> Calls:
    start = time.perf_counter()
    count = load(url, book)
    taken = time.perf_counter() - start
    print(f"{name}: {count:,} entries on {len(book.accounts):,} accounts in {taken:,.0f} s", end="; ", flush=True)
    calls = Calls(url, book)
    start = time.perf_counter()
    audited = calls.audit()
    taken = time.perf_counter() - start
    print(f"audit of {audited:,} clean in {taken:,.1f} s", flush=True)
    return calls


def _time(name: str, books: list[Calls]) -> None:
    for title, call, check in _TIMED:
        candidates = [
            Candidate(book.name, lambda call=call, book=book: call(book), check)  # type: ignore[misc]
            for book in books
        ]
        print(f"\n{name}, {title}")
        print(report(compare(candidates, rounds=_ROUNDS)), flush=True)
    print()


if __name__ == "__main__":
    main()
