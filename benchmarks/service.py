"""The service over loopback, beside its bare framework answering a constant: `python -m benchmarks.service`.

uvicorn with one worker, in a process of its own; eight callers, each with a connection that it keeps, in this one; a
private PostgreSQL that syncs every commit. Estimates, launches on one account and launches on a hundred, every launch
on a dataset of its own and with a key. The rounds take turns. Every answer is checked as it comes, and the book before
a time is printed.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from sqlalchemy import text
from sqlalchemy.orm import Session

import ledger
from estimator import DatasetProfile, RateCardBook, shipped_card
from ledger.fastapi import create_router
from tests.postgres import PostgresServer

_CALLERS = 8
_EACH = 100
_ROUNDS = 7
_ACCOUNTS = [f"account-{number:03d}" for number in range(100)]
_PATIENCE_SECONDS = 60
_MAPPING = {"column_mapping": {"prompt": "question"}, "recipe_specification": {"recipes": {"deduplication": True}}}
_PROFILE = DatasetProfile(1640, ("question", "answer"))
_CREDITS = 17
_context = multiprocessing.get_context("forkserver")


def serve(url: str | None, pipe: Any) -> None:
    """Serve until killed: the ledger's routes on a database, or a constant without one."""
    app = _bare() if url is None else _ledger(url)
    server = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False)
    listener = server.bind_socket()
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.listen()  # who is told of the port may connect at once
    pipe.send(listener.getsockname()[1])
    uvicorn.Server(server).run(sockets=[listener])


def _bare() -> Any:
    app = FastAPI()
    answer = {"run_id": None, "estimate": True, "estimatedCreditsConsumed": _CREDITS, "estimatedMinutes": 0}

    @app.post("/api/v1/datasets/{dataset_id}/run")
    async def run(dataset_id: str, request: Request) -> dict[str, Any]:
        await request.body()
        return answer

    return app


def _ledger(url: str) -> Any:
    app = FastAPI()
    app.include_router(
        create_router(
            ledger.create_engine(url, pool_size=12),
            accounts={name: name for name in _ACCOUNTS}.get,
            profiles=lambda session, account_id, dataset_id: _PROFILE,
            cards=RateCardBook([shipped_card("observed")]),
        )
    )
    return app


@contextmanager
def _served(url: str | None) -> Iterator[int]:
    """The port of a server in a process of its own."""
    ours, theirs = _context.Pipe()
    process = _context.Process(target=serve, args=(url, theirs), daemon=True)
    process.start()
    try:
        if not ours.poll(_PATIENCE_SECONDS):
            raise SystemExit("the server did not start")
        yield ours.recv()
    finally:
        process.kill()
        process.join()


@dataclass(slots=True)
class Load:
    """One kind of request: who sends the `n`-th, and with what body."""

    port: int
    account: Callable[[int], str]
    body: Callable[[int], dict[str, Any]]
    launches: bool = False
    sent: int = 0
    seconds: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def round(self, counts: bool) -> None:
        """Each caller sends its share, one request after another."""
        taken: list[list[float]] = [[] for _ in range(_CALLERS)]
        start = threading.Barrier(_CALLERS + 1)
        callers = [threading.Thread(target=self._call, args=(n, start, taken[n])) for n in range(_CALLERS)]
        for caller in callers:
            caller.start()
        start.wait(_PATIENCE_SECONDS)
        began = time.perf_counter()
        for caller in callers:
            caller.join()
        elapsed = time.perf_counter() - began
        self.sent += _CALLERS * _EACH
        if any(len(times) != _EACH for times in taken):
            raise SystemExit("wrong result: not every request was answered as it should be")
        if counts:
            self.seconds += [second for times in taken for second in times]
            self.rates.append(_CALLERS * _EACH / elapsed)

    def _call(self, caller: int, start: threading.Barrier, taken: list[float]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE_SECONDS)
        connection.connect()
        # Head and body are two small writes, of which the second would wait for the first one's late acknowledgement.
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        start.wait(_PATIENCE_SECONDS)
        for turn in range(_EACH):
            number = self.sent + caller * _EACH + turn
            content = json.dumps(self.body(number))
            headers = {"Authorization": f"Bearer {self.account(number)}", "Content-Type": "application/json"}
            began = time.perf_counter()
            connection.request("POST", f"/api/v1/datasets/d{number}/run", content, headers)
            answer = connection.getresponse()
            body = json.loads(answer.read())
            if answer.status != 200 or body["estimatedCreditsConsumed"] != _CREDITS or self._is_not_it(body):
                print(f"wrong result: {answer.status} {body}")
                return
            taken.append(time.perf_counter() - began)
        connection.close()

    def _is_not_it(self, body: dict[str, Any]) -> bool:
        return self.launches != (body["run_id"] is not None)


