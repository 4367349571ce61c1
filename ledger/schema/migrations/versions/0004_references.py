"""PostgreSQL no longer looks up, one by one, what the rows that every operation adds refer to.

They are written in one statement with their account, whose row is locked. Triggers keep accounts and holds from being
removed (`ledger.triggers`), and the audit finds a row of nobody. SQLite looks them up at little cost, and would have
to copy its tables to stop.

Locks: ACCESS EXCLUSIVE on ledger_account, ledger_entry, ledger_reservation, ledger_transfer.
Reads whole: nothing.
"""

from __future__ import annotations

from alembic import op

from ledger.schema.databases import capabilities_of

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_REFERENCES = {
    "ledger_reservation": "fk_ledger_reservation_ledger_account",
    "ledger_entry": "fk_ledger_entry_ledger_account",
    "ledger_transfer": "fk_ledger_transfer_ledger_entry",
}


def upgrade() -> None:
    """Drop the three references, where there are any."""
    if not capabilities_of(op.get_bind()).alters_tables:
        return
    for table, name in _REFERENCES.items():
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")
