"""Which of the ledger's tables are distributed over several servers, as a PostgreSQL database with Citus says."""

from __future__ import annotations

from sqlalchemy import Connection, text

from ledger.schema.databases import capabilities_of
from ledger.schema.tables import metadata


def has_distribution(connection: Connection) -> bool:
    """True where a database has the extension that distributes tables."""
    return capabilities_of(connection).distributes and connection.execute(_EXTENSION).first() is not None


def distributed_tables(connection: Connection) -> dict[str, tuple[str | None, bool]]:
    """The ledger's tables that are distributed; none where the database has no such extension.

    Each with the column that it is distributed by, and whether its rows lie beside those of the accounts.
    """
    if not has_distribution(connection):
        return {}
    found = connection.execute(_DISTRIBUTED, {"tables": list(metadata.tables)})
    return {table: (column, is_beside) for table, column, is_beside in found}


_EXTENSION = text("SELECT 1 FROM pg_extension WHERE extname = 'citus'")
_DISTRIBUTED = text(
    "SELECT c.relname, column_to_column_name(p.logicalrelid, p.partkey),"
    " p.partmethod = 'h' AND p.colocationid IS NOT DISTINCT FROM"
    " (SELECT a.colocationid FROM pg_dist_partition a WHERE a.logicalrelid = to_regclass('ledger_account'))"
    " FROM pg_dist_partition p JOIN pg_class c ON c.oid = p.logicalrelid"
    " WHERE c.relname = ANY(:tables) AND pg_table_is_visible(c.oid) AND p.partmethod <> 'n'"
)
