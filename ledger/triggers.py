"""Triggers that refuse any change to what is written once: a second line, which may be left out.

Correctness does not rest on them: the library never changes an entry or a transfer, and the audit finds who did.
Engines that refuse triggers on distributed tables do without.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

APPEND_ONLY = ("ledger_entry", "ledger_transfer")
"""The tables that are only ever added to."""

_CHANGES = ("UPDATE", "DELETE")
_FUNCTION = (
    "CREATE OR REPLACE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    " RAISE EXCEPTION '% is append-only: correct a mistake with a new entry', TG_TABLE_NAME;"
    " END $$"
)
# A trigger that somebody switched off, or left to replicas, refuses nothing here.
_AT_WORK = text(
    "SELECT 1 FROM pg_trigger WHERE tgname = :name AND tgrelid = CAST(:table AS regclass) AND tgenabled IN ('O', 'A')"
)


def install_triggers(connection: Connection) -> None:
    """Put the triggers where they are missing or switched off; nothing is locked where they are all at work."""
    for table in APPEND_ONLY:
        if connection.dialect.name == "postgresql":
            _install_postgresql(connection, table)
        else:
            _install_sqlite(connection, table)


def _install_postgresql(connection: Connection, table: str) -> None:
    name = _name(table)
    if connection.execute(_AT_WORK, {"name": name, "table": table}).first() is not None:
        return
    connection.execute(text(_FUNCTION))
    connection.execute(text(f"DROP TRIGGER IF EXISTS {name} ON {table}"))
    connection.execute(
        text(
            f"CREATE TRIGGER {name} BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change()"
        )
    )


def _install_sqlite(connection: Connection, table: str) -> None:
    for change in _CHANGES:
        connection.exec_driver_sql(
            f"CREATE TRIGGER IF NOT EXISTS {table}_refuses_{change.lower()} BEFORE {change} ON {table} BEGIN"
            f" SELECT RAISE(ABORT, '{table} is append-only: correct a mistake with a new entry'); END"
        )


def remove_triggers(connection: Connection) -> None:
    """Take the triggers away; nothing is locked where there are none."""
    for table in APPEND_ONLY:
        if connection.dialect.name != "postgresql":
            for change in _CHANGES:
                connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {table}_refuses_{change.lower()}")
        else:
            connection.execute(text(f"DROP TRIGGER IF EXISTS {_name(table)} ON {table}"))
    if connection.dialect.name == "postgresql":
        connection.execute(text("DROP FUNCTION IF EXISTS ledger_refuse_change()"))


def _name(table: str) -> str:
    return f"{table}_append_only"
