"""The revision of the ledger's schema: the one that this version works with, and the one that a database is at.

Read without Alembic, which only an upgrade loads.
"""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text

from ledger.errors import SchemaMismatch

VERSION_TABLE = "ledger_alembic_version"
HEAD = "0005"
"""The revision that this version of the library works with: the last file in `migrations/versions`."""


def read_revision(connection: Connection) -> str | None:
    """The revision that the database's ledger schema is at; None where it has no ledger tables."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one_or_none()
    return found


def check_revision(connection: Connection) -> None:
    """Raise `SchemaMismatch` unless the database's schema is the one that this version works with."""
    found = read_revision(connection)
    if found != HEAD:
        raise SchemaMismatch(found, HEAD)
