"""The ledger beside two others from PyPI, on one database each: `python -m benchmarks.peers`.

What is compared, over 100 accounts with plenty of credit, every call keyed and every commit on disk:

- a movement of credits: a reservation of ours, a reservation of `snipz`, a debit of `hf-nostro`, which has no
  holds and charges at once;
- a run: a reservation and then its capture, each in a transaction; in `snipz` a reservation and its commit; in
  `hf-nostro` the one debit again, which is all that it makes of a run;
- a batch of 1,000 movements: one `execute` of ours; 1,000 debits of `hf-nostro` in one transaction, through the
  cursor that it takes for that; 1,000 reservations of `snipz`, which has no batches and joins no transaction: at
  once over its pool of connections on PostgreSQL, one after another on SQLite, which has one writer;
- 640 movements of 32 callers at once (PostgreSQL), each waiting for its answer before its next: ours in threads before
  one `Batcher`, `hf-nostro` in threads with a connection each, `snipz` in tasks over its pool of ten.

`hf-nostro` knows no SQLite. `snipz` needs Python 3.13; without it, its lines are left out.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.orm import Session

import ledger
from benchmarks.peer_ledgers import (
    ACCOUNTS,
    AMOUNT,
    CALLERS,
    CROWD,
    GRANTED,
    Nostro,
    Peer,
    Snipz,
    at_once,
    expect,
)
from benchmarks.timing import Candidate, compare, report
from tests.postgres import PostgresServer

BATCH = 1000
BATCH_ROUNDS = 5


class Ours(Peer):
    """The ledger, each transaction by `run_commands`, which is for callers who own none."""

    name = "ledger"

    def __init__(self, url: str) -> None:
        super().__init__()
        self.engine = ledger.create_engine(url)
        ledger.upgrade(self.engine)
        self.batcher = ledger.Batcher(self.engine)
        with Session(self.engine) as session, session.begin():
            ledger.execute(session, [ledger.OpenAccount(name) for name in ACCOUNTS])
            ledger.execute(session, [ledger.GrantCredits(name, GRANTED) for name in ACCOUNTS])

    def move(self) -> None:
        """One reservation."""
        self._reserve()

    def _reserve(self) -> ledger.Reservation:
        account, key = self.next_call()
        return self._done(ledger.Reserve(account, AMOUNT, key=key))

    def _done(self, command: ledger.Command) -> ledger.Reservation:
        (result,) = ledger.run_commands(self.engine, [command])
        if not isinstance(result, ledger.Reservation):
            raise SystemExit(f"refused: {result}")
        return result

    def run(self) -> None:
        """A reservation, and its capture in a later transaction."""
        held = self._reserve().reservation_id
        self._done(ledger.Capture(held, AMOUNT, key=f"{held}:capture"))

    def batch(self) -> None:
        """1,000 reservations as one batch."""
        calls = [self.next_call() for _ in range(BATCH)]
        ledger.run_commands(self.engine, [ledger.Reserve(account, AMOUNT, key=key) for account, key in calls])

    def crowd(self) -> None:
        """A thread for each caller, all before one batcher."""
        calls = [self.next_call() for _ in range(CROWD)]
        at_once(calls, lambda call: self.batcher.execute(ledger.Reserve(call[0], AMOUNT, key=call[1])))

    def check(self) -> None:
        """The book proves itself, and has every reservation."""
        with Session(self.engine) as session:
            ledger.require_clean(session)
            counted = session.execute(text("SELECT count(*) FROM ledger_reservation")).scalar_one()
        expect(self.name, counted, self.calls)

    def close(self) -> None:
        """Let the connections go."""
        self.batcher.close()
        self.engine.dispose()


@contextmanager
def sqlite() -> Iterator[list[Peer]]:
    """Each on a file of its own."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as closing:
        peers: list[Peer] = [Ours(f"sqlite:///{Path(folder) / 'ours.sqlite'}")]
        if _is_installed("snipz"):
            peers.append(Snipz.on_sqlite(Path(folder) / "snipz.sqlite", BATCH))
        for peer in peers:
            closing.callback(peer.close)
        yield peers


@contextmanager
def postgresql() -> Iterator[list[Peer]]:
    """Each in a database of its own, on one server that syncs every commit."""
    with PostgresServer.start(durable=True) as server, ExitStack() as closing:
        peers: list[Peer] = [Ours(server.databases.create())]
        if _is_installed("nostro"):
            peers.append(Nostro(server.databases.create(), BATCH))
        if _is_installed("snipz"):
            peers.append(Snipz.on_postgresql(server.databases.create(), BATCH))
        for peer in peers:
            closing.callback(peer.close)
        yield peers


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def main() -> None:
    """Print the tables of each database; a ratio is the peer's time over ours."""
    for missing in [module for module in ("nostro", "snipz") if not _is_installed(module)]:
        print(f"{missing} is not installed here. Run `pip install 'run-credits[benchmarks]'` on Python 3.13 or later.")
    for name, databases in (("SQLite", sqlite), ("PostgreSQL", postgresql)):
        with databases() as peers:
            if len(peers) < 2:
                print(f"{name}: no peer to compare with\n")
                continue
            _compare(f"{name}, one movement", [_candidate(peer, peer.move) for peer in peers])
            _compare(f"{name}, a run", [_candidate(peer, peer.run) for peer in peers])
            batches = [_candidate(peer, peer.batch) for peer in peers]
            _compare(f"{name}, {BATCH:,} movements", batches, rounds=BATCH_ROUNDS)
            if name == "PostgreSQL":
                crowds = [_candidate(peer, peer.crowd) for peer in peers]
                _compare(f"{name}, {CROWD:,} movements of {CALLERS} callers at once", crowds, rounds=BATCH_ROUNDS)
            for peer in peers:
                peer.check()
                print(f"{peer.name}: {peer.calls:,} movements made, all of them found")
            print()


def _candidate(peer: Peer, call: Callable[[], None]) -> Candidate:
    return Candidate(peer.name, call, lambda _: peer.check())


def _compare(title: str, candidates: Sequence[Candidate], *, rounds: int = 15) -> None:
    print(title, flush=True)
    print(report(compare(candidates, rounds=rounds)), flush=True)


if __name__ == "__main__":
    main()
