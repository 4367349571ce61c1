"""`credits serve`: a server that a newcomer points the client at, and a supervisor starts, asks and stops."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

import ledger
from ledger.cli.serve import _bind
from tests.command_line import Credits
from tests.processes.serving import Served, served, write_datasets

pytestmark = pytest.mark.external
"""Takes long; run by .ci/run."""


@pytest.fixture
def datasets(tmp_path: Path) -> Path:
    return write_datasets(tmp_path / "datasets")


def ask(
    server: Served, path: str, body: Any = None, token: str = "secret", method: str | None = None
) -> tuple[int, Any]:
    """The status and the JSON that a path answers."""
    content = None if body is None else json.dumps(body).encode()
    request = Request(server.url + path, content, {"Authorization": f"Bearer {token}"}, method=method)
    try:
        with urlopen(request, timeout=60) as answer:
            return answer.status, None if method == "HEAD" else json.load(answer)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_a_supervisor_asks_for_health_and_readiness_and_stops_it(database_url: str, datasets: Path) -> None:
    with served(database_url, datasets, "--grant", "acme=10") as server:
        assert ask(server, "/health") == (200, {"status": "ok"})
        assert ask(server, "/ready") == (200, {"status": "ready"})
        assert ask(server, "/api/v1/balance")[1]["available"] == 10
        assert ask(server, "/nothing")[1]["code"] == "no_such_route"
        for method in ("GET", "PUT", "OPTIONS"):
            status, body = ask(server, "/api/v1/datasets/d1/run", method=method)
            assert (status, body["statusCode"], body["error"]) == (405, 405, "Method Not Allowed")
        assert ask(server, "/api/v1/datasets/d1/run/", {"estimate": True})[0] == 404
        for path in ("/health", "/ready"):
            assert ask(server, path, method="HEAD") == (200, None)
        status, logged = server.stop(signal.SIGTERM)
        assert status == 0
    lines = [json.loads(line) for line in logged.splitlines()]
    assert any(line.get("operation") == "balance" and line["account_id"] == "acme" for line in lines)
    assert "secret" not in logged


def test_what_is_granted_at_the_start_is_granted_once_and_no_other_amount_later(
    sqlite_url: str, datasets: Path
) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        with served(sqlite_url, datasets, "--grant", "acme=10") as server:
            assert ask(server, "/api/v1/balance")[1]["available"] == 10
            assert server.stop(number)[0] == 0
    arguments = ("--datasets", str(datasets), "--token", "secret=acme", "--port", "0", "--database-url", sqlite_url)
    sentence = Credits()("serve", *arguments, "--grant", "acme=11", status=3)
    assert "an earlier start granted 'acme' another amount" in sentence


def test_a_request_that_is_open_at_the_signal_is_answered(sqlite_url: str, datasets: Path) -> None:
    with served(sqlite_url, datasets, "--grant", "acme=10") as server:
        address = server.url.removeprefix("http://").split(":")
        body = b'{"estimate": true}'
        with socket.create_connection((address[0], int(address[1])), timeout=60) as connection:
            head = f"POST /api/v1/datasets/d1/run HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
            connection.sendall(f"{head}Authorization: Bearer secret\r\n\r\n".encode() + body[:5])
            # Another request is answered meanwhile, so that the server has surely begun to read the open one.
            assert ask(server, "/health")[0] == 200
            server.process.send_signal(signal.SIGTERM)
            connection.sendall(body[5:])
            assert connection.makefile("rb").readline().split()[1] == b"200"
        assert server.process.wait(60) == 0


def test_every_file_of_the_folder_is_a_dataset_for_every_account(sqlite_url: str, datasets: Path) -> None:
    with served(sqlite_url, datasets, "--grant", "acme=10") as server:
        for name, price in (("d1", 3), ("dear", 600), ("small", 1)):
            for token in ("secret", "other"):
                answer = ask(server, f"/api/v1/datasets/{name}/run", {"estimate": True}, token)
                assert (answer[0], answer[1]["estimatedCreditsConsumed"]) == (200, price)


def test_a_dataset_keeps_its_language_expansion_until_it_is_cleared(sqlite_url: str, datasets: Path) -> None:
    expansion = {"type": "translate", "languages": ["fr", "de"], "sample_rate": 0.5}
    path = "/api/v1/datasets/d1/run"
    run = {"column_mapping": {"prompt": "question"}}
    with served(sqlite_url, datasets, "--grant", "acme=100", "--run-seconds", "0") as server:
        prices = []
        for asked in ({}, {"language_expansion": expansion}, {}, {"language_expansion": None}, {}):
            prices.append(ask(server, path, run | {"estimate": True} | asked)[1]["estimatedCreditsConsumed"])
            while ask(server, path, run | asked)[0] == 409:  # the run before has not ended yet
                pass
        # An estimate keeps nothing, the run after it does.
        assert prices == [3, 6, 6, 3, 3]


def test_the_database_is_as_ready_as_its_tables_are(sqlite_url: str, datasets: Path) -> None:
    with served(sqlite_url, datasets) as server:
        engine = ledger.create_engine(sqlite_url)
        with engine.begin() as connection:
            connection.execute(text("UPDATE ledger_alembic_version SET version_num = '0001'"))
        engine.dispose()
        status, body = ask(server, "/ready")
        assert (status, body["code"]) == (503, "database_unavailable")
        assert ask(server, "/health")[0] == 200


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (("--datasets", "{tmp}/nothing", "--token", "t=a"), 2, "is no folder"),
        (("--datasets", "{tmp}/empty", "--token", "t=a"), 2, "holds no file"),
        (("--datasets", "{tmp}/twice", "--token", "t=a"), 2, "Two files of"),
        (("--datasets", "{tmp}/datasets", "--token", "t"), 2, "Write each as TOKEN=ACCOUNT"),
        (("--datasets", "{tmp}/datasets", "--token", "t=a", "--token", "t=b"), 2, "is given twice"),
        (("--datasets", "{tmp}/datasets", "--token", "t=a", "--grant", "a"), 2, "Write each once, as ACCOUNT=CREDITS"),
        (("--datasets", "{tmp}/datasets", "--token", "t=a", "--grant", "a=x"), 2, "x"),
        (("--datasets", "{tmp}/datasets", "--token", "t=a", "--card", "nothing.toml"), 2, "nothing.toml"),
        (("--datasets", "{tmp}/datasets", "--token", "t =a"), 2, "cannot be sent in a header"),
        (("--datasets", "{tmp}/datasets", "--token", "t\u00f6=a"), 2, "cannot be sent in a header"),
        (("--datasets", "{tmp}/datasets", "--token", "=a"), 2, "Write each as TOKEN=ACCOUNT"),
        (("--datasets", "{tmp}/datasets", "--token", "t="), 2, "Write each as TOKEN=ACCOUNT"),
        (("--datasets", "{tmp}/datasets", "--token", "t=a", "--run-seconds", "nan"), 2, "--run-seconds"),
        (("--datasets", "{tmp}/datasets", "--token", "t=a", "--run-seconds", "1e300"), 2, "number of seconds"),
        (("--datasets", "{tmp}/datasets", "--token", "t=a", "--run-seconds", "-1"), 2, "--run-seconds"),
        (("--datasets", "{tmp}/datasets", "--token", "t=a", "--port", "65536"), 2, "--port"),
        (("--datasets", "{tmp}/datasets", "--token", "t=a", "--host", "a..b"), 4, "Choose another with --host"),
        (("--datasets", "{tmp}/datasets", "--token", "t=a", "--grant", "a=-1"), 2, "-1"),
        (("--datasets", "{tmp}/datasets", "--token", "t=a", "--database-url", "mysql://x/y"), 2, "mysql"),
        (("--datasets", "{tmp}/datasets", "--token", "t=" + "a" * 300), 2, "characters"),
        (("--datasets", "{tmp}/datasets"), 2, "--token"),
        (("--token", "t=a"), 2, "--datasets"),
    ],
)
def test_wrong_options_are_said_in_a_sentence(
    sqlite_url: str, datasets: Path, tmp_path: Path, options: tuple[str, ...], status: int, said: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "twice").mkdir()
    for name in ("d.csv", "d.jsonl"):
        (tmp_path / "twice" / name).write_text("x\n1\n" if name == "d.csv" else '{"x": 1}\n')
    given = [option.replace("{tmp}", str(tmp_path)) for option in options]
    sentence = Credits(sqlite_url)("serve", *given, status=status)
    assert said in sentence
    assert "t=a" not in sentence


def test_a_port_that_is_taken_is_said_to_be(sqlite_url: str, datasets: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        sentence = Credits(sqlite_url)("serve", "--datasets", str(datasets), "--token", "t=a", "--port", port, status=4)
    assert "Choose another with --host or --port" in sentence


def test_answers_are_sent_at_once() -> None:
    """And not when the client has acknowledged the part before, which it does late."""
    with _bind("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_run_succeeds_after_its_seconds_and_the_book_is_clean(sqlite_url: str, datasets: Path) -> None:
    with served(sqlite_url, datasets, "--grant", "acme=10", "--run-seconds", "0") as server:
        assert ask(server, "/api/v1/datasets/d1/run", {"column_mapping": {"prompt": "question"}})[0] == 200
        while ask(server, "/api/v1/datasets/d1/status")[1]["status"] == "running":
            pass
        assert ask(server, "/api/v1/datasets/d1/status")[1]["status"] == "succeeded"
        assert ask(server, "/api/v1/balance")[1]["consumed"] == 3
    engine = ledger.create_engine(sqlite_url)
    with Session(engine) as session:
        ledger.require_clean(session)
    engine.dispose()
