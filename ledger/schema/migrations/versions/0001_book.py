"""The book: accounts, grants, reservations, entries, transfers and the rate cards that priced them.

Locks: nothing, as every table is new.
Reads whole: nothing.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ledger.schema.databases import capabilities_of

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_BUCKETS = ("available", "held", "consumed", "expired", "revoked")
_SUM = " + ".join(_BUCKETS)
_APPEND_ONLY = ("ledger_entry", "ledger_transfer")


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _numbers(*names: str) -> list[sa.Column[int]]:
    return [_number(name) for name in names]


def _primary_key(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=op.f(f"pk_{table}"))


def _check(table: str, name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"ck_{table}_{name}"))


def _not_negative(table: str) -> sa.CheckConstraint:
    return _check(table, "buckets_not_negative", " AND ".join(f"{bucket} >= 0" for bucket in _BUCKETS))


def _of_account(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["account_id"], ["ledger_account.account_id"], name=op.f(f"fk_{table}_ledger_account")
    )


def upgrade() -> None:
    """Create every table, then the triggers that keep the book append-only."""
    _create_accounts()
    _create_grants()
    _create_reservations()
    _create_entries()
    _create_transfers()
    _create_cards()
    if capabilities_of(op.get_bind()).trigger_functions:
        _refuse_changes_postgresql()
    else:
        _refuse_changes_sqlite()


def _create_accounts() -> None:
    table = "ledger_account"
    op.create_table(
        table,
        _text("account_id"),
        *_numbers("opened_at", "sequence", "at"),
        sa.Column("head", sa.LargeBinary(), nullable=False),
        *_numbers("issued", *_BUCKETS),
        _number("due_at", nullable=True),
        _primary_key(table, "account_id"),
        _not_negative(table),
        _check(table, "every_credit_is_somewhere", f"issued = {_SUM}"),
        _check(table, "sequence_not_negative", "sequence >= 0"),
    )
    _index(op.f("ix_ledger_account_due_at"), table, ["due_at"], "due_at IS NOT NULL")


def _create_grants() -> None:
    table = "ledger_grant"
    op.create_table(
        table,
        _text("account_id"),
        _number("number"),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        _number("expires_at", nullable=True),
        *_numbers("amount", *_BUCKETS),
        _primary_key(table, "account_id", "number"),
        _not_negative(table),
        _check(table, "every_credit_is_somewhere", f"amount = {_SUM}"),
        _check(table, "amount_positive", "amount > 0"),
        _of_account(table),
    )
    _index("ix_ledger_grant_live", table, ["account_id", "number"], "available + held > 0")


def _create_reservations() -> None:
    table = "ledger_reservation"
    op.create_table(
        table,
        _text("account_id"),
        _number("number"),
        _text("state"),
        *_numbers("amount", "captured", "freed", "reserved_at"),
        _number("expires_at", nullable=True),
        _text("dataset_id", nullable=True),
        _number("started_ms", nullable=True),
        _primary_key(table, "account_id", "number"),
        _check(table, "state_known", "state IN ('held', 'captured', 'released', 'expired')"),
        _check(table, "amounts_not_negative", "amount >= 0 AND captured >= 0 AND freed >= 0"),
        _check(
            table,
            "settled_whole",
            "(state = 'held' AND captured + freed = 0) OR (state <> 'held' AND captured + freed = amount)",
        ),
        _check(table, "run_named_whole", "(dataset_id IS NULL) = (started_ms IS NULL)"),
        _of_account(table),
    )
    _index("ix_ledger_reservation_held", table, ["account_id", "expires_at"], "state = 'held'")
    run = ["account_id", "dataset_id", "started_ms"]
    _index("uq_ledger_reservation_run", table, run, "dataset_id IS NOT NULL", unique=True)
    active = "state = 'held' AND dataset_id IS NOT NULL"
    _index("uq_ledger_reservation_active_run", table, ["account_id", "dataset_id"], active, unique=True)


def _create_entries() -> None:
    table = "ledger_entry"
    op.create_table(
        table,
        _text("account_id"),
        _number("sequence"),
        _text("kind"),
        *_numbers("at", "recorded_at"),
        _text("scope"),
        _text("key", nullable=True),
        sa.Column("digest", sa.LargeBinary(), nullable=True),
        _number("reservation", nullable=True),
        _text("details"),
        *_numbers("issued", *_BUCKETS),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        _primary_key(table, "account_id", "sequence"),
        _not_negative(table),
        _check(table, "sequence_positive", "sequence > 0"),
        _check(table, "key_binds_a_request", "(key IS NULL) = (digest IS NULL)"),
        _check(table, "every_credit_is_somewhere", f"issued = {_SUM}"),
        _of_account(table),
    )
    _index("uq_ledger_entry_key", table, ["account_id", "scope", "key"], "key IS NOT NULL", unique=True)


def _create_transfers() -> None:
    table = "ledger_transfer"
    buckets = ", ".join(f"'{bucket}'" for bucket in _BUCKETS)
    op.create_table(
        table,
        _text("account_id"),
        *_numbers("sequence", "ordinal", "grant_number"),
        _text("source"),
        _text("target"),
        _number("amount"),
        _primary_key(table, "account_id", "sequence", "ordinal"),
        _check(table, "amount_positive", "amount > 0"),
        _check(table, "moves", "source <> target"),
        _check(table, "source_known", f"source IN ('issued', {buckets})"),
        _check(table, "target_known", f"target IN ({buckets})"),
        sa.ForeignKeyConstraint(
            ["account_id", "sequence"],
            ["ledger_entry.account_id", "ledger_entry.sequence"],
            name=op.f(f"fk_{table}_ledger_entry"),
        ),
    )


def _create_cards() -> None:
    table = "ledger_card"
    op.create_table(
        table,
        _text("account_id"),
        _text("card_id"),
        _text("content"),
        _primary_key(table, "account_id", "card_id"),
        _of_account(table),
    )


def _index(name: str, table: str, columns: list[str], condition: str, *, unique: bool = False) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, unique=unique, postgresql_where=where, sqlite_where=where)


def _refuse_changes_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE EXCEPTION '% is append-only: correct a mistake with a new entry', TG_TABLE_NAME;"
        " END $$"
    )
    for table in _APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change()"
        )


def _refuse_changes_sqlite() -> None:
    for table in _APPEND_ONLY:
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_refuses_{change.lower()} BEFORE {change} ON {table} BEGIN"
                f" SELECT RAISE(ABORT, '{table} is append-only: correct a mistake with a new entry'); END"
            )
