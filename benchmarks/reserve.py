"""Reserving credits, beside the bare driver making the same row changes: `python -m benchmarks.reserve`.

One reservation, in a session and by `run_commands`, and batches of 100 and 1,000, over 100 accounts, on SQLite
(write-ahead log, synchronous FULL) and on a private PostgreSQL that syncs every commit. What was written is checked
before anything is timed: the ledger's book by its audit, the raw rows by their count.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import ledger
from benchmarks import raw_reserve
from benchmarks.timing import Candidate, compare, report
from tests.postgres import PostgresServer, connect

_ACCOUNTS = [f"account-{number:03d}" for number in range(100)]
_AMOUNT = Decimal("1.5")
_AMOUNT_MICRO = 1_500_000
_GRANTED = Decimal(100_000_000)
_SIZES = (1, 100, 1000)
"""Reservations in a transaction."""


class Ours:
    """Reservations through the ledger, keyed, each transaction with a session of its own, or none."""

    def __init__(self, url: str) -> None:
        self.engine: Engine = ledger.create_engine(url)
        self.count = 0
        fill(self.engine)

    def run(self, size: int) -> None:
        """Reserve `size` times in one transaction."""
        keys = [f"key-{self.count + number}" for number in range(size)]
        self.count += size
        with Session(self.engine) as session, session.begin():
            if size == 1:
                ledger.reserve(session, _ACCOUNTS[self.count % 100], _AMOUNT, key=keys[0])
                return
            commands = [ledger.Reserve(_ACCOUNTS[number % 100], _AMOUNT, key=key) for number, key in enumerate(keys)]
            ledger.execute(session, commands)

    def run_alone(self) -> None:
        """Reserve once, in a transaction of commands alone."""
        self.count += 1
        ledger.run_commands(
            self.engine, [ledger.Reserve(_ACCOUNTS[self.count % 100], _AMOUNT, key=f"key-{self.count}")]
        )

    def check(self) -> None:
        """The book proves itself and has every reservation."""
        with Session(self.engine) as session:
            ledger.require_clean(session)
            _expect(session.execute(_RESERVATIONS).scalar_one(), self.count)


class Raw:
    """The same row changes through the bare driver, prepared before the clock starts."""

    def __init__(self, url: str, connection: Any, issue: Callable[[Any, raw_reserve.Changes], None]) -> None:
        engine = ledger.create_engine(url)
        fill(engine)
        engine.dispose()
        self.connection = connection
        self.issue = issue
        self.accounts = [raw_reserve.Account(name, 1, int(_GRANTED) * 10**6, 0) for name in _ACCOUNTS]
        self.count = 0
        self.ready: list[raw_reserve.Changes] = []

    def prepare(self, size: int, transactions: int) -> None:
        """Work out the row changes of the coming transactions."""
        for _ in range(transactions):
            keys = [f"key-{self.count + number}" for number in range(size)]
            self.count += size
            accounts = [self.accounts[self.count % 100]] if size == 1 else self.accounts
            self.ready.append(raw_reserve.prepare(accounts, _AMOUNT_MICRO, keys))
        self.ready.reverse()

    def run(self, _size: int) -> None:
        """Issue the next prepared changes."""
        self.issue(self.connection, self.ready.pop())

    def check(self) -> None:
        """Every prepared row was written."""
        count = self.connection.execute("SELECT count(*) FROM ledger_reservation").fetchone()[0]
        _expect(count, self.count - sum(len(changes.inserts["ledger_entry"]) for changes in self.ready))


_RESERVATIONS = text("SELECT count(*) FROM ledger_reservation")


def _expect(found: int, expected: int) -> None:
    if found != expected:
        raise SystemExit(f"wrong result: {found} reservations were stored, {expected} were made")


def fill(engine: Engine) -> None:
    """Open the accounts and grant them plenty."""
    ledger.upgrade(engine)
    with Session(engine) as session, session.begin():
        ledger.execute(session, [ledger.OpenAccount(name) for name in _ACCOUNTS])
        ledger.execute(session, [ledger.GrantCredits(name, _GRANTED) for name in _ACCOUNTS])


@contextmanager
def sqlite() -> Iterator[tuple[Ours, dict[int, Raw]]]:
    """Both sides on SQLite files of their own, so that neither spoils the other's page cache."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "raw.sqlite"
        ours = Ours(f"sqlite:///{Path(folder) / 'ours.sqlite'}")
        connection = sqlite3.connect(path, isolation_level=None)
        raw = Raw(f"sqlite:///{path}", connection, raw_reserve.issue_sqlite)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")
        yield ours, dict.fromkeys(_SIZES, raw)
        connection.close()
        ours.engine.dispose()


@contextmanager
def postgresql() -> Iterator[tuple[Ours, dict[int, Raw]]]:
    """Both sides in databases of their own on one durable server."""
    with PostgresServer.start(durable=True) as server:
        ours = Ours(server.databases.create())
        raw_urls = {way: server.databases.create() for way in ("single", "batch")}
        connections = {way: connect(url) for way, url in raw_urls.items()}
        single = Raw(raw_urls["single"], connections["single"], raw_reserve.issue_postgresql_single)
        batch = Raw(raw_urls["batch"], connections["batch"], raw_reserve.issue_postgresql)
        yield ours, {size: single if size == 1 else batch for size in _SIZES}
        for connection in connections.values():
            connection.close()
        ours.engine.dispose()


def main() -> None:
    """Print a comparison for each database and batch size."""
    for name, databases in (("SQLite", sqlite), ("PostgreSQL", postgresql)):
        with databases() as (ours, raws):
            for size in _SIZES:
                print(f"{name}, {size:,} reservation{'s' if size > 1 else ''} in a transaction", flush=True)
                print(report(compare(_candidates(ours, raws[size], size))))
                ours.check()
                raws[size].check()
            print(f"{name}: after {ours.count:,} reservations the audit is clean\n", flush=True)


def _candidates(ours: Ours, raw: Raw, size: int) -> list[Candidate]:
    return [
        Candidate("raw driver", lambda: raw.run(size), lambda _: raw.check(), lambda calls: raw.prepare(size, calls)),
        Candidate("ledger", lambda: ours.run(size), lambda _: ours.check()),
        *([Candidate("run_commands", ours.run_alone, lambda _: ours.check())] if size == 1 else []),
    ]


if __name__ == "__main__":
    main()
