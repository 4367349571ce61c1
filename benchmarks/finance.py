"""How fast the book leaves for other tools, and in how much memory: `python -m benchmarks.finance [--entries N]`.

The book is that of `benchmarks.growth`. Every export must have all entries, the feed must give each once, and revenue
must come to what the accounts have, before a figure is printed; memory is what a process of its own grows by. Beside
them, for how fast the machine is just now, `bare read`: the driver giving all columns of the rows that the stream is
made of, and nothing else; the last figure is how many times as long the work takes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.orm import Session

import ledger
from benchmarks.audit import postgresql, sqlite
from benchmarks.books import Book
from benchmarks.loading import load
from ledger.finance import (
    AccountingPeriod,
    Cursor,
    ExportFormat,
    Figures,
    close_period,
    entries_since,
    export_book,
    stream_book,
    stream_revenue,
    total_revenue,
)
from ledger.storage.stores import stream

ROUNDS = 3
_PAGE = 10_000
_PERIOD = "2025-01"
_WORKS = ("bare read", "stream", *ExportFormat, "feed", "revenue", "by grant", "close")
_context = multiprocessing.get_context("forkserver")


def carry_out(url: str, work: str, count: int) -> float:
    """Seconds that some work takes; what it gave is checked."""
    engine = ledger.create_engine(url)
    with tempfile.TemporaryDirectory() as folder, Session(engine) as session:
        began = time.perf_counter()
        if work == "bare read":
            found = _read(session)
        elif work == "stream":
            found = sum(1 for _ in stream_book(session))
        elif work == "feed":
            found = _fed(session)
        elif work in ("revenue", "by grant", "close"):
            found = _tied(session, _figures(session, work))
        else:
            found = export_book(session, work, Path(folder) / "out")
        elapsed = time.perf_counter() - began
    engine.dispose()
    if found != count:
        raise SystemExit(f"wrong result: {work} has {found:,} entries of {count:,}")
    return elapsed


def _figures(session: Session, work: str) -> Figures:
    period = AccountingPeriod.parse(_PERIOD)
    if work == "close":
        return close_period(session, _PERIOD, by="benchmark").figures  # undone when the session ends
    if work == "revenue":
        return total_revenue(session, period)
    figures = Figures()
    for account in stream_revenue(session, period):
        for line in account.lines:
            line.credits("closing")
        figures.add(account.figures)
    return figures


_ROWS = """
    SELECT e.*, t.grant_number, t.source, t.target, t.amount, t.ordinal
    FROM ledger_entry e LEFT JOIN ledger_transfer t ON t.account_id = e.account_id AND t.sequence = e.sequence
    ORDER BY e.account_id, e.sequence, t.ordinal
"""


def _read(session: Session) -> int:
    """Entries that the driver's rows are of: an entry's first transfer is its 0th, and it may have none."""
    parts = stream(session.connection(), _ROWS)
    return sum(not row[-1] for part in parts for row in part)


_BALANCES = text("SELECT sum(sequence), sum(available + held), sum(consumed) FROM ledger_account")


def _tied(session: Session, figures: Figures) -> int:
    """How many entries the book has, where the figures come to what its accounts have."""
    count, deferred, consumed = session.execute(_BALANCES).one()
    (total,) = figures.totals
    if (total.deferral.closing, total.deferral.flows.recognised) != (deferred, consumed):
        raise SystemExit("wrong result: revenue is not what the accounts have")
    return int(count)


def _fed(session: Session) -> int:
    cursor, last, count = Cursor(), dict[str, int](), 0
    while True:
        page = entries_since(session, cursor, limit=_PAGE)
        for entry in page.entries:
            if entry.sequence != last.get(entry.account_id, 0) + 1:
                raise SystemExit(f"wrong result: {entry.account_id} {entry.sequence} is not the next entry")
            last[entry.account_id] = entry.sequence
        count += len(page.entries)
        cursor = page.cursor
        if page.is_last:
            return count


def grown(url: str, work: str, count: int) -> int:
    """MiB that a process of its own grows by while it does the work."""
    ours, theirs = _context.Pipe()
    process = _context.Process(target=_grow, args=(url, work, count, theirs))
    process.start()
    answer: int = ours.recv()
    process.join()
    return answer


def _grow(url: str, work: str, count: int, pipe: object) -> None:
    before = _largest_kib()
    carry_out(url, work, count)
    pipe.send((_largest_kib() - before) // 1024)  # type: ignore[attr-defined]


def _largest_kib() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def main() -> None:
    """Print entries a second, the middle of three, memory, and times the bare read."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.finance")
    parser.add_argument("--entries", type=int, default=1_000_000, metavar="N")
    options = parser.parse_args()
    for name, place in (("SQLite", sqlite), ("PostgreSQL", postgresql)):
        with place() as url:
            count = load(url, Book(options.entries))
            print(f"{name}, {count:,} entries", flush=True)
            bare = 0.0
            for work in _WORKS:
                seconds = statistics.median(carry_out(url, work, count) for _ in range(ROUNDS))
                bare = bare or seconds
                figures = f"{count / seconds:>12,.0f} entries a second{grown(url, work, count):>8,} MiB"
                print(f"  {work:<12}{figures}{seconds / bare:>8.1f}x", flush=True)


if __name__ == "__main__":
    main()
