"""A PostgreSQL server and a standby that takes its place: both real, from the programs that `tests.postgres` finds."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import URL

from tests.postgres import PostgresServer, connect

_PATIENCE_SECONDS = 60
_NAME = "standby"


@dataclass(frozen=True, slots=True)
class Pair:
    """A primary, and a standby that has every commit before the primary acknowledges it.

    A commit is acknowledged when the standby has applied it (`synchronous_commit = remote_apply`), so that a reading of
    the standby sees it.
    """

    primary: PostgresServer
    standby: PostgresServer

    @classmethod
    @contextmanager
    def start(cls) -> Iterator[Pair]:
        """Two new servers, stopped and removed at the end."""
        with PostgresServer.start() as primary:
            # Inside the primary's folder, which the user that the servers run as may write to.
            standby = PostgresServer(primary.programs, primary.way, primary.folder / _NAME, primary.durable)
            source = f"host={primary.folder} user=postgres application_name={_NAME}"
            options = ["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]
            copied = primary.command("pg_basebackup", "-D", str(standby.folder / "data"), "-d", source, *options)
            subprocess.run(copied, check=True, capture_output=True, timeout=_PATIENCE_SECONDS)
            standby.launch()
            try:
                pair = cls(primary, standby)
                _set(primary, "synchronous_commit", "remote_apply")
                pair.wait_for_standby(is_awaited=True)
                yield pair
            finally:
                standby.stop()

    def url(self, name: str) -> str:
        """The URL of a database on whichever of the two accepts writes."""
        hosts = f"{self.primary.folder},{self.standby.folder}"
        query = {"host": hosts, "target_session_attrs": "read-write"}
        return URL.create("postgresql+psycopg", "postgres", database=name, query=query).render_as_string()

    def wait_for_standby(self, *, is_awaited: bool) -> None:
        """Let the primary's commits wait for the standby, or not, from now on."""
        _set(self.primary, "synchronous_standby_names", _NAME if is_awaited else "")
        states = ["sync"] if is_awaited else ["async"]
        wait_until(lambda: _column(self.primary, "SELECT sync_state FROM pg_stat_replication") == states)

    def cut_off(self) -> None:
        """Let nothing more come from the primary to the standby."""
        _set(self.standby, "primary_conninfo", "")
        wait_until(lambda: _column(self.primary, "SELECT pid FROM pg_stat_replication") == [])

    def hold_back(self) -> None:
        """Let the standby take what the primary sends, but not apply it."""
        _column(self.standby, "SELECT pg_wal_replay_pause()")
        wait_until(lambda: _column(self.standby, "SELECT pg_get_wal_replay_pause_state()") == ["paused"])

    def let_go_on(self) -> None:
        """Let the standby apply what it was held back from."""
        _column(self.standby, "SELECT pg_wal_replay_resume()")

    def waiting_commits(self) -> list[int]:
        """The server processes of the primary that wait for the standby at a commit."""
        return _column(self.primary, "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'")

    def cancel_waiting(self) -> None:
        """Cancel the waits for the standby, as an administrator may, and wait until they have ended."""
        waiting = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        begun = "SELECT pid || ' ' || xact_start"
        cancelled = set(_column(self.primary, f"{begun} {waiting}"))
        _column(self.primary, f"SELECT pg_cancel_backend(pid) {waiting}")
        wait_until(lambda: not cancelled.intersection(_column(self.primary, f"{begun} {waiting}")))

    def turned_away(self, name: str) -> int:
        """How many clients of a database have found that the standby only reads: their connections have ended."""
        (count,) = _column(self.standby, f"SELECT sessions FROM pg_stat_database WHERE datname = '{name}'")
        return int(count)

    def promote(self) -> None:
        """Make the standby a primary, which it is when this returns."""
        assert _column(self.standby, f"SELECT pg_promote(true, {_PATIENCE_SECONDS})") == [True]


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for a condition. Raises `TimeoutError` when it does not come."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError("what was waited for did not come")
        time.sleep(0.005)


def _set(server: PostgresServer, setting: str, value: str) -> None:
    """Change a setting of a running server."""
    with connect(server.databases.url("postgres")) as connection:
        connection.execute(f"ALTER SYSTEM SET {setting} = '{value}'".encode())
        connection.execute("SELECT pg_reload_conf()")


def _column(server: PostgresServer, query: str) -> list[Any]:
    """The first column of a query's rows."""
    with connect(server.databases.url("postgres")) as connection:
        return [row[0] for row in connection.execute(query.encode()).fetchall()]
