"""An upgrade gives up a table that is in use, says which and by whom, and stops nobody for longer."""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine, text

import ledger
from ledger.schema import waiting
from ledger.schema.revisions import HEAD
from tests.ledger.schema.earlier import described

SHORT = timedelta(milliseconds=300)
COUNT = text("SELECT count(*) FROM ledger_account")
WAITING = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'ledger_account'::regclass")
ON_POSTGRESQL = pytest.mark.parametrize("empty", ["postgresql"], indirect=True)


def wait_until(is_true: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline


def backend_of(connection: Connection) -> int:
    """The number of the server's process."""
    found: int = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    return found


@ON_POSTGRESQL
def test_an_upgrade_behind_a_long_reader_gives_up_and_the_readers_behind_it_go_on(old: Engine) -> None:
    before = described(old)
    with old.connect() as reader, old.connect() as watcher, ThreadPoolExecutor(2) as pool:
        reader.execute(COUNT)
        holder = backend_of(reader)
        upgrading: Future[Any] = pool.submit(ledger.upgrade, old, lock_timeout=SHORT)
        wait_until(lambda: bool(watcher.execute(WAITING).scalar_one()))
        queued: Future[Any] = pool.submit(_count, old)
        with pytest.raises(ledger.UpgradeBlocked) as refused:
            upgrading.result(timeout=20)
        # The reader that the upgrade waited for still holds its table.
        assert queued.result(timeout=20) == 2
    assert (refused.value.table, refused.value.holders[0]) == ("ledger_account", holder)
    assert re.search(rf"waited 300ms for the table ledger_account, which process(es)? {holder}\b", str(refused.value))
    assert ledger.current_revision(old) == "0001"
    assert described(old) == before
    assert ledger.upgrade(old) == HEAD


def _count(engine: Engine) -> int:
    with engine.connect() as connection:
        found: int = connection.execute(COUNT).scalar_one()
        return found


@ON_POSTGRESQL
def test_a_host_that_is_given_the_refusal_goes_on_in_its_transaction(old: Engine) -> None:
    """What the host did before is there, its lock_timeout is its own again, and nothing of the upgrade is left."""
    with old.connect() as reader, old.connect() as host:
        reader.execute(COUNT)
        host.execute(text("SET LOCAL lock_timeout = '7s'"))
        host.execute(text("CREATE TABLE host_table (x int)"))
        with pytest.raises(ledger.UpgradeBlocked):
            ledger.upgrade(host, lock_timeout=SHORT)
        assert host.execute(text("SHOW lock_timeout")).scalar_one() == "7s"
        host.commit()
    assert sa.inspect(old).has_table("host_table")
    assert ledger.current_revision(old) == "0001"


@ON_POSTGRESQL
@pytest.mark.parametrize("given", [None, SHORT])
def test_the_lock_timeout_of_a_host_is_as_before_after_an_upgrade(empty: Engine, given: timedelta | None) -> None:
    with empty.begin() as host:
        host.execute(text("SET LOCAL lock_timeout = '7s'"))
        assert ledger.upgrade(host, lock_timeout=given) == HEAD
        assert host.execute(text("SHOW lock_timeout")).scalar_one() == "7s"


@ON_POSTGRESQL
def test_a_lock_timeout_that_the_connection_has_holds_where_nothing_is_said(old: Engine) -> None:
    with old.connect() as reader, old.connect() as host:
        reader.execute(COUNT)
        host.execute(text("SET lock_timeout = '60ms'"))
        with pytest.raises(ledger.UpgradeBlocked, match="waited 60ms"):
            ledger.upgrade(host)


@ON_POSTGRESQL
def test_an_upgrade_waits_longer_for_another_upgrade_than_for_a_table(empty: Engine) -> None:
    with empty.connect() as first, ThreadPoolExecutor(1) as pool:
        ledger.upgrade(first)
        second: Future[Any] = pool.submit(ledger.upgrade, empty, lock_timeout=timedelta(milliseconds=1))
        queued = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        wait_until(lambda: bool(first.execute(queued).scalar_one()))
        first.commit()
        assert second.result(timeout=20) == HEAD


@ON_POSTGRESQL
def test_an_upgrade_does_not_wait_for_another_for_ever(empty: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "TURN_TIMEOUT", SHORT)
    with empty.connect() as first:
        ledger.upgrade(first)
        holder = backend_of(first)
        with pytest.raises(ledger.UpgradeBlocked, match="for another process that upgrades") as refused:
            ledger.upgrade(empty)
    assert (refused.value.table, refused.value.holders) == (None, (holder,))


@pytest.mark.parametrize("as_connection", [True, False])
def test_an_upgrade_gives_up_a_file_that_is_in_use_and_waits_as_before_afterwards(
    sqlite_url: str, as_connection: bool
) -> None:
    engine = ledger.create_engine(sqlite_url, pool_size=1, max_overflow=0)
    with closing(sqlite3.connect(str(engine.url.database), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with pytest.raises(ledger.UpgradeBlocked, match="waited 50ms for the database's file"):
            _upgrade(engine, as_connection, timedelta(milliseconds=50))
        assert time.monotonic() - began < 10
        assert _patience(engine) == 30_000
        other.execute("ROLLBACK")
        assert _upgrade(engine, as_connection, timedelta(milliseconds=50)) == HEAD
        assert _patience(engine) == 30_000
    engine.dispose()


def _upgrade(engine: Engine, as_connection: bool, lock_timeout: timedelta) -> str:
    if not as_connection:
        return ledger.upgrade(engine, lock_timeout=lock_timeout)
    with engine.connect() as connection:
        return ledger.upgrade(connection, lock_timeout=lock_timeout)


def _patience(engine: Engine) -> int:
    with closing(engine.raw_connection()) as connection:
        cursor = connection.cursor()
        cursor.execute("PRAGMA busy_timeout")
        found: int = cursor.fetchone()[0]  # type: ignore[index]
        return found


def test_upgrades_of_one_file_at_once_take_turns(tmp_path: Any) -> None:
    engine = ledger.create_engine(f"sqlite:///{tmp_path / 'new.sqlite'}")
    ready = threading.Barrier(4)

    def start() -> str:
        ready.wait()
        return ledger.upgrade(engine)

    with ThreadPoolExecutor(4) as pool:
        assert {future.result() for future in [pool.submit(start) for _ in range(4)]} == {HEAD}
    engine.dispose()


@pytest.mark.parametrize("given", [timedelta(0), timedelta(microseconds=1), timedelta(days=25), 5])
def test_a_lock_timeout_that_no_database_can_keep_is_refused(engine: Engine, given: Any) -> None:
    for function in (ledger.upgrade, ledger.upgrade_sql, ledger.distribute):
        with pytest.raises(ledger.CommandInvalid, match="lock_timeout"):
            function(engine, lock_timeout=given)
