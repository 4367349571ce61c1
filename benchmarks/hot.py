"""One hot account, everybody at once: the batcher beside one row-locking statement each: `python -m benchmarks.hot`.

Raw: 32 connections of the bare driver to a private PostgreSQL that syncs every commit, each sending one UPDATE a
transaction (autocommit, prepared) to the same row: in 32 threads, and in 32 processes, of which the faster counts. It
keeps no journal, no key, no reservation. Ledger: 64 callers, threads or asyncio tasks, each with keyed reservations
through one `Batcher`. The rounds take turns; what they wrote is checked before a time is printed.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

import ledger
from tests.postgres import PostgresServer, connect

_CONNECTIONS = 32
_CALLERS = 64
_ROUNDS = 7
_RAW_EACH = 60
_OURS_EACH = 150
_PATIENCE_SECONDS = 120
_GRANTED = Decimal(1_000_000_000)
_MOVE = (
    "UPDATE raw_account SET available = available - 1000000, held = held + 1000000"
    " WHERE id = 'hot' AND available >= 1000000"
)
_context = multiprocessing.get_context("forkserver")

Round = Callable[[], float]
"""Carries out one round, and answers operations a second."""


def _together(callers: int, each: int, work: Callable[[int], None]) -> float:
    """Operations a second when `work(number)` does `each` of them in every one of so many threads."""
    start = threading.Barrier(callers + 1)

    def run(number: int) -> None:
        start.wait(_PATIENCE_SECONDS)
        work(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    start.wait(_PATIENCE_SECONDS)
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return callers * each / (time.perf_counter() - began)


class Raw:
    """The row that everybody changes, and the count of changes that it should show."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.count = 0
        with connect(url) as connection:
            connection.execute("CREATE TABLE raw_account (id text PRIMARY KEY, available bigint, held bigint)")
            connection.execute("INSERT INTO raw_account VALUES ('hot', 1000000000000000, 0)")

    @contextmanager
    def threads(self) -> Iterator[Round]:
        """Rounds of one thread for each connection."""
        with ExitStack() as stack:
            connections = [stack.enter_context(connect(self.url)) for _ in range(_CONNECTIONS)]

            def run() -> float:
                self.count += _CONNECTIONS * _RAW_EACH
                return _together(_CONNECTIONS, _RAW_EACH, lambda number: _move(connections[number]))

            yield run

    @contextmanager
    def processes(self) -> Iterator[Round]:
        """Rounds of one process for each connection."""
        start = _context.Barrier(_CONNECTIONS + 1)
        end = _context.Barrier(_CONNECTIONS + 1)
        crew = [
            _context.Process(target=_move_in_rounds, args=(self.url, start, end), daemon=True)
            for _ in range(_CONNECTIONS)
        ]
        for process in crew:
            process.start()

        def run() -> float:
            self.count += _CONNECTIONS * _RAW_EACH
            start.wait(_PATIENCE_SECONDS)
            began = time.perf_counter()
            end.wait(_PATIENCE_SECONDS)
            return _CONNECTIONS * _RAW_EACH / (time.perf_counter() - began)

        try:
            yield run
        finally:
            for process in crew:
                process.terminate()
                process.join()

    def check(self) -> None:
        """Every change was made."""
        with connect(self.url) as connection:
            row = connection.execute("SELECT held FROM raw_account").fetchone()
        _expect("the raw account", row[0] // 10**6 if row else None, self.count)


def _move(connection: Any) -> None:
    for _ in range(_RAW_EACH):
        if connection.execute(_MOVE, prepare=True).rowcount != 1:
            raise SystemExit("wrong result: an update changed no row")


def _move_in_rounds(url: str, start: Any, end: Any) -> None:
    with connect(url) as connection:
        while True:
            start.wait()
            _move(connection)
            end.wait()


class Ours:
    """The same account in a ledger, its callers behind one batcher."""

    def __init__(self, url: str) -> None:
        self.engine = ledger.create_engine(url)
        self.count = 0
        ledger.upgrade(self.engine)
        with Session(self.engine) as session, session.begin():
            ledger.open_account(session, "hot")
            ledger.grant_credits(session, "hot", _GRANTED)
        self.batcher = ledger.Batcher(self.engine)

    def _commands(self, number: int) -> Iterator[ledger.Reserve]:
        return (ledger.Reserve("hot", 1, f"{self.count}-{number}-{turn}") for turn in range(_OURS_EACH))

    def threads(self) -> float:
        """One round of one thread for each caller."""
        self.count += _CALLERS * _OURS_EACH

        def work(number: int) -> None:
            for command in self._commands(number):
                self.batcher.execute(command)

        return _together(_CALLERS, _OURS_EACH, work)

    def tasks(self) -> float:
        """One round of one asyncio task for each caller."""
        self.count += _CALLERS * _OURS_EACH

        async def work(number: int) -> None:
            for command in self._commands(number):
                await self.batcher.execute_async(command)

        async def everybody() -> float:
            began = time.perf_counter()
            await asyncio.gather(*(work(number) for number in range(_CALLERS)))
            return _CALLERS * _OURS_EACH / (time.perf_counter() - began)

        return asyncio.run(everybody())

    def check(self) -> None:
        """The book proves itself, and has every reservation once."""
        with Session(self.engine) as session:
            ledger.require_clean(session)
            keys = session.execute(text("SELECT count(DISTINCT key) FROM ledger_entry WHERE kind = 'reserve'"))
            _expect("the ledger", keys.scalar_one(), self.count)
            _expect("the balance", ledger.get_balance(session, "hot").held, self.count)


def _expect(where: str, found: object, expected: int) -> None:
    if found != expected:
        raise SystemExit(f"wrong result: {where} shows {found} changes, {expected} were acknowledged")


def main() -> None:
    """Print operations a second, and how often the batcher's is the raw one's."""
    with PostgresServer.start(durable=True) as server:
        raw = Raw(server.databases.create())
        url = server.databases.create()
        ours = Ours(url)
        with raw.threads() as raw_threads, raw.processes() as raw_processes:
            candidates: dict[str, Round] = {
                f"raw, {_CONNECTIONS} threads": raw_threads,
                f"raw, {_CONNECTIONS} processes": raw_processes,
                f"batcher, {_CALLERS} threads": ours.threads,
                f"batcher, {_CALLERS} tasks": ours.tasks,
            }
            rates = measure(candidates, lambda: _vacuum(raw.url, url))
        ours.batcher.close()
        raw.check()
        ours.check()
        ours.engine.dispose()
    print(f"{raw.count:,} raw updates and {ours.count:,} reservations are all there; the audit is clean")
    print(report(rates))


def _vacuum(*urls: str) -> None:
    """What the server does by itself within a minute: plans made for empty tables are made anew."""
    for url in urls:
        with connect(url) as connection:
            connection.execute("VACUUM ANALYZE")


def measure(candidates: dict[str, Round], refresh: Callable[[], None]) -> dict[str, list[float]]:
    """Operations a second of each candidate, a figure a round, after one round that does not count."""
    rates: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(_ROUNDS + 1):
        if number == 1:
            refresh()
        for name, run in candidates.items():
            gc.collect()
            rate = run()
            if number:
                rates[name].append(rate)
    return rates


def report(rates: dict[str, list[float]]) -> str:
    """An aligned table; `ratio` is the median over the rounds of a rate over the better raw one of the same round."""
    best = [max(found) for found in zip(*(rates[name] for name in rates if name.startswith("raw")), strict=True)]
    lines = [f"{'operations a second':<20}  {'min':>7}  {'median':>7}  {'max':>7}  {'ratio':>6}"]
    for name, found in rates.items():
        ratio = statistics.median(rate / raw for rate, raw in zip(found, best, strict=True))
        figures = f"{min(found):>7,.0f}  {statistics.median(found):>7,.0f}  {max(found):>7,.0f}  {ratio:>6.2f}"
        lines.append(f"{name:<20}  {figures}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
