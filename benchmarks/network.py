"""What a network costs: the ledger and `hf-nostro` by way of a proxy that adds a millisecond each way.

`python -m benchmarks.network`. Each movement is keyed and in a transaction of its own; what was written is checked
before anything is timed. Round trips are counted at the proxy. A launch is also beside what it would take with the nine
round trips that it took before its statements were sent together: nine times the delay of both ways, and its own work.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from sqlalchemy import text
from sqlalchemy.orm import Session

import ledger
from benchmarks.peer_ledgers import ACCOUNTS, AMOUNT, GRANTED, Nostro, expect
from benchmarks.timing import Candidate, compare, report
from estimator import DatasetProfile, RateCardBook, RunOutcome, RunRequest, shipped_card
from tests.postgres import PostgresServer
from tests.round_trips import RoundTrips

DELAY_SECONDS = 0.001
_PROFILE = DatasetProfile(1000, ("question", "answer"))
_CARDS = RateCardBook([shipped_card("example")])


@dataclass
class Ours:
    """The ledger on an engine, each call a transaction of the library's own."""

    url: str
    calls: int = 0
    launched: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.engine = ledger.create_engine(self.url)
        ledger.upgrade(self.engine)
        with Session(self.engine) as session, session.begin():
            ledger.execute(session, [ledger.OpenAccount(name) for name in ACCOUNTS])
            ledger.execute(session, [ledger.GrantCredits(name, GRANTED) for name in ACCOUNTS])

    def _next(self) -> tuple[str, str]:
        self.calls += 1
        return ACCOUNTS[self.calls % len(ACCOUNTS)], f"key-{self.calls:09d}"

    def reserve(self) -> None:
        """One reservation, by `run_commands`."""
        account, key = self._next()
        ledger.run_commands(self.engine, [ledger.Reserve(account, AMOUNT, key=key)])

    def launch(self) -> None:
        """One launch, of a dataset that has no other run."""
        account, key = self._next()
        body = {
            "column_mapping": {"prompt": "question", "completion": "answer"},
            "job_specification": {"idempotency_key": key},
        }
        request = RunRequest.from_wire(body)
        launched = ledger.run_transaction(
            self.engine,
            lambda session: ledger.launch(
                session, account_id=account, dataset_id=key, profile=_PROFILE, request=request, cards=_CARDS
            ),
        )
        self.launched.append((account, str(launched.run_id)))

    def settle(self) -> None:
        """The settlement of a run that was launched before."""
        account, run_id = self.launched.pop(0)
        outcome = RunOutcome("succeeded", rows_processed=1000, rows_delivered=1000)
        ledger.run_transaction(
            self.engine,
            lambda session: ledger.settle_run(session, account_id=account, run_id=run_id, outcome=outcome),
        )

    def check(self, _: object = None) -> None:
        """The book proves itself, and has every hold."""
        with Session(self.engine) as session:
            ledger.require_clean(session)
            counted = session.execute(text("SELECT count(*) FROM ledger_reservation")).scalar_one()
        expect("ledger", counted, self.calls)


@contextmanager
def both() -> Iterator[tuple[RoundTrips, Ours, RoundTrips | None, Nostro | None]]:
    """Ours and the peer, each on a database of its own behind a proxy of its own."""
    with PostgresServer.start() as server, ExitStack() as closing:
        trips = closing.enter_context(RoundTrips.counted(server.databases.create(), delay=DELAY_SECONDS))
        ours = Ours(trips.url)
        closing.callback(ours.engine.dispose)
        if importlib.util.find_spec("nostro") is None:
            print("hf-nostro is not installed here. Run `pip install 'run-credits[benchmarks]'`.")
            yield trips, ours, None, None
            return
        peers_trips = closing.enter_context(RoundTrips.counted(server.databases.create(), delay=DELAY_SECONDS))
        peer = Nostro(peers_trips.url, 1)
        closing.callback(peer.close)
        yield trips, ours, peers_trips, peer


def counted(trips: RoundTrips, call: Callable[[], None]) -> int:
    """The round trips of a call, on a connection that knows its statements."""
    for _ in range(8):
        call()
    before = trips.count
    call()
    return trips.count - before


def main() -> None:
    """Print the round trips, and the times."""
    with both() as (trips, ours, peers_trips, peer):
        print(f"reserve: {counted(trips, ours.reserve)} round trips")
        print(f"launch: {counted(trips, ours.launch)} round trips")
        print(f"settle_run: {counted(trips, ours.settle)} round trips")
        candidates = [Candidate("ledger, reserve", ours.reserve, ours.check)]
        if peer is not None and peers_trips is not None:
            print(f"hf-nostro, debit: {counted(peers_trips, peer.move)} round trips")
            candidates.append(Candidate("hf-nostro, debit", peer.move, lambda _: peer.check()))
        candidates.append(Candidate("ledger, launch", ours.launch, ours.check))
        print(report(compare(candidates)))
        ours.check()


if __name__ == "__main__":
    main()
