"""Least privilege on PostgreSQL: a role for the service, a role that only reads, and row-level security by account."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

from ledger.checks import check_id, check_text
from ledger.errors import CommandInvalid
from ledger.journal import UPDATED_COLUMNS
from ledger.migrations import VERSION_TABLE
from ledger.tables import metadata

_NAME_BYTES_MAX = 63

ACCOUNT_SETTING = "ledger.account_id"
"""The setting of a transaction that names the account whose rows it may see, under row-level security."""


def role_script(
    *, application: str = "ledger_app", readonly: str = "ledger_readonly", row_level_security: bool = False
) -> str:
    """SQL that makes two roles without login and gives each what it needs; grant them to your login roles.

    The application role reads, adds rows, and updates just the columns that operations update: it can delete and
    truncate nothing, and change no entry. The read-only role is for finance and the audit. With
    `row_level_security` the application role sees and writes the rows of one account a transaction, the one that
    `set_account` names; the read-only role sees all. Run it as the tables' owner; it may be run again, after an
    upgrade for one. Raises `CommandInvalid` for a name that PostgreSQL has no role for.
    """
    app, reader = _quoted(application, "application"), _quoted(readonly, "readonly")
    lines = [_role(application), _role(readonly)]
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
    return "\n".join(lines) + "\n"


def set_account(session: Session, account_id: str) -> None:
    """Name the account whose rows this transaction may see, under row-level security; gone when it ends."""
    check_id(account_id, "account_id")
    session.connection().execute(
        text("SELECT set_config(:name, :account_id, true)"), {"name": ACCOUNT_SETTING, "account_id": account_id}
    )


def _quoted(name: str, field: str) -> str:
    escaped = check_text(name, field).replace('"', '""')
    return f'"{escaped}"'


def _role(name: str) -> str:
    literal = name.replace("'", "''")
    quoted = _quoted(name, "role")
    if "$" in name or len(name.encode()) > _NAME_BYTES_MAX:
        message = f"is {name!r}; give a name of at most {_NAME_BYTES_MAX} bytes, without a dollar sign."
        raise CommandInvalid("role", message)
    return (
        f"DO $role$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{literal}')"
        f" THEN CREATE ROLE {quoted} NOLOGIN; END IF; END $role$;"
    )


def _policies(table: str, app: str, reader: str) -> list[str]:
    own = f"account_id = current_setting('{ACCOUNT_SETTING}', true)"
    return [
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;",
        f"DROP POLICY IF EXISTS ledger_own_account ON {table};",
        f"CREATE POLICY ledger_own_account ON {table} FOR ALL TO {app} USING ({own}) WITH CHECK ({own});",
        f"DROP POLICY IF EXISTS ledger_every_account ON {table};",
        f"CREATE POLICY ledger_every_account ON {table} FOR SELECT TO {reader} USING (true);",
    ]
