"""A gate that stops a batch at its commit, and what the tests of the batcher do before it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

import ledger
from ledger import Batcher
from ledger import Reserve as Hold

PATIENCE_SECONDS = 20


class Gate:
    """Stops a batch at its commit until opened, and counts the commits."""

    def __init__(self, engine: Engine) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()
        self.commits = 0
        event.listen(engine, "commit", self._pass)

    def _pass(self, _connection: Any) -> None:
        self.commits += 1
        self.reached.set()
        assert self._open.wait(PATIENCE_SECONDS)

    def open(self) -> None:
        """Let this batch, and all later ones, commit."""
        self._open.set()


@contextmanager
def behind(gate: Gate, engine: Engine, **bounds: int) -> Iterator[Batcher]:
    """A batcher whose gate is open by the time it is closed, whatever a test finds, or closing would wait for ever."""
    with Batcher(engine, **bounds) as batcher:
        try:
            yield batcher
        finally:
            gate.open()


def until(condition: Callable[[], bool]) -> None:
    """Poll until something is so. Fails when it takes too long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def occupy(batcher: Batcher, gate: Gate, pool: ThreadPoolExecutor) -> Future[Any]:
    """Have the worker take one command and stand before its commit."""
    first = pool.submit(batcher.execute, Hold("acme", 1, "first"))
    assert gate.reached.wait(PATIENCE_SECONDS)
    return first


def enqueue(batcher: Batcher, pool: ThreadPoolExecutor, *commands: ledger.Command) -> list[Future[Any]]:
    """Queue commands in this order, each from a thread of its own."""
    futures = []
    for command in commands:
        already = batcher.waiting
        futures.append(pool.submit(batcher.execute, command, PATIENCE_SECONDS))
        until(lambda already=already: batcher.waiting > already)  # type: ignore[misc]
    return futures


def book(engine: Engine) -> dict[str, int]:
    """How often each key stands in a book that proves itself."""
    with Session(engine) as session:
        ledger.require_clean(session)
        rows = session.execute(text("SELECT key, count(*) FROM ledger_entry WHERE key IS NOT NULL GROUP BY key")).all()
    return {row[0]: row[1] for row in rows}


def replayed(result: ledger.Result) -> bool:
    """Whether a reservation was answered as a replay."""
    assert isinstance(result, ledger.Reservation)
    return result.replayed


def notes(error: BaseException) -> str:
    """What was noted on an error."""
    return " ".join(getattr(error, "__notes__", []))
