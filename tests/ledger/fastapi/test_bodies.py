"""Whatever bytes come as a body: within a limit, before any transaction, and never answered with a defect."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import Engine
from sqlalchemy.orm import Session

import ledger
from ledger.fastapi.bodies import VALUES_MAX
from tests.ledger.fastapi.conftest import BODY, Mount, Service, fill, host

JUNK = {
    "no JSON": b"{",
    "not UTF-8": b'{"estimate": "\xff"}',
    "nested deeply": b"[" * 100_000,
    "no number": b'{"job_specification": {"max_rows": NaN}}',
    "digits without end": b'{"job_specification": {"max_rows": ' + b"9" * 5000 + b"}}",
    "an exponent without end": b'{"job_specification": {"max_rows": 1e999999999}}',
    "a list": b"[]",
    "a text": b'"estimate"',
    "nothing": b"null",
    "half a surrogate pair": b'{"\\ud800": 1}',
    "a name of a NUL": b'{"\\u0000": "\\u0000"}',
    "a mark of its byte order": b'\xef\xbb\xbf{"estimate": true}',
    "UTF-16": '{"estimate": true}'.encode("utf-16"),
    "compressed": gzip.compress(b'{"estimate": true}'),
    "a name twice": b'{"estimate": true, "estimate": false}',
    "a name twice within": b'{"job_specification": {"max_rows": 1, "max_rows": 2}}',
    "nested in a field": b'{"estimate": ' + b"[" * 900 + b"]" * 900 + b"}",
    "very many values": b'{"brand_controls": {"safety_categories": [' + b"1," * 100_000 + b"1]}}",
    "very many values under names": json.dumps({f"a{number}": {"b": [number]} for number in range(2000)}).encode(),
    "very many columns": json.dumps({"column_mapping": {"context": ["anwser"] * 4000}}).encode(),
    "very many names": json.dumps({f"estimat{number}": 1 for number in range(8000)}).encode(),
}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
def test_a_body_that_is_no_request_is_refused_by_its_place(service: Service, junk: bytes) -> None:
    answer = service.post(junk)
    assert answer.status_code == 400
    assert 1 <= len(answer.json()["issues"]) <= 100
    assert all(issue["path"] and issue["message"] for issue in answer.json()["issues"])


def test_a_compressed_body_is_said_to_be(service: Service) -> None:
    headers = {"Authorization": "Bearer token-of-acme", "Content-Encoding": "gzip"}
    answer = service.post(gzip.compress(b'{"estimate": true}'), headers=headers)
    assert (answer.status_code, answer.json()["issues"][0]["path"]) == (400, "body")
    assert "Content-Encoding" in answer.json()["message"]
    assert service.post(b'{"estimate": true}', headers=headers | {"Content-Encoding": "identity"}).status_code == 200


def test_a_body_of_as_many_values_as_may_be_is_read_and_of_one_more_is_not(service: Service) -> None:
    fields = ("estimate", "column_mapping")
    for columns, problem in ((VALUES_MAX - 5, "is not a column"), (VALUES_MAX - 4, "holds more than 4096 values")):
        # Beside the columns: the object and its two fields, the mapping and its list are values too.
        body = dict(zip(fields, (True, {"prompt": "question", "context": ["anwser"] * columns}), strict=True))
        answer = service.post(body)
        assert answer.status_code == 400
        assert problem in answer.json()["issues"][0]["message"]


def test_a_body_that_asks_for_much_is_answered_in_few_words(service: Service) -> None:
    """Each of these once kept a processor for seconds to minutes, and on SQLite the file locked."""
    rate = '{"type": "translate", "languages": ["fr"], "sample_rate": 0.5' + "0" * 200_000 + "1}"
    bodies = [
        ('{"estimate": true, "language_expansion": ' + rate + "}").encode(),
        json.dumps({f"estimat{number}": 1 for number in range(4000)}).encode(),
        json.dumps(BODY | {"column_mapping": {"prompt": "q" * 200_000}}).encode(),
        json.dumps({"column_mapping": {"prompt": "question", "context": [f"anwser{n}" for n in range(4000)]}}).encode(),
    ]
    for body, status in zip(bodies, (200, 400, 400, 400), strict=True):
        answer = service.post(body)
        assert answer.status_code == status
        assert len(answer.content) < 100_000


def test_no_body_asks_for_everything_by_default(service: Service) -> None:
    for nothing in (b"", b"  \n"):
        answer = service.post(nothing)
        assert (answer.status_code, answer.json()["issues"][0]["path"]) == (400, "column_mapping")


def test_the_type_that_a_body_says_it_has_is_not_asked(service: Service) -> None:
    headers = {"Authorization": "Bearer token-of-acme", "Content-Type": "text/plain"}
    assert service.post(b'{"estimate": true}', headers=headers).status_code == 200


def test_a_body_that_is_too_large_is_refused_whether_it_says_so_or_not(mount: Mount) -> None:
    service = mount(body_bytes_max=1000)

    def pieces() -> Iterator[bytes]:
        for _ in range(11):
            yield b" " * 100

    headers = {"Authorization": "Bearer token-of-acme"}
    for content in (b" " * 1001, pieces()):
        answer = service.client.post("/api/v1/datasets/d1/run", content=content, headers=headers)
        assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (413, "body_too_large", "body")
    assert service.post(json.dumps(BODY).encode().ljust(1000)).status_code == 200


SCOPE = {
    "type": "http",
    "asgi": {"version": "3.0"},
    "http_version": "1.1",
    "method": "POST",
    "path": "/api/v1/datasets/d1/run",
    "raw_path": b"/api/v1/datasets/d1/run",
    "query_string": b"",
    "headers": [(b"authorization", b"Bearer token-of-acme")],
}


def test_a_body_that_never_comes_whole_is_not_waited_for(engine: Engine) -> None:
    fill(engine)
    pieces, answers = iter([b'{"estimate"']), []

    async def receive() -> dict[str, Any]:
        piece = next(pieces, None)
        if piece is None:
            await asyncio.sleep(3600)
        return {"type": "http.request", "body": piece, "more_body": True}

    async def send(message: Any) -> None:
        answers.append(message)

    app = host(engine, body_seconds=0.05)
    asyncio.run(asyncio.wait_for(app(SCOPE, receive, send), 30))
    assert answers[0]["status"] == 408
    assert json.loads(answers[1]["body"])["code"] == "body_too_slow"


async def _send_slowly(app: FastAPI, engine: Engine) -> tuple[int, int, list[int]]:
    """Begin a run's body, look at the account meanwhile, then send the rest.

    Answers how many connections were in use meanwhile, what was held meanwhile, and the statuses of both runs.
    """
    body, waiting, go_on = (
        json.dumps(BODY | {"job_specification": {"max_rows": 100}}).encode(),
        asyncio.Event(),
        asyncio.Event(),
    )
    pieces = iter([(body[:10], True), (body[10:], False)])
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        piece, more = next(pieces, (b"", False))
        if not more:
            waiting.set()
            await go_on.wait()
        return {"type": "http.request", "body": piece, "more_body": more}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    slow = asyncio.create_task(app(SCOPE, receive, send))
    await asyncio.wait_for(waiting.wait(), 30)
    in_use = engine.pool.checkedout()  # type: ignore[attr-defined]
    with Session(engine) as session, session.begin():
        held = ledger.reserve(session, "acme", 1).amount
    go_on.set()
    await asyncio.wait_for(slow, 30)
    return in_use, int(held), statuses


@pytest.mark.parametrize("by_session", [False, True], ids=["engine", "session that begins at once"])
def test_a_client_that_sends_slowly_holds_no_connection_and_no_lock(engine: Engine, by_session: bool) -> None:
    fill(engine)

    def begun() -> Iterator[Session]:
        with Session(engine) as session:
            session.connection()
            yield session

    app = host(begun if by_session else engine)
    assert asyncio.run(_send_slowly(app, engine)) == (0, 1, [200])