def _account_of(number: int) -> str:
    return _ACCOUNTS[number % len(_ACCOUNTS)]


def _launch_body(kind: str) -> Callable[[int], dict[str, Any]]:
    return lambda number: _MAPPING | {"job_specification": {"idempotency_key": f"{kind}-{number}"}}


def main() -> None:
    """Print milliseconds and requests a second, and how often the bare framework's they are."""
    with PostgresServer.start(durable=True) as server:
        one, many = server.databases.create(), server.databases.create()
        for url in (one, many):
            _fill(url)
        with _served(None) as bare, _served(one) as of_one, _served(many) as of_many:
            loads = {
                "bare framework": Load(bare, lambda _: "x", lambda _: _MAPPING),
                "estimates": Load(of_one, lambda _: _ACCOUNTS[0], lambda _: {"estimate": True}),
                "launches, one account": Load(of_one, lambda _: _ACCOUNTS[0], _launch_body("one"), launches=True),
                "launches, 100 accounts": Load(
                    of_many, lambda n: _ACCOUNTS[n % 100], _launch_body("many"), launches=True
                ),
            }
            for number in range(_ROUNDS + 1):
                for load in loads.values():
                    load.round(counts=number > 0)
        for url, name in ((one, "launches, one account"), (many, "launches, 100 accounts")):
            _check(url, loads[name].sent)
    print(f"{sum(load.sent for load in loads.values()):,} requests answered as they should be; both books are clean")
    print(report(loads))


def _fill(url: str) -> None:
    engine = ledger.create_engine(url)
    ledger.upgrade(engine)
    with Session(engine) as session, session.begin():
        ledger.execute(session, [ledger.OpenAccount(name) for name in _ACCOUNTS])
        ledger.execute(session, [ledger.GrantCredits(name, 10_000_000) for name in _ACCOUNTS])
    engine.dispose()


def _check(url: str, launched: int) -> None:
    """The book proves itself, and has every run that was acknowledged, once."""
    engine = ledger.create_engine(url)
    with Session(engine) as session:
        ledger.require_clean(session)
        found = session.execute(text("SELECT count(*) FROM ledger_reservation WHERE state = 'held'")).scalar_one()
    engine.dispose()
    if found != launched:
        raise SystemExit(f"wrong result: {found} runs hold credits, {launched} were acknowledged")


def report(loads: dict[str, Load]) -> str:
    """An aligned table; `ratio` is the bare framework's rate over this one's, the median over the rounds."""
    lines = [f"{'milliseconds':<24}  {'p50':>7}  {'p95':>7}  {'p99':>7}  {'requests/s':>10}  {'ratio':>6}"]
    bare = loads["bare framework"].rates
    for name, load in loads.items():
        cuts = statistics.quantiles(load.seconds, n=100)
        ratio = statistics.median(base / rate for base, rate in zip(bare, load.rates, strict=True))
        figures = "  ".join(f"{cuts[place] * 1000:>7.2f}" for place in (49, 94, 98))
        lines.append(f"{name:<24}  {figures}  {statistics.median(load.rates):>10,.0f}  {ratio:>6.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
