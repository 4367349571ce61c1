"""Closings: what finance closed of each account, period by period, and how many of them an account has.

There are none to begin with: a book that was kept before is closed from its first entry on.

Locks: ACCESS EXCLUSIVE on ledger_account.
Reads whole: nothing.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TABLE = "ledger_closing"
_CHECKS = {
    "numbers_positive": "number > 0 AND sequence > 0",
    "ends_after_it_begins": "until > since",
}


def upgrade() -> None:
    """Make the table, its index by period, and the account's count of them."""
    op.create_table(
        _TABLE,
        _text("account_id"),
        _number("number"),
        *(_text(name) for name in ("name", "zone")),
        *(_number(name) for name in ("since", "until", "sequence")),
        sa.Column("head", sa.LargeBinary(), nullable=False),
        _number("closed_at"),
        *(_text(name) for name in ("closed_by", "figures")),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "number", name=op.f(f"pk_{_TABLE}")),
        *(sa.CheckConstraint(condition, name=op.f(f"ck_{_TABLE}_{name}")) for name, condition in _CHECKS.items()),
        sa.ForeignKeyConstraint(
            ["account_id"], ["ledger_account.account_id"], name=op.f(f"fk_{_TABLE}_ledger_account")
        ),
    )
    op.create_index(f"ix_{_TABLE}_until_account_id", _TABLE, ["until", "account_id"])
    count = sa.Column("closings_count", sa.BigInteger(), nullable=False, server_default=sa.text("0"))
    op.add_column("ledger_account", count)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)
