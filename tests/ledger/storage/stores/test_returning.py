"""Connections on which a store began a transaction go back to their pool as the driver made them, whatever happens."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from psycopg.pq import PipelineStatus
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

import ledger
from ledger.errors import InsufficientCredits
from ledger.storage.stores import opening
from ledger.storage.stores.opening import Opening
from ledger.storage.stores.psycopg import PsycopgStore
from ledger.storage.transactions import transact
from tests.ledger.shorthand import fund
from tests.ledger.storage.test_own_sessions import check_as_new, held, reserve, run_sync

pytestmark = pytest.mark.default_driver("of the driver's own objects")


def test_settings_outlast_a_savepoint_that_came_first_and_was_rolled_back(one: Engine) -> None:
    """They are sent before it, and not along with the first verb within it."""

    def work(session: Session) -> str:
        with pytest.raises(InsufficientCredits), session.begin_nested():
            reserve(session, 10**9)
        reserve(session)
        return str(session.execute(text("SELECT current_setting('ledger.account_id', true)")).scalar_one())

    assert run_sync(one, work, account_id="acme") == "acme"
    assert held(one) == 1


def test_an_engine_that_skips_rollbacks_in_autocommit_keeps_its_own_begin(postgresql_url: str) -> None:
    """SQLAlchemy would roll nothing back on a connection that the driver takes for autocommit."""
    engine = ledger.create_engine(postgresql_url, pool_size=1, max_overflow=0, skip_autocommit_rollback=True)
    fund(engine)

    def refused(session: Session) -> None:
        reserve(session)
        raise KeyError

    for _ in range(2):
        with pytest.raises(KeyError):
            run_sync(engine, refused)
    assert held(engine) == 0
    assert run_sync(engine, reserve).amount == 1
    engine.dispose()


def test_a_connection_that_cannot_be_given_back_is_thrown_away(one: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not lost to its pool, and whoever comes next gets a new one."""
    seen: list[Any] = []

    def work(session: Session) -> None:
        reserve(session)
        driver: Any = session.connection().connection.driver_connection
        seen.append(driver)
        monkeypatch.setattr(type(driver), "rollback", lambda _: None)
        raise KeyError

    with pytest.raises(KeyError):
        ledger.run_transaction(one, work)
    monkeypatch.undo()
    assert seen[0].closed
    assert held(one) == 0
    with one.connect() as connection:
        check_as_new(connection.connection)


def test_an_interrupt_at_the_end_of_a_pipeline_leaves_no_connection_in_one(
    one: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = PsycopgStore._send

    def interrupted(store: PsycopgStore, driver: Any, requests: Any) -> Any:
        if any(request.sql.startswith("INSERT") for request in requests):
            driver.pgconn.enter_pipeline_mode()
            raise KeyboardInterrupt
        return send(store, driver, requests)

    monkeypatch.setattr(PsycopgStore, "_send", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ledger.run_transaction(one, reserve)
    monkeypatch.undo()
    assert held(one) == 0
    with one.connect() as connection:
        driver: Any = connection.connection.driver_connection
        assert driver.pgconn.pipeline_status == PipelineStatus.OFF
        assert connection.execute(text("SELECT 5")).scalar_one() == 5


def test_of_two_threads_that_begin_at_once_neither_goes_on_before_the_pool_is_listened_to(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is held up while it begins to listen; the second then listens itself."""
    engine = ledger.create_engine(postgresql_url)
    fund(engine)
    is_listening, may_go_on = threading.Event(), threading.Event()
    listen = event.listen

    def slowly(*given: Any, **options: Any) -> None:
        if given[1] == "checkin" and not is_listening.is_set():
            is_listening.set()
            assert may_go_on.wait(10)
        listen(*given, **options)

    monkeypatch.setattr(opening.event, "listen", slowly)
    engine.dispose()
    first = threading.Thread(target=ledger.run_transaction, args=(engine, reserve))
    first.start()
    assert is_listening.wait(10)
    ledger.run_transaction(engine, lambda session: ledger.list_accounts(session))
    with engine.connect() as connection:
        check_as_new(connection.connection)
    may_go_on.set()
    first.join()
    engine.dispose()


def test_a_detached_connection_of_the_hosts_is_one_like_any_other(one: Engine) -> None:
    with Session(one) as session, session.begin():
        session.connection().detach()
        assert reserve(session).amount == 1
    assert held(one) == 1


def test_a_writing_verb_among_readings_that_are_each_alone_has_a_transaction(one: Engine) -> None:
    """Its lock and its writes belong together, and go with what the work does besides."""

    def work(session: Session) -> None:
        ledger.get_balance(session, "acme")
        reserve(session)
        raise OperationalError("SELECT", {}, Exception())

    with pytest.raises(OperationalError):
        transact(one, work, Opening(is_each_alone=True), attempts=1, keyed=False)
    assert held(one) == 0
