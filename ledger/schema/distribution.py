"""The ledger's tables spread over several servers by `account_id`, with the extension Citus of PostgreSQL.

All rows of an account lie on one server, beside one another, as every key starts with `account_id`. The version table
stays where it is, on the coordinator.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection, Engine, text

from ledger.errors import DistributionUnavailable
from ledger.schema.catalogue import tables_with_row_security
from ledger.schema.databases import capabilities_of, check_dialect, check_engine
from ledger.schema.distributed import distributed_tables, has_distribution
from ledger.schema.migrations import take_turn
from ledger.schema.revisions import check_revision
from ledger.schema.tables import metadata
from ledger.schema.waiting import check_lock_timeout, tables_within

_FIRST = ("ledger_account", "ledger_reservation", "ledger_entry", "ledger_limit")
"""The tables that others refer to. A table can only refer to one that is distributed already."""

ORDER = (*_FIRST, *sorted(set(metadata.tables) - set(_FIRST)))
"""Every table of the ledger's, in an order in which they can be distributed."""

COLUMN = "account_id"

WITHOUT_ROW_SECURITY = (
    "distributed tables have none: Citus copies rows that come in batches, which PostgreSQL refuses under it, and"
    " gives the other servers no account. Turn it off (ALTER TABLE ... DISABLE ROW LEVEL SECURITY)."
)
"""Why row-level security and distribution exclude one another."""


def distribute(bind: Engine | Connection, *, lock_timeout: timedelta | None = None) -> list[str]:
    """Distribute the ledger's tables by `account_id`, beside one another; returns those that were not yet, in order.

    For PostgreSQL with the extension Citus, on its coordinator, after `upgrade(triggers=False)`: Citus refuses
    triggers, and a later `upgrade` makes none. Rows that are there are moved, and the tables are locked meanwhile. It
    may be called again, and does what is still to do, such as after an upgrade that made a table. Given a connection,
    it joins its transaction.

    Raises `DistributionUnavailable` where the database cannot do it, `UpgradeBlocked` where a table is in use for
    longer than `lock_timeout` (as `upgrade` has it), and `SchemaMismatch`, `DatabaseUnsupported`, `EngineUnusable`,
    `CommandInvalid`.
    """
    timeout = check_lock_timeout(lock_timeout)
    if isinstance(bind, Connection):
        check_dialect(bind.dialect)
        return _distribute(bind, timeout)
    with check_engine(bind).begin() as connection:
        return _distribute(connection, timeout)


def _distribute(connection: Connection, timeout: timedelta | None) -> list[str]:
    _check_server(connection)
    take_turn(connection)
    check_revision(connection)
    before = distributed_tables(connection)
    for table, (column, is_beside) in before.items():
        if column != COLUMN or not is_beside:
            raise DistributionUnavailable(
                f"the table {table} is distributed otherwise. Undo that with undistribute_table('{table}'), and try"
                " again."
            )
    missing = [table for table in ORDER if table not in before]
    if not missing:
        return []
    if connection.execute(_TRIGGERS, {"tables": missing}).first() is not None:
        raise DistributionUnavailable(
            "they have triggers, which Citus refuses. Upgrade with triggers=False (`credits db upgrade --no-triggers`),"
            " drop those of your own, and try again."
        )
    if tables_with_row_security(connection):
        raise DistributionUnavailable(f"row-level security is on, and {WITHOUT_ROW_SECURITY}")
    with tables_within(connection, timeout):
        # Tables that refer to one another are made on the servers one after the other, in one transaction.
        connection.execute(text("SET LOCAL citus.multi_shard_modify_mode = 'sequential'"))
        for table in missing:
            beside = "default" if table == ORDER[0] else ORDER[0]
            connection.execute(_DISTRIBUTE, {"table": table, "column": COLUMN, "beside": beside})
    return missing


def _check_server(connection: Connection) -> None:
    if not capabilities_of(connection).distributes:
        raise DistributionUnavailable("this database is one file. Use PostgreSQL with the extension Citus.")
    if not has_distribution(connection):
        raise DistributionUnavailable(
            "this database has no extension citus. Run `CREATE EXTENSION citus` in it on every server, and add the"
            " servers on the coordinator with citus_add_node."
        )
    if not connection.execute(text("SELECT citus_is_coordinator()")).scalar_one():
        raise DistributionUnavailable("this server is no coordinator. Name the coordinator in the URL.")


_TRIGGERS = text(
    "SELECT 1 FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
    " WHERE NOT t.tgisinternal AND c.relname = ANY(:tables) AND pg_table_is_visible(c.oid)"
)
_DISTRIBUTE = text(
    "SELECT create_distributed_table(CAST(CAST(:table AS text) AS regclass), :column, colocate_with => :beside)"
)
