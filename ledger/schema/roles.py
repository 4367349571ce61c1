"""Least privilege on PostgreSQL: a role for the service, a role that only reads, and row-level security by account."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

from ledger.errors import CommandInvalid
from ledger.model.checks import check_id, check_text
from ledger.schema.migrations import VERSION_TABLE
from ledger.schema.tables import UPDATED_COLUMNS, metadata

_NAME_BYTES_MAX = 63

ACCOUNT_SETTING = "ledger.account_id"
"""The setting that names the account whose rows a transaction sees, under row-level security."""


def role_script(
    *, application: str = "ledger_app", readonly: str = "ledger_readonly", row_level_security: bool = False
) -> str:
    """SQL that creates two roles without login and grants each its rights. Grant these roles to your login roles.

    The application role reads, inserts rows, and updates only the columns that operations update. It cannot delete or
    truncate anything, and cannot change an entry. The read-only role is for finance and the audit. With
    `row_level_security` the application role sees and writes the rows of one account a transaction, the account that
    `set_account` names; in a batch of several accounts the others are not found. The read-only role sees all rows.
    Without `row_level_security`, existing row-level security is left as it is.

    Run the script as the owner of the tables, with their schema on the search path. It is one statement, carried out
    as a whole or not at all, so no service loses its rights in between. Run it again after an upgrade. Raises
    `CommandInvalid` for a name that no role can have, and for one name given twice.
    """
    _check_name(application, "application")
    _check_name(readonly, "readonly")
    if application == readonly:
        raise CommandInvalid("readonly", f"is {readonly!r}, as the application is; give the two roles two names.")
    app, reader = _identifier(application), _identifier(readonly)
    lines = [*_role(application), *_role(readonly), _schema_use(application, readonly)]
    for table in [*metadata.tables, VERSION_TABLE]:
        lines.append(f"REVOKE ALL ON {table} FROM {app}, {reader};")
        lines.append(f"GRANT SELECT ON {table} TO {app}, {reader};")
    for table in metadata.tables:
        lines.append(f"GRANT INSERT ON {table} TO {app};")
        if columns := UPDATED_COLUMNS.get(table):
            lines.append(f"GRANT UPDATE ({', '.join(columns)}) ON {table} TO {app};")
    if row_level_security:
        for table in metadata.tables:
            lines += _policies(table, app, reader)
    return "\n".join(["DO $ledger$ BEGIN", *lines, "END $ledger$;"]) + "\n"


def set_account(session: Session, account_id: str) -> None:
    """Name the account whose rows this transaction sees, under row-level security. The setting ends with it.

    Raises `CommandInvalid` for a malformed id, and on a database other than PostgreSQL.
    """
    check_id(account_id, "account_id")
    connection = session.connection()
    if connection.dialect.name != "postgresql":
        engine = connection.dialect.name
        message = f"cannot be set on {engine}, which has no row-level security; use PostgreSQL, or leave the call out."
        raise CommandInvalid("account_id", message)
    connection.execute(
        text("SELECT set_config(:name, :account_id, true)"), {"name": ACCOUNT_SETTING, "account_id": account_id}
    )


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


def _schema_use(application: str, readonly: str) -> str:
    schema = "(SELECT relnamespace::regnamespace FROM pg_class WHERE oid = 'ledger_account'::regclass)"
    grant = "'GRANT USAGE ON SCHEMA %s TO %I, %I'"
    return f"EXECUTE format({grant}, {schema}, {_literal(application)}, {_literal(readonly)});"


def _policies(table: str, app: str, reader: str) -> list[str]:
    own = f"account_id = current_setting('{ACCOUNT_SETTING}', true)"
    return [
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;",
        f"DROP POLICY IF EXISTS ledger_own_account ON {table};",
        f"CREATE POLICY ledger_own_account ON {table} FOR ALL TO {app} USING ({own}) WITH CHECK ({own});",
        f"DROP POLICY IF EXISTS ledger_every_account ON {table};",
        f"CREATE POLICY ledger_every_account ON {table} FOR SELECT TO {reader} USING (true);",
    ]
