"""The ledger's schema by Alembic, under a version table of its own, so that it lives beside a host's migrations.

Alembic is imported by the functions that use it: most processes that import the library migrate nothing.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from ledger.errors import EngineUnusable, SchemaMismatch
from ledger.schema.databases import capabilities_of, check_blocking, check_dialect
from ledger.schema.distributed import distributed_tables
from ledger.schema.revisions import HEAD, VERSION_TABLE, check_revision, note_upgrade, read_revision
from ledger.schema.triggers import install_triggers, remove_triggers
from ledger.schema.waiting import check_lock_timeout, file_within, tables_within, wait_for_turn


def upgrade(bind: Engine | Connection, *, triggers: bool | None = None, lock_timeout: timedelta | None = None) -> str:
    """Create the ledger's tables or bring them up to date; returns the revision that the schema is at.

    `triggers` that refuse changes to entries and transfers are created, or dropped with False. Where nothing is said
    they are created, unless the tables are distributed, where they are refused.

    `lock_timeout` is how long to wait for a lock: on PostgreSQL for each table that other transactions use, on SQLite
    for the file. The upgrade then gives up with `UpgradeBlocked` and has changed nothing. The default is what the
    connection has: its `lock_timeout` on PostgreSQL, or 5 seconds where it has none; its `busy_timeout` on SQLite. For
    another process that upgrades a PostgreSQL database, it waits up to 10 minutes.

    Several processes may call it at once, and it may be called when there is nothing to do. Given a connection, it
    joins that connection's transaction and does not commit (async: `await connection.run_sync(ledger.upgrade)`). A
    host's own Alembic revision may call it with `op.get_bind()`; the host's `lock_timeout` is as before afterwards.
    Raises `DatabaseUnsupported`, `SchemaMismatch`, `UpgradeBlocked`, `CommandInvalid`.
    """
    timeout = check_lock_timeout(lock_timeout)
    if isinstance(bind, Connection):
        check_dialect(bind.dialect)
        with file_within(bind, timeout):
            revision = _upgrade(bind, triggers, timeout)
        note_upgrade(bind)
        return revision
    with check_blocking(bind).connect() as connection, file_within(connection, timeout), connection.begin():
        return _upgrade(connection, triggers, timeout)


def _upgrade(connection: Connection, triggers: bool | None, timeout: timedelta | None) -> str:
    take_turn(connection)
    change_triggers = install_triggers if wants_triggers(connection, triggers) else remove_triggers
    if not capabilities_of(connection).takes_advisory_locks:
        run_revisions(connection)
        change_triggers(connection)
        return HEAD
    with tables_within(connection, timeout):
        run_revisions(connection)
        change_triggers(connection)
    return HEAD


def wants_triggers(connection: Connection, triggers: bool | None) -> bool:
    """Whether triggers are to be there, where `triggers` is what the caller says, if anything."""
    return not distributed_tables(connection) if triggers is None else triggers


def run_revisions(connection: Connection, until: str = HEAD) -> None:
    """Run the revisions up to one that the database lacks, in the connection's transaction.

    Raises `SchemaMismatch` where the database is at a revision that this version does not know.
    """
    from alembic.runtime.migration import MigrationContext

    found = read_revision(connection)
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    for revision in revisions_after(found, until):
        run_revision(context, revision)


def revisions_after(found: str | None, until: str = HEAD) -> list[Any]:
    """Alembic's revisions that a database lacks, in their order. Raises `SchemaMismatch` for an unknown one."""
    script = _scripts()
    if found is not None and found not in {revision.revision for revision in script.walk_revisions()}:
        raise SchemaMismatch(found, HEAD)
    return list(reversed(list(script.iterate_revisions(until, found or "base"))))


def run_revision(context: Any, revision: Any) -> None:
    """Run one revision, and write down that it was run. A context of Alembic's may print instead."""
    from alembic.operations import Operations

    # Operations of its own: Alembic's global ones may belong to a host's run that called `upgrade`.
    module: Any = revision.module
    module.op = Operations(context)
    module.upgrade()
    if not context.as_sql:
        context.stamp(_scripts(), revision.revision)


def _scripts() -> Any:
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(Path(__file__).parent))


def take_turn(connection: Connection) -> None:
    """Wait until no other process changes the schema; held to the end of the transaction.

    Raises `EngineUnusable` in AUTOCOMMIT, and `UpgradeBlocked` where another process takes more than 10 minutes.
    """
    if capabilities_of(connection).takes_advisory_locks:
        driver = connection.connection.dbapi_connection
        if driver is not None and connection.dialect.detect_autocommit_setting(driver):
            raise EngineUnusable("is in AUTOCOMMIT, where a failed upgrade is half done. Leave it out.")
        wait_for_turn(connection)
        return
    if not connection.in_transaction():
        connection.begin()
    driver = connection.connection.driver_connection
    if driver is not None and not driver.in_transaction:
        # A host's own engine: by default the driver begins a transaction at the first write only.
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def current_revision(bind: Engine | Connection) -> str | None:
    """The revision that the database's ledger schema is at; None where it has no ledger tables."""
    if isinstance(bind, Connection):
        return read_revision(bind)
    with check_blocking(bind).connect() as connection:
        return read_revision(connection)


def check_schema(bind: Engine | Connection) -> None:
    """Raise `SchemaMismatch` unless the database's schema is the one this version works with."""
    if isinstance(bind, Connection):
        check_revision(bind)
        return
    with check_blocking(bind).connect() as connection:
        check_revision(connection)
