"""Least privilege on PostgreSQL: roles for the service, its workers and readers, and row-level security by account."""

from __future__ import annotations

from collections.abc import Iterable

from ledger.errors import CommandInvalid
from ledger.model.checks import check_text
from ledger.schema.revisions import VERSION_TABLE
from ledger.schema.tables import UPDATED_COLUMNS, metadata

_NAME_BYTES_MAX = 63

ACCOUNT_SETTING = "ledger.account_id"
"""The setting that names the account whose rows a transaction sees, under row-level security."""


def role_script(
    *,
    application: str = "ledger_app",
    readonly: str = "ledger_readonly",
    worker: str = "ledger_worker",
    row_level_security: bool = False,
) -> str:
    """SQL that creates three roles without login and grants each its rights. Grant these roles to your login roles.

    The application role and the worker's read, insert rows, and update only the columns that operations update. They
    cannot delete or truncate anything, and cannot change an entry. The read-only role is for finance and the audit.
    With `row_level_security` the application role sees and writes the rows of one account a transaction, the one that
    `set_account` names; in a batch of several accounts the others are not found. The worker's role (the outbox,
    sweeping) and the read-only role see all rows. Without `row_level_security`, existing row-level security is left as
    it is.

    Run the script as the owner of the tables, with their schema on the search path. It is one statement, carried out
    as a whole or not at all, so no service loses its rights in between. Run it again after an upgrade. Raises
    `CommandInvalid` for a name that no role can have, and for one name given twice.
    """
    names = {"application": application, "readonly": readonly, "worker": worker}
    for field, name in names.items():
        _check_name(name, field)
    for field in ("readonly", "worker"):
        if list(names.values()).count(names[field]) > 1:
            message = f"is {names[field]!r}, as another of the roles is; give the three roles three names."
            raise CommandInvalid(field, message)
    app, reader, works = map(_identifier, names.values())
    lines = [line for name in names.values() for line in _role(name)]
    lines.append(_schema_use(names.values()))
    for table in [*metadata.tables, VERSION_TABLE]:
        lines.append(f"REVOKE ALL ON {table} FROM {app}, {reader}, {works};")
        lines.append(f"GRANT SELECT ON {table} TO {app}, {reader}, {works};")
    for table in metadata.tables:
        lines.append(f"GRANT INSERT ON {table} TO {app}, {works};")
        if columns := UPDATED_COLUMNS.get(table):
            lines.append(f"GRANT UPDATE ({', '.join(columns)}) ON {table} TO {app}, {works};")
    if row_level_security:
        for table in metadata.tables:
            lines += _policies(table, app, reader, works)
    return "\n".join(["DO $ledger$ BEGIN", *lines, "END $ledger$;"]) + "\n"


def _check_name(name: str, field: str) -> None:
    check_text(name, field)
    if "$" in name or not name.isprintable() or len(name.encode()) > _NAME_BYTES_MAX:
        message = f"is {name!r}; give a printable name of at most {_NAME_BYTES_MAX} bytes, without a dollar sign."
        raise CommandInvalid(field, message)
    # To PostgreSQL "public" means every role, also in quotes.
    if name in ("public", "none") or name.startswith("pg_"):
        raise CommandInvalid(field, f"is {name!r}, which PostgreSQL keeps for itself; give a name of your own.")


def _identifier(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _literal(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'"


def _role(name: str) -> list[str]:
    return [
        f"IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {_literal(name)}) THEN",
        f"CREATE ROLE {_identifier(name)} NOLOGIN;",
        "END IF;",
    ]


def _schema_use(names: Iterable[str]) -> str:
    schema = "(SELECT relnamespace::regnamespace FROM pg_class WHERE oid = 'ledger_account'::regclass)"
    given = ", ".join(map(_literal, names))
    return f"EXECUTE format('GRANT USAGE ON SCHEMA %s TO %I, %I, %I', {schema}, {given});"


def _policies(table: str, app: str, reader: str, worker: str) -> list[str]:
    own = f"account_id = current_setting('{ACCOUNT_SETTING}', true)"
    return [
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;",
        f"DROP POLICY IF EXISTS ledger_own_account ON {table};",
        f"CREATE POLICY ledger_own_account ON {table} FOR ALL TO {app} USING ({own}) WITH CHECK ({own});",
        f"DROP POLICY IF EXISTS ledger_every_account ON {table};",
        f"CREATE POLICY ledger_every_account ON {table} FOR SELECT TO {reader} USING (true);",
        f"DROP POLICY IF EXISTS ledger_worker ON {table};",
        f"CREATE POLICY ledger_worker ON {table} FOR ALL TO {worker} USING (true) WITH CHECK (true);",
    ]
