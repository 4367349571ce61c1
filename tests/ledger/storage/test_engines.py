"""Engines that are safe for the ledger: their settings on SQLite, and the overspending these prevent."""

from __future__ import annotations

import sqlite3
import threading

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

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
