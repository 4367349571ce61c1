"""Runs a simulation: clients in processes of their own, faults at random, and an auditor who listens."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import NullPool
from sqlalchemy.orm import Session

import ledger
from tests.processes.together import context
from tests.simulation.auditor import Auditor
from tests.simulation.clients import Acknowledged, run_client
from tests.simulation.plan import Known, Settings, opening
from tests.simulation.worlds import WORLDS, World


@dataclass
class _Client:
    """A client's process, the pipe that it answers on, and what it knew when it last did."""

    process: Any
    receiver: Any
    known: Known = field(default_factory=Known)


@dataclass
class Report:
    """How a simulation went."""

    settings: Settings
    operations: int
    verbs: Counter[str]
    outcomes: Counter[str]
    faults: Counter[str]
    seconds: float
    audit_seconds: float
    problems: list[str]

    def __str__(self) -> str:
        """Figures for a person."""
        counts = {"verbs": self.verbs, "outcomes": self.outcomes, "faults": self.faults}
        rate = f"{self.operations / self.seconds:,.0f} a second"
        lines = [f"seed {self.settings.seed}: {self.operations:,} operations in {self.seconds:,.0f} s ({rate})"]
        lines[0] += f", audit {self.audit_seconds:,.1f} s"
        for name, counter in counts.items():
            lines.append(f"{name}: " + ", ".join(f"{what} {count:,}" for what, count in counter.most_common()))
        lines += self.problems[:20] or ["nothing lost, nothing doubled, audit clean"]
        return "\n".join(lines)


def simulate(
    settings: Settings, database: str, *, faults_every: int = 2_000, say: Callable[[str], None] | None = None
) -> Report:
    """Let the clients work until so many operations are acknowledged, making a fault about every so many of them."""
    with ExitStack() as stack:
        world = stack.enter_context(WORLDS[database]())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        engine = ledger.create_engine(world.auditor_url, poolclass=NullPool)  # the server may die in between
        stack.callback(engine.dispose)
        ledger.upgrade(engine)
        with Session(engine) as session, session.begin():
            results = ledger.execute(session, opening(settings))
        if refused := [result for result in results if isinstance(result, Exception)]:
            raise refused[0]
        simulation = _Simulation(settings, world, faults_every, say or (lambda _line: None), folder)
        stack.callback(simulation.stop)
        began = time.monotonic()
        problem = simulation.work() or simulation.finish()
        seconds, began = time.monotonic() - began, time.monotonic()
        problems = [problem] if problem else simulation.auditor.look(engine)
        auditor = simulation.auditor
        return Report(
            settings,
            auditor.operations,
            auditor.verbs,
            auditor.outcomes,
            simulation.faults,
            seconds,
            time.monotonic() - began,
            problems,
        )


class _Simulation:
    def __init__(
        self, settings: Settings, world: World, faults_every: int, say: Callable[[str], None], folder: Path
    ) -> None:
        self.settings, self.world, self.say = settings, world, say
        self.faults_every = faults_every
        self.random = Random(settings.seed)
        self.auditor = Auditor(settings)
        self.faults: Counter[str] = Counter()
        self.stop_file = folder / "stop"
        self.clients = {number: self._started(number, 0, Known()) for number in range(settings.clients)}

    def _started(self, number: int, first: int, known: Known) -> _Client:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(
            target=run_client,
            args=(self.world.clients_url, self.settings, number, first, known, sender, self.stop_file),
            daemon=True,
        )
        process.start()
        sender.close()
        return _Client(process, receiver, known)

    def work(self) -> str | None:
        """Listen until enough is acknowledged; answers what cannot be."""
        next_fault = next_word = self.faults_every
        while self.auditor.operations < self.settings.operations:
            ready = wait([client.receiver for client in self.clients.values()], timeout=200)
            if not ready:
                return "no client has answered for 200 seconds"
            for number, client in list(self.clients.items()):
                if client.receiver in ready and (problem := self._hear(number, client)):
                    return problem
            if self.auditor.operations >= next_fault:
                next_fault += self.random.randint(1, 2 * self.faults_every)
                self._fault()
            if self.auditor.operations >= next_word:
                next_word += max(50_000, self.faults_every)
                self.say(f"{self.auditor.operations:,} operations, {self.faults.total():,} faults")
        return None

    def _hear(self, number: int, client: _Client) -> str | None:
        try:
            acknowledged: Acknowledged = client.receiver.recv()
        except EOFError:
            return f"client {number} has ended by itself"
        client.known = acknowledged.known
        return self.auditor.take(acknowledged)

    def _fault(self) -> None:
        name = self.random.choice(["client killed", *self.world.faults])
        self.faults[name] += 1
        if name != "client killed":
            self.world.faults[name]()
            return
        number = self.random.randrange(self.settings.clients)
        self._kill(number)
        first = self.auditor.numbers.get(number, 0)
        self.clients[number] = self._started(number, first, self.clients[number].known)

    def _kill(self, number: int) -> None:
        """Kill a client, and hear what it had said before."""
        client = self.clients[number]
        client.process.kill()
        client.process.join()
        try:
            while client.receiver.poll():
                self._hear_last(number, client)
        except (EOFError, OSError):
            pass
        client.receiver.close()
        client.process.close()

    def _hear_last(self, number: int, client: _Client) -> None:
        if problem := self._hear(number, client):
            raise EOFError(problem)

    def finish(self) -> str | None:
        """Let every client come to the end of its batch, so that all that is in the book is acknowledged."""
        self.stop_file.touch()
        waiting = dict(self.clients)
        while waiting:
            if not wait([client.receiver for client in waiting.values()], timeout=200):
                return "a client does not come to an end"
            for number, client in list(waiting.items()):
                if not client.receiver.poll():
                    continue
                try:
                    acknowledged: Acknowledged = client.receiver.recv()
                except EOFError:
                    del waiting[number]
                    continue
                if problem := self.auditor.take(acknowledged):
                    return problem
        return None

    def stop(self) -> None:
        """Kill whoever is left."""
        for number in list(self.clients):
            self._kill(number)
            del self.clients[number]
