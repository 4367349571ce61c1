"""The outbox: the starts of launched runs, to be handed to a host's pipeline.

It begins empty. Who started the runs that were launched before is not known here, and none must be started twice.

Locks: SHARE ROW EXCLUSIVE on ledger_reservation.
Reads whole: nothing.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TABLE = "ledger_outbox"
_CHECKS = {
    "state_known": "state IN ('waiting', 'delivered', 'withdrawn')",
    "ended_when_not_waiting": "(state = 'waiting') = (ended_at IS NULL)",
    "delivered_by_an_attempt": "attempts >= 0 AND (state <> 'delivered' OR attempts > 0)",
}


def upgrade() -> None:
    """Make the table, and the index by which deliveries find what waits."""
    op.create_table(
        _TABLE,
        sa.Column("account_id", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("number", "created_at")),
        sa.Column("state", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("attempts", "next_attempt_at")),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("account_id", "number", name=op.f(f"pk_{_TABLE}")),
        *(sa.CheckConstraint(condition, name=op.f(f"ck_{_TABLE}_{name}")) for name, condition in _CHECKS.items()),
        sa.ForeignKeyConstraint(
            ["account_id", "number"],
            ["ledger_reservation.account_id", "ledger_reservation.number"],
            name=op.f(f"fk_{_TABLE}_ledger_reservation"),
        ),
    )
    waiting = sa.text("state = 'waiting'")
    op.create_index(
        "ix_ledger_outbox_waiting",
        _TABLE,
        ["next_attempt_at", "account_id", "number"],
        postgresql_where=waiting,
        sqlite_where=waiting,
    )
