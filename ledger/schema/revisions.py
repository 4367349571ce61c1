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


_UPGRADED_IN = "ledger_upgraded_in"


def note_upgrade(connection: Connection) -> None:
    """Note in which transaction of a connection the schema was upgraded: it may be rolled back."""
    connection.info[_UPGRADED_IN] = connection.get_transaction()


def is_upgraded_here(connection: Connection) -> bool:
    """Whether the transaction that a connection is in has upgraded the schema."""
    upgraded_in = connection.info.get(_UPGRADED_IN)
    return upgraded_in is not None and upgraded_in is connection.get_transaction()


def check_revision(connection: Connection) -> None:
    """Raise `SchemaMismatch` unless the database's schema is the one that this version works with."""
    found = read_revision(connection)
    if found != HEAD:
        raise SchemaMismatch(found, HEAD)
