"""The ledger's schema by Alembic, under a version table of its own, so that it lives beside a host's migrations.

Alembic is imported by the functions that use it: most processes that import the library migrate nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, text

from ledger.errors import SchemaMismatch
from ledger.schema.triggers import install_triggers, remove_triggers

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE = "ledger_alembic_version"

# A number that no other advisory lock of the database is likely to use: the bytes of "ledger".
_UPGRADE_LOCK = 0x6C6564676572


def upgrade(bind: Engine | Connection, *, triggers: bool = True) -> str:
    """Create the ledger's tables or bring them up to date; returns the revision that the schema is at.

    With `triggers`, those that refuse changes to entries and transfers are created; without, they are dropped, for an
    engine that refuses triggers on distributed tables.

    Several processes may call it at once, and it may be called when there is nothing to do. Given a connection, it
    joins that connection's transaction and does not commit (async: `await connection.run_sync(ledger.upgrade)`).
    """
    if isinstance(bind, Connection):
        return _upgrade(bind, triggers)
    with bind.begin() as connection:
        return _upgrade(connection, triggers)


def _upgrade(connection: Connection, triggers: bool) -> str:
    from alembic import command

    take_turn(connection)
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    (install_triggers if triggers else remove_triggers)(connection)
    return head_revision()


def take_turn(connection: Connection) -> None:
    """Wait until no other process changes the schema; held to the end of the transaction."""
    if connection.dialect.name == "postgresql":
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
    from alembic.runtime.migration import MigrationContext

    if isinstance(bind, Engine):
        with bind.connect() as connection:
            return current_revision(connection)
    return MigrationContext.configure(bind, opts={"version_table": VERSION_TABLE}).get_current_revision()


def head_revision() -> str:
    """The revision that this version of the library works with."""
    from alembic.script import ScriptDirectory

    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:  # pragma: no cover - the package ships its revisions
        raise RuntimeError("the package's migrations are missing; install run-credits again")
    return head


def check_schema(bind: Engine | Connection) -> None:
    """Raise `SchemaMismatch` unless the database's schema is the one this version works with."""
    found, expected = current_revision(bind), head_revision()
    if found != expected:
        raise SchemaMismatch(found, expected)


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
