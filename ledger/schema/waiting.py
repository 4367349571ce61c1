"""How long an upgrade waits: for tables that others use, and for another process that upgrades.

On PostgreSQL a change of a table waits until no transaction uses the table, and everybody who comes after waits behind
it. So an upgrade gives up soon. To wait for another upgrade stops nobody, and takes as long as that upgrade does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.exc import DBAPIError

from ledger.errors import CommandInvalid, UpgradeBlocked
from ledger.model.checks import check_duration
from ledger.schema.databases import capabilities_of
from ledger.schema.distributed import has_distribution
from ledger.schema.tables import metadata

LOCK_TIMEOUT = timedelta(seconds=5)
"""How long an upgrade waits for each lock on a table of PostgreSQL, unless it is told otherwise."""

TURN_TIMEOUT = timedelta(minutes=10)
"""How long an upgrade waits for another process that upgrades a PostgreSQL database."""

UPGRADE_LOCK = 0x6C6564676572
"""The advisory lock of an upgrade. No other lock is likely to have this number: the bytes of "ledger"."""

_MILLISECOND = timedelta(milliseconds=1)
_LOCK_TIMEOUT_MAX = timedelta(days=24)
_LOCK_NOT_AVAILABLE = "55P03"


def check_lock_timeout(lock_timeout: object) -> timedelta | None:
    """A time-out from a millisecond to 24 days, or None where none is given. Raises `CommandInvalid`."""
    check_duration(lock_timeout, "lock_timeout")
    if not isinstance(lock_timeout, timedelta):
        return None
    if not _MILLISECOND <= lock_timeout <= _LOCK_TIMEOUT_MAX:
        raise CommandInvalid("lock_timeout", f"is {lock_timeout}; give a millisecond to {_LOCK_TIMEOUT_MAX.days} days.")
    return lock_timeout


def milliseconds(duration: timedelta) -> int:
    """Whole milliseconds of a duration, as databases take them."""
    return duration // _MILLISECOND


@contextmanager
def tables_within(connection: Connection, timeout: timedelta | None) -> Iterator[None]:
    """Wait for each table of PostgreSQL at most so long in a `with` block. Raises `UpgradeBlocked`, with the table.

    Where nothing is said, a `lock_timeout` that the connection has holds, else `LOCK_TIMEOUT`.
    """
    before = _read(connection, "lock_timeout")
    kept = before if timeout is None and before != "0" else _setting(timeout or LOCK_TIMEOUT)

    def blocked(error: DBAPIError) -> UpgradeBlocked:
        table, holders = _find_holders(connection, error.statement or "", kept)
        of = f"the table {table}" if table else "a lock"
        used = f", which {_processes(holders)}" if holders else ""
        return UpgradeBlocked(f"The upgrade waited {kept} for {of}{used}", table, holders)

    with _bounded(connection, kept, blocked):
        yield


def wait_for_turn(connection: Connection) -> None:
    """Wait until no other process upgrades a PostgreSQL database; held to the end of the transaction.

    Raises `UpgradeBlocked` after `TURN_TIMEOUT`.
    """

    def blocked(_: DBAPIError) -> UpgradeBlocked:
        holders = connection.execute(_TURN_HOLDERS, {"lock": UPGRADE_LOCK}).scalars().all()
        return UpgradeBlocked(f"The upgrade waited {TURN_TIMEOUT} for another process that upgrades", None, holders)

    with _bounded(connection, _setting(TURN_TIMEOUT), blocked):
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": UPGRADE_LOCK})


@contextmanager
def _bounded(connection: Connection, timeout: str, problem: Callable[[DBAPIError], UpgradeBlocked]) -> Iterator[None]:
    """Bound every wait for a lock of PostgreSQL in a `with` block; afterwards the setting is as it was.

    The block is a savepoint: where it gives up, nothing of it is left, and the transaction can go on.
    """
    settings = {"lock_timeout": timeout}
    if has_distribution(connection):
        # Before the time-out, which Citus then sets on the other servers too: they have locks of their own.
        settings = {"citus.propagate_set_commands": "local"} | settings
    try:
        with connection.begin_nested():
            before = {name: _read(connection, name) for name in settings}
            for name, value in settings.items():
                _set(connection, name, value)
            yield
            for name, value in reversed(before.items()):
                _set(connection, name, value)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise problem(error) from error


def _read(connection: Connection, name: str) -> str:
    found: str = connection.execute(text("SELECT current_setting(:name)"), {"name": name}).scalar_one()
    return found


def _set(connection: Connection, name: str, value: str) -> None:
    """Set for the transaction. By the statement: Citus hands on no setting that a function makes."""
    connection.execute(text(f"SET LOCAL {name} = '{value}'"))


def _setting(timeout: timedelta) -> str:
    return f"{milliseconds(timeout)}ms"


@contextmanager
def file_within(connection: Connection, timeout: timedelta | None) -> Iterator[None]:
    """Wait for a SQLite file at most so long in a `with` block; as long as the engine does where nothing is said.

    Afterwards the connection waits as before. Raises `UpgradeBlocked`.
    """
    if capabilities_of(connection).takes_advisory_locks:
        yield
        return
    before = _busy_timeout(connection)
    try:
        if timeout is not None:
            _busy_timeout(connection, milliseconds(timeout))
        yield
    except DBAPIError as error:
        if not str(getattr(error.orig, "sqlite_errorname", "")).startswith("SQLITE_BUSY"):
            raise
        waited = before if timeout is None else milliseconds(timeout)
        problem = f"The upgrade waited {waited}ms for the database's file, which another process uses"
        raise UpgradeBlocked(problem) from error
    finally:
        if timeout is not None and not connection.invalidated:
            _busy_timeout(connection, before)


def _busy_timeout(connection: Connection, value: int | None = None) -> int:
    """Milliseconds that SQLite waits, after setting them. Past SQLAlchemy, which would begin a transaction."""
    cursor = connection.connection.cursor()
    try:
        cursor.execute("PRAGMA busy_timeout" if value is None else f"PRAGMA busy_timeout = {value}")
        row: Any = cursor.fetchone()
        return int(row[0])
    finally:
        cursor.close()


# Whoever holds a table of the ledger's since before the wait, the longest transaction first. Those who came later were
# queued behind the upgrade, and hold the table now. When a transaction began is hidden from other roles.
_TABLE_HOLDERS = text(
    "SELECT c.relname, l.pid FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
    " LEFT JOIN pg_stat_activity a ON a.pid = l.pid"
    " WHERE l.locktype = 'relation' AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()"
    " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND c.relname IN :tables AND pg_table_is_visible(c.oid)"
    " AND coalesce(a.xact_start <= clock_timestamp() - CAST(CAST(:waited AS text) AS interval), true)"
    " ORDER BY a.xact_start, l.pid"
).bindparams(bindparam("tables", expanding=True))
_TURN_HOLDERS = text(
    "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND (CAST(classid AS bigint) << 32 | CAST(objid AS bigint)) = :lock AND pid <> pg_backend_pid()"
)


def _find_holders(connection: Connection, statement: str, waited: str) -> tuple[str | None, tuple[int, ...]]:
    """The table that a statement waited for, as far as that can be seen afterwards, and who holds it."""
    named = sorted((table for table in metadata.tables if table in statement), key=statement.index)
    found = connection.execute(_TABLE_HOLDERS, {"tables": sorted(metadata.tables), "waited": waited}).all()
    held = [table for table, _ in found]
    table = next((table for table in (*named, *held) if table in held), named[0] if named else None)
    return table, tuple(dict.fromkeys(pid for name, pid in found if name == table and pid is not None))


def _processes(holders: Sequence[int]) -> str:
    if len(holders) == 1:
        return f"process {holders[0]} uses"
    return f"processes {', '.join(map(str, holders))} use"
