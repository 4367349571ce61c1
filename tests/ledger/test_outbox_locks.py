"""What a delivery locks while a handler runs: on PostgreSQL the starts in hand, on SQLite the file's write lock."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import ledger
from estimator import RunOutcome
from tests.drivers import create_engine
from tests.ledger.conftest import later
from tests.ledger.test_outbox import ONE_ROW, deliver, fund, launch_many
from tests.ledger.test_runs import launch, settle

_PATIENCE_SECONDS = 30


@contextmanager
def held_open(engine: Engine, **options: Any) -> Iterator[tuple[list[str], Any]]:
    """A deliverer whose handler has a start in hand for as long as the block lasts; what it got, and its report."""
    entered, leave = threading.Event(), threading.Event()
    given: list[str] = []

    def handler(start: ledger.RunStart) -> None:
        given.append(start.start_id)
        entered.set()
        assert leave.wait(_PATIENCE_SECONDS)

    def work() -> ledger.DeliveryReport:
        with Session(engine) as session, session.begin():
            return deliver(session, handler, **options)

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        try:
            assert entered.wait(_PATIENCE_SECONDS)
            yield given, future
        finally:
            leave.set()
        future.result(_PATIENCE_SECONDS)


@pytest.fixture
def many(postgresql_url: str) -> Iterator[tuple[Engine, list[str]]]:
    """Six starts that wait on PostgreSQL."""
    engine = create_engine(postgresql_url, pool_size=10)
    with Session(engine) as session, session.begin():
        fund(session, "acme")
        starts = launch_many(session, 6)
    yield engine, starts
    engine.dispose()


@pytest.mark.default_driver("in threads")
def test_while_a_handler_runs_nobody_else_waits_for_anything(many: tuple[Engine, list[str]]) -> None:
    """Neither for the account nor for the run whose start is in hand."""
    engine, _ = many
    with held_open(engine), Session(engine) as session, session.begin():
        session.execute(text("SET LOCAL lock_timeout = '1ms'"))
        launch(session, ONE_ROW, dataset_id="another", at=later(50))
        runs = ledger.list_reservations(session, "acme", at=later(50))
        settle(session, runs[0].run_id, RunOutcome("succeeded", 1, 1), at=later(51))
        ledger.grant_credits(session, "acme", 5, at=later(52))
        assert list(ledger.audit(session)) == []


@pytest.mark.default_driver("in threads")
def test_a_start_that_one_deliverer_has_in_hand_is_passed_over_by_another(many: tuple[Engine, list[str]]) -> None:
    engine, starts = many
    with held_open(engine, limit=1) as (first, _), held_open(engine, limit=1) as (second, _):
        with Session(engine) as session, session.begin():
            session.execute(text("SET LOCAL lock_timeout = '1ms'"))
            third = deliver(session, limit=2).delivered
        assert (first, second, list(third)) == ([starts[0]], [starts[1]], starts[2:4])
    with Session(engine) as session, session.begin():
        assert list(deliver(session).delivered) == starts[4:]


def test_what_a_deliverer_gave_back_is_handed_over_by_the_next(many: tuple[Engine, list[str]]) -> None:
    engine, starts = many
    with Session(engine) as session:
        assert list(deliver(session).delivered) == starts
        session.rollback()
    with Session(engine) as session, session.begin():
        assert list(deliver(session).delivered) == starts


def test_a_delivery_whose_own_connection_is_lost_is_undone_and_told(many: tuple[Engine, list[str]]) -> None:
    engine, starts = many

    def cut_off(start: ledger.RunStart) -> None:
        if start.start_id == starts[1]:
            pid = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
            with engine.connect() as other:
                assert other.execute(
                    text("SELECT pg_terminate_backend(CAST(:pid AS integer), 5000)"), {"pid": pid}
                ).scalar_one()

    with Session(engine) as session:
        with pytest.raises(sa.exc.DBAPIError):
            deliver(session, cut_off)
        session.rollback()
        assert list(deliver(session).delivered) == starts


def test_a_connection_that_a_handler_lost_elsewhere_is_a_failure_of_its_start_alone(
    many: tuple[Engine, list[str]],
) -> None:
    engine, starts = many

    def lose_another(start: ledger.RunStart) -> None:
        if start.start_id == starts[1]:
            raise sa.exc.OperationalError(None, None, Exception("gone"), connection_invalidated=True)

    with Session(engine) as session, session.begin():
        report = deliver(session, lose_another)
    assert (list(report.delivered), list(report.failed)) == ([starts[0], *starts[2:]], [starts[1]])


@pytest.mark.default_driver("in threads")
@pytest.mark.parametrize("is_prepared", [True, False], ids=["prepared", "a host's own"])
def test_on_sqlite_whoever_delivers_holds_the_write_lock(sqlite_url: str, is_prepared: bool) -> None:
    engine = (ledger.create_engine if is_prepared else sa.create_engine)(sqlite_url)
    sa.event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout = 1"))
    with Session(engine) as session, session.begin():
        fund(session, "acme")
        starts = launch_many(session, 2)
    with held_open(engine, limit=1) as (given, _), Session(engine) as session:
        with pytest.raises(sa.exc.OperationalError, match="locked"):
            deliver(session)
        assert given == starts[:1]
    with Session(engine) as session, session.begin():
        assert list(deliver(session).delivered) == starts[1:]
    engine.dispose()
