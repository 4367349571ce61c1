"""The served reference as processes: two beside each other, a signal under load, a database that goes away."""

from __future__ import annotations

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy.orm import Session

import ledger
from tests.processes.serving import Served, served, write_datasets
from tests.proxy import Proxy

pytestmark = pytest.mark.external

_PATIENCE_SECONDS = 60
BEARER = {"Authorization": "Bearer secret"}
RUN = {"column_mapping": {"prompt": "question"}, "job_specification": {"max_rows": 100, "idempotency_key": "k"}}


def send(server: Served, path: str, body: Any = None) -> tuple[int, dict[str, str], Any]:
    """Status, headers and JSON of an answer; raises `OSError` or `HTTPException` where there is none."""
    connection = HTTPConnection(urlsplit(server.url).netloc, timeout=_PATIENCE_SECONDS)
    try:
        connection.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body), BEARER)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), json.load(answer)
    finally:
        connection.close()


def many_datasets(folder: Path, count: int) -> Path:
    """Small datasets `n0`, `n1`, ..., so that as many runs may be active at once."""
    folder.mkdir()
    for number in range(count):
        (folder / f"n{number}.csv").write_text("question,answer\nq,a\n")
    return folder


def in_book(database_url: str) -> tuple[set[str | None], list[ledger.StartStanding]]:
    """The runs that hold credits, and the starts that nobody has got yet, of a book that is clean."""
    engine = ledger.create_engine(database_url)
    with Session(engine) as session:
        ledger.require_clean(session)
        held = {hold.run_id for hold in ledger.list_reservations(session, "acme", state="held", limit=1000)}
        waiting = ledger.list_outbox(session)
    engine.dispose()
    return held, waiting


def test_two_servers_start_at_once_on_one_database_and_answer_as_one(database_url: str, tmp_path: Path) -> None:
    datasets = write_datasets(tmp_path / "datasets")
    with ExitStack() as stack, ThreadPoolExecutor(8) as callers:
        opening = [
            callers.submit(stack.enter_context, served(database_url, datasets, "--grant", "acme=10")) for _ in "ab"
        ]
        servers = [server.result() for server in opening]
        for server in servers:
            assert send(server, "/api/v1/balance")[2]["issued"] == 10
        sent = [callers.submit(send, servers[number % 2], "/api/v1/datasets/d1/run", RUN) for number in range(16)]
        answers = [answer.result() for answer in sent]
        assert {answer[0] for answer in answers} == {200}
        (run_id,) = {answer[2]["run_id"] for answer in answers}
        logs = [server.stop() for server in servers]
    assert [status for status, _ in logs] == [0, 0]
    # Woken by its own launch or looking around, one of the two handed the start over.
    assert sum(json.loads(line)["message"] == "start" for _, log in logs for line in log.splitlines()) >= 1
    assert in_book(database_url) == ({run_id}, [])


def test_a_signal_under_load_loses_no_run_that_was_acknowledged(database_url: str, tmp_path: Path) -> None:
    count = 400
    datasets = many_datasets(tmp_path / "datasets", count)
    numbers, acknowledged, enough = iter(range(count)), set[str](), threading.Event()

    def launch(server: Served) -> None:
        body = {"column_mapping": {"prompt": "question"}}
        for number in numbers:
            try:
                status, _, answer = send(server, f"/api/v1/datasets/n{number}/run", body)
            except (OSError, HTTPException):
                return  # the server is gone
            assert status == 200
            acknowledged.add(answer["run_id"])
            if len(acknowledged) >= 20:
                enough.set()

    with served(database_url, datasets, "--grant", "acme=1000") as server, ThreadPoolExecutor(6) as callers:
        launching = [callers.submit(launch, server) for _ in range(6)]
        assert enough.wait(_PATIENCE_SECONDS)
        status, logged = server.stop()
        for caller in launching:
            caller.result()
    assert status == 0
    assert "Traceback" not in logged
    assert 20 <= len(acknowledged) < count
    held, _ = in_book(database_url)
    # A run whose answer nobody read is held as well; its client would have found it by its key.
    assert acknowledged <= held
    with served(database_url, datasets) as server:
        pass_on(server, database_url)
    assert in_book(database_url) == (held, [])


def pass_on(server: Served, database_url: str) -> None:
    """Return once a server that has only started has handed over what others left."""
    for _ in range(600):
        if not in_book(database_url)[1]:
            return
    raise AssertionError("starts were left waiting")


def test_a_client_that_sends_half_a_body_holds_up_nobody_else(postgresql_url: str, tmp_path: Path) -> None:
    with (
        served(postgresql_url, write_datasets(tmp_path / "datasets"), "--grant", "acme=10") as server,
        ExitStack() as open_,
    ):
        address = urlsplit(server.url)
        for _ in range(40):  # more than there are threads and connections
            hung = open_.enter_context(socket.create_connection((address.hostname, address.port), _PATIENCE_SECONDS))
            hung.sendall(b"POST /api/v1/datasets/d1/run HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\n")
            hung.sendall(b'Content-Length: 100\r\n\r\n{"estimate"')
        assert send(server, "/api/v1/datasets/d1/run", RUN)[0] == 200
        assert send(server, "/ready")[0] == 200


def test_without_its_database_a_server_lives_and_is_not_ready(postgresql_url: str, tmp_path: Path) -> None:
    datasets = write_datasets(tmp_path / "datasets")
    with Proxy.start(postgresql_url) as proxy, served(proxy.url, datasets, "--grant", "acme=10") as server:
        assert send(server, "/ready")[0] == 200
        assert send(server, "/api/v1/datasets/d1/run", RUN)[0] == 200
        proxy.close()
        for path, body in (("/ready", None), ("/api/v1/balance", None), ("/api/v1/datasets/d1/run", RUN)):
            status, headers, answer = send(server, path, body)
            assert (status, headers["retry-after"], answer["code"]) == (503, "1", "database_unavailable")
        assert send(server, "/health")[0] == 200
        status, logged = server.stop()
    assert status == 0
    assert "Traceback" not in logged
