"""What an upgrade would do to a PostgreSQL database, as SQL for those who run and review it themselves."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

from sqlalchemy import Connection, Engine

from ledger.errors import UpgradeNotScripted
from ledger.schema.databases import capabilities_of, check_dialect, check_engine
from ledger.schema.migrations import revisions_after, run_revision, wants_triggers
from ledger.schema.revisions import HEAD, VERSION_TABLE, read_revision
from ledger.schema.triggers import (
    APPEND_ONLY,
    KEPT,
    has_triggers,
    removal_statements,
    trigger_statements,
    triggers_missing,
)
from ledger.schema.waiting import LOCK_TIMEOUT, TURN_TIMEOUT, UPGRADE_LOCK, check_lock_timeout, milliseconds


def upgrade_sql(
    bind: Engine | Connection, *, triggers: bool | None = None, lock_timeout: timedelta | None = None
) -> str:
    """SQL that does to a PostgreSQL database what `upgrade` would do now. The database is read and not changed.

    The script is one statement, carried out as a whole or not at all. It takes part in the turns of `upgrade`, waits
    for each table up to `lock_timeout` (5 seconds where nothing is said), and refuses a database that is no longer at
    the revision it was printed for. Run it as the tables' owner, with their schema on the search path.

    Raises `UpgradeNotScripted` on SQLite and where a revision works out new values from rows that it reads, and
    `DatabaseUnsupported`, `SchemaMismatch`, `CommandInvalid`.
    """
    timeout = check_lock_timeout(lock_timeout) or LOCK_TIMEOUT
    if isinstance(bind, Connection):
        check_dialect(bind.dialect)
        return _script(bind, triggers, timeout)
    with check_engine(bind).connect() as connection:
        return _script(connection, triggers, timeout)


def _script(connection: Connection, triggers: bool | None, timeout: timedelta) -> str:
    if not capabilities_of(connection).trigger_functions:
        raise UpgradeNotScripted("it is a SQLite file, which one process upgrades at a time")
    found = read_revision(connection)
    lacking = revisions_after(found)
    for revision in lacking if found is not None else ():
        if getattr(revision.module, "READS_ROWS", False):
            why = f"revision {revision.revision} works out new values from rows that it reads"
            raise UpgradeNotScripted(why, found)
    steps = [*_revision_steps(connection, found, lacking)]
    if wants_triggers(connection, triggers):
        tables = [*APPEND_ONLY, *KEPT] if lacking else triggers_missing(connection)
        of_triggers = [statement for table in tables for statement in trigger_statements(table)]
    else:
        of_triggers = removal_statements() if lacking or has_triggers(connection) else []
    steps += [f"{statement};" for statement in dict.fromkeys(of_triggers)]
    if not steps:
        return f"-- Nothing to do: the ledger's tables are at revision {HEAD}.\n"
    return "\n\n".join([_head(found, timeout), *steps, _FOOT])


def _revision_steps(connection: Connection, found: str | None, lacking: list[Any]) -> Iterator[str]:
    """The statements of each revision, and its line in the version table."""
    from alembic.runtime.migration import MigrationContext

    if found is None:
        # As Alembic makes it.
        yield (
            f"CREATE TABLE {VERSION_TABLE} (\n    version_num VARCHAR(32) NOT NULL,\n"
            f"    CONSTRAINT {VERSION_TABLE}_pkc PRIMARY KEY (version_num)\n);"
        )
    # By this dialect's own style of parameters a percent sign would be doubled.
    dialect: Any = type(connection.dialect)(paramstyle="named")  # type: ignore[call-arg]  # every dialect takes it
    for revision in lacking:
        printed = StringIO()
        options = {"as_sql": True, "literal_binds": True, "output_buffer": printed, "version_table": VERSION_TABLE}
        run_revision(MigrationContext.configure(dialect=dialect, opts=options), revision)
        yield f"-- Revision {revision.revision}. " + "\n-- ".join(revision.longdoc.strip().splitlines())
        yield printed.getvalue().strip()
        if revision.down_revision is None:
            yield f"INSERT INTO {VERSION_TABLE} (version_num) VALUES ('{revision.revision}');"
        else:
            yield f"UPDATE {VERSION_TABLE} SET version_num = '{revision.revision}';"


def _head(found: str | None, timeout: timedelta) -> str:
    if found is None:
        unless = f"to_regclass('{VERSION_TABLE}') IS NULL"
    else:
        unless = f"(SELECT version_num FROM {VERSION_TABLE}) IS NOT DISTINCT FROM '{found}'"
    return (
        f"-- Upgrades the ledger's tables from {f'revision {found}' if found else 'nothing'} to revision {HEAD}.\n"
        "DO $ledger$ DECLARE lock_timeout_before text := current_setting('lock_timeout'); BEGIN\n\n"
        f"PERFORM set_config('lock_timeout', '{milliseconds(TURN_TIMEOUT)}ms', true);\n"
        f"PERFORM pg_advisory_xact_lock({UPGRADE_LOCK});\n"
        f"PERFORM set_config('lock_timeout', '{milliseconds(timeout)}ms', true);\n"
        f"IF NOT ({unless}) THEN\n"
        "    RAISE EXCEPTION 'This script is for another revision of the ledger: print it again';\n"
        "END IF;"
    )


_FOOT = "PERFORM set_config('lock_timeout', lock_timeout_before, true);\n\nEND $ledger$;\n"
