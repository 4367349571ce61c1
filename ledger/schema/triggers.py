"""Triggers that refuse changes of entries, transfers and closings, and the removal of accounts and holds.

They are a second line of defence; correctness does not depend on them. The library itself changes no entry and no
transfer, and removes no account and no hold, and the audit finds such changes. The triggers may be left out, as on
distributed engines that refuse triggers.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from ledger.schema.databases import capabilities_of

APPEND_ONLY = ("ledger_entry", "ledger_transfer", "ledger_closing")
"""The tables to which rows are only ever added."""

KEPT = ("ledger_account", "ledger_reservation")
"""The tables whose rows may change and are never removed."""

_FUNCTION = (
    "CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    " RAISE EXCEPTION '% {why}', TG_TABLE_NAME;"
    " END $$"
)
# A trigger that is disabled, or enabled for replicas only, refuses nothing here.
_AT_WORK = text(
    "SELECT 1 FROM pg_trigger WHERE tgname = :name AND tgrelid = CAST(:table AS regclass) AND tgenabled IN ('O', 'A')"
)


def install_triggers(connection: Connection) -> None:
    """Create the triggers that are missing or disabled. Nothing is locked where all of them work."""
    install = _install_postgresql if capabilities_of(connection).trigger_functions else _install_sqlite
    for table in (*APPEND_ONLY, *KEPT):
        install(connection, table)


def _install_postgresql(connection: Connection, table: str) -> None:
    name = _name(table)
    if connection.execute(_AT_WORK, {"name": name, "table": table}).first() is not None:
        return
    function = "ledger_refuse_change" if table in APPEND_ONLY else "ledger_refuse_removal"
    connection.execute(text(_FUNCTION.format(function=function, why=_why(table))))
    connection.execute(text(f"DROP TRIGGER IF EXISTS {name} ON {table}"))
    connection.execute(
        text(
            f"CREATE TRIGGER {name} BEFORE {' OR '.join(_changes(table))} OR TRUNCATE ON {table}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
        )
    )


def _install_sqlite(connection: Connection, table: str) -> None:
    for change in _changes(table):
        connection.exec_driver_sql(
            f"CREATE TRIGGER IF NOT EXISTS {table}_refuses_{change.lower()} BEFORE {change} ON {table} BEGIN"
            f" SELECT RAISE(ABORT, '{table} {_why(table)}'); END"
        )


def remove_triggers(connection: Connection) -> None:
    """Remove the triggers. Nothing is locked where there are none."""
    for table in (*APPEND_ONLY, *KEPT):
        if not capabilities_of(connection).trigger_functions:
            for change in _changes(table):
                connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {table}_refuses_{change.lower()}")
        else:
            connection.execute(text(f"DROP TRIGGER IF EXISTS {_name(table)} ON {table}"))
    if capabilities_of(connection).trigger_functions:
        connection.execute(text("DROP FUNCTION IF EXISTS ledger_refuse_change(), ledger_refuse_removal()"))


def _changes(table: str) -> tuple[str, ...]:
    return ("UPDATE", "DELETE") if table in APPEND_ONLY else ("DELETE",)


def _why(table: str) -> str:
    if table in APPEND_ONLY:
        return "is append-only: correct a mistake with a new entry"
    return "keeps every row: entries belong to them for ever"


def _name(table: str) -> str:
    return f"{table}_append_only" if table in APPEND_ONLY else f"{table}_kept"
