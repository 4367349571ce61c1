"""The ledger's schema by Alembic, under a version table of its own, so that it lives beside a host's migrations.

Alembic is imported by the functions that use it: most processes that import the library migrate nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, text

from ledger.errors import EngineUnusable, SchemaMismatch
from ledger.schema.databases import capabilities_of, check_blocking, check_dialect
from ledger.schema.revisions import HEAD, VERSION_TABLE, check_revision, read_revision
from ledger.schema.triggers import install_triggers, remove_triggers

# A number that no other advisory lock of the database is likely to use: the bytes of "ledger".
_UPGRADE_LOCK = 0x6C6564676572


def upgrade(bind: Engine | Connection, *, triggers: bool = True) -> str:
    """Create the ledger's tables or bring them up to date; returns the revision that the schema is at.

    With `triggers`, those that refuse changes to entries and transfers are created; without, they are dropped, for an
    engine that refuses triggers on distributed tables.

    Several processes may call it at once, and it may be called when there is nothing to do. Given a connection, it
    joins that connection's transaction and does not commit (async: `await connection.run_sync(ledger.upgrade)`). A
    host's own Alembic revision may call it with `op.get_bind()`. Raises `DatabaseUnsupported`, `SchemaMismatch`.
    """
    if isinstance(bind, Connection):
        check_dialect(bind.dialect)
        return _upgrade(bind, triggers)
    with check_blocking(bind).begin() as connection:
        return _upgrade(connection, triggers)


def _upgrade(connection: Connection, triggers: bool) -> str:
    if capabilities_of(connection).takes_advisory_locks:
        driver = connection.connection.dbapi_connection
        if driver is not None and connection.dialect.detect_autocommit_setting(driver):
            raise EngineUnusable("is in AUTOCOMMIT, where a failed upgrade is half done. Leave it out.")
    take_turn(connection)
    run_revisions(connection)
    (install_triggers if triggers else remove_triggers)(connection)
    return HEAD


def run_revisions(connection: Connection, until: str = HEAD) -> None:
    """Run the revisions up to one that the database lacks, in the connection's transaction.

    Raises `SchemaMismatch` where the database is at a revision that this version does not know.
    """
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    found = read_revision(connection)
    script = ScriptDirectory(str(Path(__file__).parent))
    if found is not None and found not in {revision.revision for revision in script.walk_revisions()}:
        raise SchemaMismatch(found, HEAD)
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    operations = Operations(context)
    for revision in reversed(list(script.iterate_revisions(until, found or "base"))):
        # Operations of its own: Alembic's global ones may belong to a host's run that called `upgrade`.
        module: Any = revision.module
        module.op = operations
        module.upgrade()
        context.stamp(script, revision.revision)


def take_turn(connection: Connection) -> None:
    """Wait until no other process changes the schema; held to the end of the transaction."""
    if capabilities_of(connection).takes_advisory_locks:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _UPGRADE_LOCK})
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
