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
    "SELECT 1 FROM pg_trigger WHERE tgname = :name AND tgrelid = CAST(CAST(:table AS text) AS regclass)"
    " AND tgenabled IN ('O', 'A')"
)


_EXISTS = text("SELECT 1 FROM pg_trigger WHERE tgname = :name AND tgrelid = CAST(CAST(:table AS text) AS regclass)")


def install_triggers(connection: Connection) -> None:
    """Create the triggers that are missing or disabled. Nothing is locked where all of them work."""
    install = _install_postgresql if capabilities_of(connection).trigger_functions else _install_sqlite
    for table in (*APPEND_ONLY, *KEPT):
        install(connection, table)


def triggers_missing(connection: Connection) -> list[str]:
    """The tables of a database with all of them that no trigger keeps, or not every one."""
    return [table for table in (*APPEND_ONLY, *KEPT) if not _is_kept(connection, table)]


def trigger_statements(table: str) -> list[str]:
    """SQL for PostgreSQL that gives a table its trigger, whatever was there before."""
    function = _function(table)
    return [
        _FUNCTION.format(function=function, why=_why(table)),
        f"DROP TRIGGER IF EXISTS {_name(table)} ON {table}",
        (
            f"CREATE TRIGGER {_name(table)} BEFORE {' OR '.join(_changes(table))} OR TRUNCATE ON {table}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
        ),
    ]


def removal_statements() -> list[str]:
    """SQL for PostgreSQL that removes the triggers and their functions."""
    return [
        *(f"DROP TRIGGER IF EXISTS {_name(table)} ON {table}" for table in (*APPEND_ONLY, *KEPT)),
        "DROP FUNCTION IF EXISTS ledger_refuse_change(), ledger_refuse_removal()",
    ]


def _is_kept(connection: Connection, table: str) -> bool:
    if capabilities_of(connection).trigger_functions:
        return connection.execute(_AT_WORK, {"name": _name(table), "table": table}).first() is not None
    names = {f"{table}_refuses_{change.lower()}" for change in _changes(table)}
    return names <= set(connection.execute(_OF_SQLITE, {"table": table}).scalars())


_OF_SQLITE = text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table")


def _install_postgresql(connection: Connection, table: str) -> None:
    if _is_kept(connection, table):
        return
    function, drop, create = trigger_statements(table)
    connection.execute(text(function))
    # To drop a trigger keeps readers out, also where there is none.
    if connection.execute(_EXISTS, {"name": _name(table), "table": table}).first() is not None:
        connection.execute(text(drop))
    connection.execute(text(create))


def _install_sqlite(connection: Connection, table: str) -> None:
    for change in _changes(table):
        connection.exec_driver_sql(
            f"CREATE TRIGGER IF NOT EXISTS {table}_refuses_{change.lower()} BEFORE {change} ON {table} BEGIN"
            f" SELECT RAISE(ABORT, '{table} {_why(table)}'); END"
        )


def remove_triggers(connection: Connection) -> None:
    """Remove the triggers. Nothing is locked where there are none."""
    if not capabilities_of(connection).trigger_functions:
        for table in (*APPEND_ONLY, *KEPT):
            for change in _changes(table):
                connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {table}_refuses_{change.lower()}")
    elif has_triggers(connection):
        for statement in removal_statements():
            connection.execute(text(statement))


def has_triggers(connection: Connection) -> bool:
    """True where a PostgreSQL database has one of the triggers, or a function of theirs."""
    names = [_name(table) for table in (*APPEND_ONLY, *KEPT)]
    return connection.execute(_ANY, {"names": names}).first() is not None


_ANY = text(
    "SELECT 1 FROM pg_trigger WHERE tgname = ANY(:names) AND NOT tgisinternal"
    " AND pg_table_is_visible(tgrelid) UNION ALL SELECT 1 FROM pg_proc"
    " WHERE proname IN ('ledger_refuse_change', 'ledger_refuse_removal') AND pg_function_is_visible(oid)"
)


def _function(table: str) -> str:
    return "ledger_refuse_change" if table in APPEND_ONLY else "ledger_refuse_removal"


def _changes(table: str) -> tuple[str, ...]:
    return ("UPDATE", "DELETE") if table in APPEND_ONLY else ("DELETE",)


def _why(table: str) -> str:
    if table in APPEND_ONLY:
        return "is append-only: correct a mistake with a new entry"
    return "keeps every row: entries belong to them for ever"


def _name(table: str) -> str:
    return f"{table}_append_only" if table in APPEND_ONLY else f"{table}_kept"
