"""A database that is held up or away: which answers the client may send its request again after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from starlette.testclient import TestClient

import ledger
from ledger.fastapi import refusals
from tests.ledger.fastapi.conftest import BODY, Mount, fill, host, keyed


@contextmanager
def locked(engine: Engine) -> Iterator[None]:
    """Another transaction has the account: on SQLite the file, whose patience is cut short."""
    with engine.connect() as connection:
        lock = " FOR UPDATE" if engine.dialect.name == "postgresql" else ""
        connection.execute(text(f"SELECT 1 FROM ledger_account WHERE account_id = 'acme'{lock}"))
        yield
        connection.rollback()


def _impatient(engine: Engine) -> None:
    if engine.dialect.name == "sqlite":
        engine.dispose()
        event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout = 100"))


def test_a_held_up_run_with_a_key_may_be_sent_again_and_one_without_waits_for_the_database(mount: Mount) -> None:
    service = mount(statement_seconds=1)
    _impatient(service.engine)
    with locked(service.engine):
        with_key, without = service.post(keyed("k")), service.post(BODY)
    assert (with_key.status_code, with_key.json()["code"]) == (409, "launch_in_flight")
    assert "x-should-retry" not in with_key.headers
    assert (without.status_code, without.json()["code"]) == (503, "database_unavailable")
    assert [answer.headers["Retry-After"] for answer in (with_key, without)] == ["1", "1"]
    assert service.held() == 0
    assert service.post(keyed("k")).status_code == 200


def test_a_database_that_cannot_be_reached_is_unavailable(mount: Mount, monkeypatch: pytest.MonkeyPatch) -> None:
    service = mount()

    def refuse(*_: Any, **__: Any) -> None:
        raise OperationalError("SELECT", {}, _Refused())

    monkeypatch.setattr("ledger.fastapi.transactions.transact", refuse)
    for answer in (service.post(), service.get("balance"), service.get("datasets/d1/status")):
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert "SELECT" not in answer.text


class _Refused(Exception):
    sqlstate = "08006"


def test_a_route_of_the_hosts_own_answers_what_the_ledger_raises_in_the_same_way(mount: Mount) -> None:
    service = mount()

    @service.app.get("/own")
    def own() -> None:
        with Session(service.engine) as session, session.begin():
            ledger.reserve(session, "acme", 101)

    answer = service.client.get("/own")
    assert (answer.status_code, answer.json()["code"], answer.json()["available"]) == (402, "insufficient_credits", 100)


def test_a_defect_of_the_hosts_is_no_refusal() -> None:
    assert refusals.refusal_of(KeyError("x")) is None


def test_what_a_dependency_yields_is_a_session_and_not_what_makes_one(engine: Engine) -> None:
    """A registry of threads would give the route another session than the dependency has opened."""
    fill(engine)
    of_thread = scoped_session(sessionmaker(engine))
    with TestClient(host(lambda: of_thread)) as client:
        answer = client.get("/api/v1/balance", headers={"Authorization": "Bearer token-of-acme"})
    assert (answer.status_code, answer.json()["code"]) == (500, "session_unusable")
    assert "of a scoped_session, what it gives when it is called" in answer.json()["message"]


def test_a_session_of_a_dependency_that_no_verb_could_use_is_named_before_anything_is_sent() -> None:
    with Session() as unbound, TestClient(host(lambda: unbound)) as client:
        answer = client.get("/api/v1/balance", headers={"Authorization": "Bearer token-of-acme"})
    assert (answer.status_code, answer.json()["code"]) == (500, "session_unusable")
    assert "is bound to no database" in answer.json()["message"]
