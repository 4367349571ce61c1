"""The ledger's schema, by Alembic, under a version table of its own, so that it lives beside a host's migrations."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from ledger.errors import SchemaMismatch
from ledger.schema.databases import check_dialect
from ledger.schema.triggers import install_triggers, remove_triggers

VERSION_TABLE = "ledger_alembic_version"

# Any number that no other advisory lock of the database is likely to use: the bytes of "ledger".
_UPGRADE_LOCK = 0x6C6564676572


def upgrade(bind: Engine | Connection, *, triggers: bool = True) -> str:
    """Create the ledger's tables or bring them up to date; answers the revision that the schema is at.

    `triggers` that refuse changes to entries and transfers are put in place, or left out (and taken away) where
    an engine refuses them on distributed tables.

    Safe when several processes call it at once, and when there is nothing to do. Given a connection, it joins that
    connection's transaction and does not commit (async: `await connection.run_sync(ledger.upgrade)`).
    """
    check_dialect(bind.dialect)
    if isinstance(bind, Connection):
        return _upgrade(bind, triggers)
    with bind.begin() as connection:
        return _upgrade(connection, triggers)


def _upgrade(connection: Connection, triggers: bool) -> str:
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
        # The engine of a host that begins late, as the driver does by default.
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def current_revision(bind: Engine | Connection) -> str | None:
    """The revision that the database's ledger schema is at; None without ledger tables."""
    if isinstance(bind, Engine):
        with bind.connect() as connection:
            return current_revision(connection)
    return MigrationContext.configure(bind, opts={"version_table": VERSION_TABLE}).get_current_revision()


def head_revision() -> str:
    """The revision that this version of the library works with."""
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
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
