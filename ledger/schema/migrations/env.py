"""Alembic's entry: runs the revisions on the connection that `ledger.upgrade` passes."""

from alembic import context

from ledger.schema.migrations import VERSION_TABLE
from ledger.schema.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    # The revisions run in the caller's transaction: all of them, or none.
    transactional_ddl=True,
)
context.run_migrations()
