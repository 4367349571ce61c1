"""Alembic's entry: runs the revisions on the connection that `ledger.upgrade` brings."""

from alembic import context

from ledger.schema.migrations import VERSION_TABLE
from ledger.schema.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    # The caller's transaction is the only one: all revisions, or none.
    transactional_ddl=True,
)
context.run_migrations()
