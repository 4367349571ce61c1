"""How fast the audit proves a big book, and in how much memory: `python -m benchmarks.audit [--entries N]`.

The book is that of `benchmarks.growth`: half of the entries on one hot account, the rest on accounts of some five
hundred. The audit must find nothing in it, and the one value that is altered afterwards.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import ledger
from benchmarks.books import HOT, Book
from benchmarks.loading import load
from tests.postgres import PostgresServer


@contextmanager
def sqlite() -> Iterator[str]:
    """The URL of a new file."""
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{Path(folder) / 'book.sqlite'}"


@contextmanager
def postgresql() -> Iterator[str]:
    """The URL of a new database on a server of its own."""
    with PostgresServer.start(durable=True) as server:
        yield server.databases.create()


def main() -> None:
    """Print entries a second of one process and of two, and the memory that the audit of more entries takes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit")
    parser.add_argument("--entries", type=int, default=1_000_000, metavar="N")
    options = parser.parse_args()
    for name, place in (("SQLite", sqlite), ("PostgreSQL", postgresql)):
        with place() as url:
            count = load(url, Book(options.entries))
            engine = ledger.create_engine(url)
            print(f"{name}, {count:,} entries", flush=True)
            _report("one process", count, lambda engine=engine: _alone(engine))  # type: ignore[misc]
            _report("two processes", count, lambda engine=engine: list(ledger.audit_together(engine)))  # type: ignore[misc]
            _print_memory(url)
            _check_finds(engine)
            engine.dispose()


def _alone(engine: Engine, account_id: str | None = None) -> list[ledger.Finding]:
    with Session(engine) as session:
        return list(ledger.audit(session, account_id=account_id))


def _report(name: str, count: int, audit: object) -> None:
    rates = []
    for _ in range(3):
        began = time.perf_counter()
        findings = audit()  # type: ignore[operator]
        rates.append(count / (time.perf_counter() - began))
        if findings:
            raise SystemExit(f"wrong result: {findings[0]}")
    print(
        f"  {name:<14} {max(rates):>10,.0f} entries a second at best, {sorted(rates)[1]:,.0f} in the middle", flush=True
    )


def _print_memory(url: str) -> None:
    """What auditing an account of five hundred entries takes, and one of half the book, each in a new process."""
    context = multiprocessing.get_context("spawn")
    for name in ("account-000000", HOT):
        with ProcessPoolExecutor(1, context) as pool:
            before, after = pool.submit(_memory_of, url, name).result()
        print(f"  peak memory of auditing {name}: {after} MB, {before} MB of them before", flush=True)


def _memory_of(url: str, account_id: str) -> tuple[int, int]:
    engine = ledger.create_engine(url)
    with Session(engine) as session:
        ledger.get_balance(session, account_id)
    before = _peak_megabytes()
    _alone(engine, account_id)
    engine.dispose()
    return before, _peak_megabytes()


def _peak_megabytes() -> int:
    """Of this program alone; what `getrusage` says begins with what the one that started it had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024


def _check_finds(engine: Engine) -> None:
    with Session(engine) as session:
        session.execute(text(f"UPDATE ledger_account SET at = at + 1 WHERE account_id = '{HOT}'"))
        found = {finding.account_id for finding in ledger.audit(session, account_id=HOT)}
        session.rollback()
    if found != {HOT}:
        raise SystemExit("wrong result: an altered account was not found")


if __name__ == "__main__":
    main()
