"""A client of a simulation: a process that repeats each batch until it is acknowledged, whatever happens."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

import ledger
from tests.simulation.plan import Known, Settings, batch

PATIENCE_SECONDS = 180
DEADLOCK_EVERY = 40


@dataclass(frozen=True)
class Answered:
    """What one command was acknowledged as: its scope and key, its verb, the outcome, and what it consumed (micro)."""

    account_id: str
    scope: str
    key: str | None
    verb: str
    outcome: str
    consumed: int = 0

    @property
    def is_accepted(self) -> bool:
        """True when the ledger carried it out."""
        return self.outcome in ("new", "replay")


@dataclass(frozen=True)
class Acknowledged:
    """One committed batch, and what the client knows after it."""

    client: int
    number: int
    answers: list[Answered]
    known: Known


def run_client(url: str, settings: Settings, client: int, first: int, known: Known, sender: Any, stop: Path) -> None:
    """Commit batch after batch, from the first on, telling each once it is committed.

    Ends when it is killed, or between two batches once the file `stop` is there.
    """
    engine = ledger.create_engine(url, pool_size=1, max_overflow=0)
    number = first
    while True:
        commands = batch(settings, client, number, known)
        results = _commit(engine, settings, client, number, commands)
        known = known.with_answers(results)
        answers = [_answered(command, result) for command, result in zip(commands, results, strict=True)]
        sender.send(Acknowledged(client, number, answers, known))
        number += 1
        # Not before: the one it takes the place of may have committed the first batch and not said so.
        if stop.exists():
            break
    engine.dispose()


def _commit(engine: Engine, settings: Settings, client: int, number: int, commands: list[ledger.Command]) -> list[Any]:
    """Repeat a batch, unchanged, until it is committed."""
    deadline = time.monotonic() + PATIENCE_SECONDS

    def work(session: Session) -> list[Any]:
        if number % DEADLOCK_EVERY or len(commands) < 4:
            return list(ledger.execute(session, commands))
        # Two halves in one transaction lock accounts in no common order: a deadlock, now and then.
        middle = len(commands) // 2
        return [*ledger.execute(session, commands[:middle]), *ledger.execute(session, commands[middle:])]

    while True:
        try:
            return ledger.run_transaction(engine, work, keyed=True, attempts=8)
        except (DBAPIError, ledger.CommitUnknown):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _answered(command: ledger.Command, result: Any) -> Answered:
    verb, key = type(command).__name__, getattr(command, "key", None)
    scope = ledger.commands.key_scope(command)
    if isinstance(result, Exception):
        return Answered(command.account_id, scope, key, verb, type(result).__name__)
    outcome = "replay" if getattr(result, "replayed", False) else "new"
    return Answered(command.account_id, scope, key, verb, outcome, _consumed(command, result))


def _consumed(command: ledger.Command, result: Any) -> int:
    """Micro-credits that an accepted command consumed, or gave back."""
    amount = 0
    if isinstance(command, ledger.Capture):
        amount = result.applied
    elif isinstance(command, ledger.Refund):
        amount = -result.applied
    elif isinstance(command, ledger.SettleRun):
        amount = result.captured
    elif isinstance(command, ledger.Adjust) and result.amount < 0:
        amount = -result.amount
    return int(amount * 10**6)
