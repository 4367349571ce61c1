"""Clients of a server that fails over: they send commands with keys, one after another, each until it is answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection as pipes
from multiprocessing.synchronize import Event
from typing import Any

from sqlalchemy import Engine

import ledger
from tests.processes.together import context

ACCOUNTS = 8
_ATTEMPTS = 40
_PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Told:
    """A command, the id that it was answered with, and how often before that it ended in `CommitUnknown`."""

    command: ledger.Command
    answer_id: str
    doubts: int


@dataclass
class Spenders:
    """Clients in processes of their own, and what each of them was told until now."""

    told: list[list[Told]]
    _receivers: list[Any]
    _stop: Event

    @classmethod
    @contextmanager
    def start(cls, url: str, count: int) -> Iterator[Spenders]:
        """That many clients of the database, killed at the end where they still run."""
        ends = [context.Pipe(duplex=False) for _ in range(count)]
        stop = context.Event()
        processes = [
            context.Process(target=spend, args=(url, number, sender, stop), daemon=True)
            for number, (_, sender) in enumerate(ends)
        ]
        for process in processes:
            process.start()
        for _, sender in ends:
            sender.close()
        spenders = cls([[] for _ in ends], [receiver for receiver, _ in ends], stop)
        try:
            yield spenders
        finally:
            for process in processes:
                process.kill()
                process.join()
                process.close()
            for receiver in spenders._receivers:
                receiver.close()

    def gather(self, more: int) -> None:
        """Take what the clients are told until each of them was told `more` answers since."""
        wanted = [len(told) + more for told in self.told]
        self._take(lambda: any(len(told) < size for told, size in zip(self.told, wanted, strict=True)))

    def finish(self) -> list[Told]:
        """Let each client end when its hold is settled; answers all that they were told."""
        self._stop.set()
        self._take(lambda: True)
        return [told for client in self.told for told in client]

    def _take(self, is_wanted: Callable[[], bool]) -> None:
        numbers = {receiver: number for number, receiver in enumerate(self._receivers)}
        still_open = list(self._receivers)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while still_open and is_wanted():
            ready = pipes.wait(still_open, max(0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError("clients were told nothing any more")
            for receiver in ready:
                try:
                    said = receiver.recv()
                except EOFError:
                    still_open.remove(receiver)
                    continue
                if not isinstance(said, Told):
                    raise RuntimeError(said)
                self.told[numbers[receiver]].append(said)


def spend(url: str, number: int, sender: Any, stop: Event) -> None:
    """Grant, hold and settle credits until told to stop, telling each answer once it is committed.

    Clients of even numbers say that their work is keyed. The others are told of commits whose fate is not known, and
    send the same command again.
    """
    engine = ledger.create_engine(url, pool_size=1, max_overflow=0)
    is_keyed = number % 2 == 0
    account_id = f"account-{number % ACCOUNTS}"
    turn = 0
    try:
        while not stop.is_set():
            hold_id = ""
            for verb in ("grant", "reserve", "settle"):
                command = _command(verb, account_id, f"{number}/{turn}/{verb}", hold_id, turn)
                told = send(engine, command, is_keyed=is_keyed)
                sender.send(told)
                hold_id = told.answer_id
            turn += 1
    except BaseException as error:  # noqa: BLE001  # the test raises it
        sender.send(f"client {number}: {type(error).__name__}: {error}")
    finally:
        engine.dispose()
        sender.close()


def _command(verb: str, account_id: str, key: str, hold_id: str, turn: int) -> ledger.Command:
    if verb == "grant":
        return ledger.GrantCredits(account_id, 5, key)
    if verb == "reserve":
        return ledger.Reserve(account_id, 3, key)
    return ledger.Capture(hold_id, 2, key) if turn % 2 else ledger.Release(hold_id, key)


def send(engine: Engine, command: ledger.Command, *, is_keyed: bool) -> Told:
    """Send a command until it is answered; after each commit of unknown fate, with the same key again."""
    doubts = 0
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            (result,) = ledger.run_transaction(
                engine, lambda session: ledger.execute(session, [command]), attempts=_ATTEMPTS, keyed=is_keyed
            )
        except ledger.CommitUnknown:
            doubts += 1
            if time.monotonic() > deadline:
                raise
            continue
        if isinstance(result, Exception):
            raise result
        return Told(command, answer_id(result), doubts)


def answer_id(result: Any) -> str:
    """The id of what a command made or settled."""
    return str(result.grant_id if isinstance(result, ledger.Grant) else result.reservation_id)
