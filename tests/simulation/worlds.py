"""The databases that a simulation runs on, and what can be done to each."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.postgres import PostgresServer
from tests.proxy import Cut, Proxy

Fault = Callable[[], None]


@dataclass(frozen=True)
class World:
    """Where clients connect to, where the auditor does, and the faults that can be made."""

    clients_url: str
    auditor_url: str
    faults: dict[str, Fault]


@contextmanager
def postgresql() -> Iterator[World]:
    """A server of its own behind a proxy: connections are cut, and the server is killed and started again."""
    with ExitStack() as stack:
        server = stack.enter_context(PostgresServer.start())
        url = server.databases.create()
        proxy = stack.enter_context(Proxy.start(url))

        def kill() -> None:
            server.kill()
            server.restart()

        faults: dict[str, Fault] = {"server killed": kill}
        for where in Cut:
            faults[f"connection cut {where.value}"] = lambda where=where: proxy.cut(where)  # type: ignore[misc]
        yield World(proxy.url, url, faults)


@contextmanager
def sqlite() -> Iterator[World]:
    """A file that another process locks for a while."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "simulation.sqlite"

        def lock() -> None:
            connection = sqlite3.connect(path, isolation_level=None, timeout=30)
            connection.execute("BEGIN IMMEDIATE")
            time.sleep(0.3)
            connection.execute("ROLLBACK")
            connection.close()

        yield World(f"sqlite:///{path}", f"sqlite:///{path}", {"file locked": lock})


WORLDS = {"sqlite": sqlite, "postgresql": postgresql}
