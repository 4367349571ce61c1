"""Launched runs are handed to the host's pipeline by the service itself: at least once, and one hold each."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

import ledger
from ledger.fastapi import delivery
from tests.ledger.fastapi.conftest import Service, fill, host, keyed

_PATIENCE_SECONDS = 30


class Pipeline:
    """A pipeline that refuses its first starts, and tells when it has one."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.started: list[str] = []
        self.has_one = threading.Event()

    def __call__(self, run: ledger.RunStart) -> None:
        if self.refusals:
            self.refusals -= 1
            raise ConnectionError("the pipeline is away")
        self.started.append(run.run_id)
        self.has_one.set()


def test_a_run_is_started_after_its_commit_and_a_replay_starts_nothing(engine: Engine) -> None:
    fill(engine)
    pipeline = Pipeline()
    # Nothing is looked for meanwhile: what wakes the delivery is the launch.
    app = host(engine, start=pipeline, delivery_interval=timedelta(hours=1))
    with TestClient(app) as client:
        service = Service(client, engine, app)
        run_id = service.post(keyed("k")).json()["run_id"]
        assert pipeline.has_one.wait(_PATIENCE_SECONDS)
        assert service.post(keyed("k")).json()["run_id"] == run_id
        service.post({"estimate": True})
    assert pipeline.started == [run_id]


def make_due_what_failed(engine: Engine) -> None:
    """Wait until a start has failed, and let the ten seconds that it pauses be over."""
    due = text("UPDATE ledger_outbox SET next_attempt_at = created_at WHERE attempts = 1 AND state = 'waiting'")
    for _ in range(_PATIENCE_SECONDS * 100):
        with engine.begin() as connection:
            if connection.execute(due).rowcount:
                return
        time.sleep(0.01)
    raise TimeoutError("no start has failed")


def test_what_another_process_left_and_what_failed_is_started_by_the_next_one(engine: Engine) -> None:
    """A process that dies between its commit and the delivery is one that never delivers."""
    fill(engine)
    app = host(engine)
    with TestClient(app) as client:
        run_id = Service(client, engine, app).post(keyed("k")).json()["run_id"]
    pipeline = Pipeline(refusals=1)
    app = host(engine, start=pipeline, delivery_interval=timedelta(milliseconds=50))
    with TestClient(app):
        make_due_what_failed(engine)
        assert pipeline.has_one.wait(_PATIENCE_SECONDS)
    assert pipeline.started == [run_id]
    with TestClient(host(engine, start=pipeline)):
        pass
    assert pipeline.started == [run_id]


def test_a_defect_of_the_delivery_ends_neither_the_application_nor_later_deliveries(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(engine)
    pipeline, deliver, failures = Pipeline(), delivery.deliver_outbox, iter([True])

    def deliver_later(*arguments: Any, **options: Any) -> Any:
        if next(failures, False):
            raise KeyError("what nobody foresaw")
        return deliver(*arguments, **options)

    monkeypatch.setattr(delivery, "deliver_outbox", deliver_later)
    app = host(engine, start=pipeline, delivery_interval=timedelta(milliseconds=50))
    with TestClient(app) as client:
        run_id = Service(client, engine, app).post().json()["run_id"]
        assert pipeline.has_one.wait(_PATIENCE_SECONDS)
    assert pipeline.started == [run_id]


@pytest.mark.parametrize("make_engine", [ledger.create_engine, create_async_engine])
def test_requests_are_answered_while_a_start_takes_its_time(postgresql_url: str, make_engine: Any) -> None:
    engine = ledger.create_engine(postgresql_url)
    fill(engine)
    has_begun, may_end = threading.Event(), threading.Event()

    def start(_run: ledger.RunStart) -> None:
        has_begun.set()
        assert may_end.wait(_PATIENCE_SECONDS)

    app = host(make_engine(postgresql_url, poolclass=NullPool), start=start)
    with TestClient(app) as client:
        service = Service(client, engine, app)
        service.post(keyed("k"))
        assert has_begun.wait(_PATIENCE_SECONDS)
        assert service.get("balance").json()["held"] > 0
        may_end.set()
    with Session(engine) as session:
        assert ledger.list_outbox(session) == []
    engine.dispose()


def test_starts_need_an_engine_and_the_outbox(engine: Engine) -> None:
    with pytest.raises(ValueError, match="start needs an Engine"):
        host(lambda: None, start=Pipeline())
    with pytest.raises(ValueError, match="start needs the outbox"):
        host(engine, start=Pipeline(), outbox=False)
    with pytest.raises(ValueError, match="database is str"):
        host("sqlite://")
