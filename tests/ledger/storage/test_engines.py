"""Engines that are safe for the ledger: their settings on SQLite, and the overspending these prevent."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session, sessionmaker

import ledger
from ledger.storage import engines
from ledger.storage.engines import BEGINS_IMMEDIATE
from tests.ledger.shorthand import fund


def test_a_sqlite_engine_of_the_hosts_own_that_begins_late_still_cannot_overspend(sqlite_url: str) -> None:
    engine = sa.create_engine(sqlite_url, connect_args={"timeout": 30})
    fund(engine)
    outcomes: list[str] = []

    def work() -> None:
        for _ in range(4):
            try:
                ledger.run_transaction(engine, lambda session: ledger.reserve(session, "acme", 1), attempts=50)
                outcomes.append("held")
            except ledger.InsufficientCredits:
                outcomes.append("refused")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (outcomes.count("held"), outcomes.count("refused")) == (10, 22)
    with Session(engine) as session:
        ledger.require_clean(session)
    engine.dispose()


def test_a_prepared_sqlite_engine_is_durable_patient_and_begins_by_locking(sqlite_url: str) -> None:
    engine = ledger.create_engine(sqlite_url)
    with engine.connect() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
        assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}
        other = sqlite3.connect(make_path(sqlite_url), timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.close()
    engine.dispose()


def make_path(sqlite_url: str) -> str:
    """The file of a SQLite URL."""
    return sqlite_url.removeprefix("sqlite:///")


def test_a_url_without_a_driver_means_psycopg() -> None:
    assert ledger.create_engine("postgresql://host/database").driver == "psycopg"
    assert ledger.create_engine("postgresql+psycopg://host/database").driver == "psycopg"


def test_an_engine_of_the_hosts_own_is_prepared_in_place(sqlite_url: str) -> None:
    engine = sa.create_engine(sqlite_url)
    assert ledger.prepare_engine(engine) is engine
    with engine.connect() as connection:
        assert BEGINS_IMMEDIATE in connection.info
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA cache_size").scalar_one() == -32 * 1024
    engine.dispose()


def test_an_engine_for_postgresql_needs_nothing() -> None:
    """It is answered as it is, without a listener."""
    engine = sa.create_engine("postgresql+psycopg://host/database")
    assert ledger.prepare_engine(engine) is engine
    assert not sa.event.contains(engine, "begin", engines._begin_immediate)
    assert not sa.event.contains(engine, "connect", engines._configure_sqlite)


def test_options_of_an_engine_are_passed_on() -> None:
    engine = ledger.create_engine("sqlite://", echo=False, pool_pre_ping=True)
    assert engine.pool._pre_ping
    assert ledger.create_engine("postgresql+psycopg://host/database", pool_size=3).pool.size() == 3  # type: ignore[attr-defined]
    engine.dispose()


ENTRANCES: dict[str, Callable[[Any], Any]] = {
    "prepare_engine": ledger.prepare_engine,
    "upgrade": ledger.upgrade,
    "current_revision": ledger.current_revision,
    "check_schema": ledger.check_schema,
    "run_transaction": lambda given: ledger.run_transaction(given, ledger.list_accounts),
    "sweep": ledger.sweep,
    "audit_together": lambda given: list(ledger.audit_together(given)),
}


@pytest.mark.parametrize("name", ENTRANCES)
def test_what_is_no_engine_is_refused_with_what_to_give(sqlite_url: str, name: str) -> None:
    """An async engine, a session, a URL, None: before anything is sent."""
    asynchronous = create_async_engine(sqlite_url.replace("sqlite:", "sqlite+aiosqlite:"))
    for given in (asynchronous, Session(), sessionmaker(), sqlite_url, None):
        with pytest.raises(ledger.EngineUnusable, match=r"sync_engine|create_engine"):
            ENTRANCES[name](given)


def test_a_transaction_of_a_connection_is_not_taken_for_one_of_an_engine(engine: Engine) -> None:
    """Its owner commits it, or not; what was answered would not be committed."""
    with engine.connect() as connection:
        for verb in (ledger.sweep, lambda given: ledger.run_transaction(given, ledger.list_accounts)):
            with pytest.raises(ledger.EngineUnusable, match="Connection"):
                verb(connection)


def test_an_async_transaction_asks_for_an_async_engine(engine: Engine) -> None:
    """And says which function is for the others."""
    with pytest.raises(ledger.EngineUnusable, match="run_transaction"):
        asyncio.run(ledger.run_transaction_async(engine, ledger.list_accounts))  # type: ignore[arg-type]


def test_an_upgrade_in_autocommit_is_refused(postgresql_url: str) -> None:
    """A revision that fails would leave half of what it makes."""
    engine = sa.create_engine(ledger.create_engine(postgresql_url).url, isolation_level="AUTOCOMMIT")
    with pytest.raises(ledger.EngineUnusable, match="AUTOCOMMIT"):
        ledger.upgrade(engine)
    engine.dispose()


def test_a_sqlite_engine_whose_host_begins_transactions_is_no_autocommit(sqlite_url: str) -> None:
    """The driver begins none, the host's event does: a rollback undoes what a verb wrote."""
    engine = sa.create_engine(sqlite_url)
    sa.event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    with Session(engine) as session:
        ledger.open_account(session, "acme")
        session.rollback()
        assert ledger.list_accounts(session) == []
    engine.dispose()
