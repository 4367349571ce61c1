"""What a PostgreSQL database says of the ledger's tables: rights, row-level security, the server's own settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, text

from ledger.schema.revisions import VERSION_TABLE
from ledger.schema.tables import UPDATED_COLUMNS, metadata

_SETTINGS = (
    "fsync",
    "synchronous_commit",
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
)


@dataclass(frozen=True, slots=True)
class ServerState:
    """A server and the role that a connection has there."""

    version: str
    role: str
    reads_only: bool
    """It is a standby, or the transaction was made read-only."""
    port: int | None
    """Where the server itself listens; None for a socket of the file system."""
    settings: dict[str, str]


def read_server(connection: Connection) -> ServerState:
    """The state of a PostgreSQL server, as a connection sees it."""
    row = connection.execute(_SERVER).one()
    settings = {name: str(connection.execute(_SETTING, {"name": name}).scalar_one()) for name in _SETTINGS}
    return ServerState(row.version, row.role, row.reads_only, row.port, settings)


def may_read_versions(connection: Connection) -> bool:
    """False where the role may not read the version table; true also where there is none."""
    found: bool | None = connection.execute(_MAY_READ, {"table": VERSION_TABLE}).scalar_one()
    return found is not False


def missing_rights(connection: Connection, *, reads_only: bool) -> list[str]:
    """The rights that the role lacks on the tables of this version, such as `INSERT on ledger_entry`."""
    missing = [f"SELECT on {table}" for table in [*metadata.tables, VERSION_TABLE] if not _may(connection, table)]
    if not reads_only:
        missing += _missing_to_write(connection)
    return missing


def _missing_to_write(connection: Connection) -> Iterator[str]:
    for table in metadata.tables:
        if not _may(connection, table, "INSERT"):
            yield f"INSERT on {table}"
        columns = UPDATED_COLUMNS.get(table, ())
        lacking = [column for column in columns if not _may_update(connection, table, column)]
        if lacking:
            yield f"UPDATE ({', '.join(lacking)}) on {table}"


def _may(connection: Connection, table: str, right: str = "SELECT") -> bool:
    return bool(connection.execute(_TABLE_RIGHT, {"table": table, "right": right}).scalar_one())


def _may_update(connection: Connection, table: str, column: str) -> bool:
    return bool(connection.execute(_COLUMN_RIGHT, {"table": table, "column": column}).scalar_one())


def tables_with_row_security(connection: Connection) -> list[str]:
    """The ledger's tables on which row-level security is on."""
    return list(connection.execute(_ROW_SECURITY, {"tables": list(metadata.tables)}).scalars())


def roles_with_policies(connection: Connection) -> list[str]:
    """The roles that policies of the ledger's tables name."""
    return list(connection.execute(_POLICY_ROLES, {"tables": list(metadata.tables)}).scalars())


_SERVER = text(
    "SELECT current_setting('server_version') AS version, CAST(current_user AS text) AS role,"
    " pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' AS reads_only,"
    " inet_server_port() AS port"
)
_SETTING = text("SELECT current_setting(:name)")
_MAY_READ = text("SELECT has_table_privilege(to_regclass(:table), 'SELECT')")
_TABLE_RIGHT = text("SELECT has_table_privilege(CAST(CAST(:table AS text) AS regclass), :right)")
_COLUMN_RIGHT = text("SELECT has_column_privilege(CAST(CAST(:table AS text) AS regclass), :column, 'UPDATE')")
_ROW_SECURITY = text(
    "SELECT relname FROM pg_class WHERE relrowsecurity AND relname = ANY(:tables) AND pg_table_is_visible(oid)"
    " ORDER BY 1"
)
_POLICY_ROLES = text(
    "SELECT DISTINCT CASE WHEN role = 0 THEN 'public' ELSE CAST(pg_get_userbyid(role) AS text) END"
    " FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid CROSS JOIN unnest(p.polroles) AS r(role)"
    " WHERE c.relname = ANY(:tables) AND pg_table_is_visible(c.oid) ORDER BY 1"
)
