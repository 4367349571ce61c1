"""Grants that are scheduled, scoped, recurring or lent; holds captured in parts; spend limits.

PostgreSQL alters its tables where they are. SQLite cannot alter a CHECK, so there the old tables are set aside, made
anew, and copied, parents first. What a host has built on them (views, triggers, indexes) is there again afterwards.

Locks: ACCESS EXCLUSIVE on ledger_account, ledger_entry, ledger_grant, ledger_reservation, ledger_transfer.
Reads whole: ledger_account, ledger_entry, ledger_grant, ledger_reservation, ledger_transfer.
Writes whole: ledger_grant, ledger_reservation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic import op

from ledger.errors import LedgerError
from ledger.schema.databases import capabilities_of

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

READS_ROWS = True
"""What it fills in, it works out of rows that it reads; printed as SQL it is for a database without any."""

_BUCKETS = ("available", "held", "consumed", "expired", "revoked", "scheduled")
_SUM = " + ".join(_BUCKETS)
_IS_LIVE = "available + held + scheduled > 0 OR kind = 'credit_line' OR recurrence IS NOT NULL"
_IS_HELD = "state = 'held'"
_IS_RUN = "dataset_id IS NOT NULL"
_PARENTS_FIRST = (
    "ledger_account",
    "ledger_grant",
    "ledger_reservation",
    "ledger_entry",
    "ledger_transfer",
    "ledger_card",
)
_APPEND_ONLY = ("ledger_entry", "ledger_transfer")
_ROWS_AT_ONCE = 2000


def upgrade() -> None:
    """Bring every table to what this revision says, and fill what is new from what is there."""
    if capabilities_of(op.get_bind()).alters_tables:
        _alter_postgresql()
    else:
        _make_anew_sqlite()
    _create_limits()
    _create_usage()
    _fill_grants()
    if not op.get_context().as_sql:
        _fill_reservations()


def _text(name: str, *, nullable: bool = False, default: str | None = None) -> sa.Column[Any]:
    given = None if default is None else sa.text(f"'{default}'")
    return sa.Column(name, sa.Text(), nullable=nullable, server_default=given)


def _number(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _numbers(*names: str) -> list[sa.Column[Any]]:
    return [_number(name) for name in names]


def _counts(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.BigInteger(), nullable=False, server_default=sa.text("0")) for name in names]


def _new_columns() -> dict[str, list[sa.Column[Any]]]:
    """The columns that this revision adds, in their order behind those that were there."""
    return {
        "ledger_account": _counts("scheduled", "owed", "credit_limit", "limits_count", "scoped_count"),
        "ledger_grant": [
            *_counts("scheduled"),
            _text("kind", default="paid"),
            *_counts("effective_at"),
            _text("scope", nullable=True),
            _number("revoked_at", nullable=True),
            *_counts("repaid"),
            _number("allowance", nullable=True),
            _text("recurrence", nullable=True),
        ],
        "ledger_reservation": [
            *_counts("grace"),
            _number("lapses_at", nullable=True),
            *_counts("extra", "refunded"),
            _text("slices", default="[]"),
            _text("labels", nullable=True),
            _text("counted", nullable=True),
        ],
        "ledger_entry": _counts("scheduled", "owed"),
        "ledger_transfer": [],
        "ledger_card": [],
    }


def _old_columns() -> dict[str, list[sa.Column[Any]]]:
    """The columns that were there, in their order."""
    before = _BUCKETS[:-1]
    return {
        "ledger_account": [
            _text("account_id"),
            *_numbers("opened_at", "sequence", "at"),
            sa.Column("head", sa.LargeBinary(), nullable=False),
            *_numbers("issued", *before),
            _number("due_at", nullable=True),
        ],
        "ledger_grant": [
            _text("account_id"),
            _number("number"),
            sa.Column("priority", sa.SmallInteger(), nullable=False),
            _number("expires_at", nullable=True),
            *_numbers("amount", *before),
        ],
        "ledger_reservation": [
            _text("account_id"),
            _number("number"),
            _text("state"),
            *_numbers("amount", "captured", "freed", "reserved_at"),
            _number("expires_at", nullable=True),
            _text("dataset_id", nullable=True),
            _number("started_ms", nullable=True),
        ],
        "ledger_entry": [
            _text("account_id"),
            _number("sequence"),
            _text("kind"),
            *_numbers("at", "recorded_at"),
            _text("scope"),
            _text("key", nullable=True),
            sa.Column("digest", sa.LargeBinary(), nullable=True),
            _number("reservation", nullable=True),
            _text("details"),
            *_numbers("issued", *before),
            sa.Column("hash", sa.LargeBinary(), nullable=False),
        ],
        "ledger_transfer": [
            _text("account_id"),
            *_numbers("sequence", "ordinal", "grant_number"),
            _text("source"),
            _text("target"),
            _number("amount"),
        ],
        "ledger_card": [_text("account_id"), _text("card_id"), _text("content")],
    }


_KEYS = {
    "ledger_account": ("account_id",),
    "ledger_grant": ("account_id", "number"),
    "ledger_reservation": ("account_id", "number"),
    "ledger_entry": ("account_id", "sequence"),
    "ledger_transfer": ("account_id", "sequence", "ordinal"),
    "ledger_card": ("account_id", "card_id"),
}
_NOT_NEGATIVE = " AND ".join(f"{bucket} >= 0" for bucket in _BUCKETS)
_IN_BUCKETS = ", ".join(f"'{bucket}'" for bucket in _BUCKETS)
_KEPT_CHECKS = {
    "ledger_account": {"sequence_not_negative": "sequence >= 0"},
    "ledger_grant": {},
    "ledger_reservation": {
        "state_known": "state IN ('held', 'captured', 'released', 'expired')",
        "run_named_whole": "(dataset_id IS NULL) = (started_ms IS NULL)",
    },
    "ledger_entry": {
        "sequence_positive": "sequence > 0",
        "key_binds_a_request": "(key IS NULL) = (digest IS NULL)",
    },
    "ledger_transfer": {"amount_positive": "amount > 0", "moves": "source <> target"},
    "ledger_card": {},
}
_CHANGED_CHECKS = {
    "ledger_account": {"buckets_not_negative": _NOT_NEGATIVE, "every_credit_is_somewhere": f"issued = {_SUM}"},
    "ledger_grant": {
        "buckets_not_negative": _NOT_NEGATIVE,
        "every_credit_is_somewhere": f"amount = {_SUM}",
        "amount_positive": "amount > 0 OR (amount = 0 AND kind = 'credit_line')",
    },
    "ledger_reservation": {
        "amounts_not_negative": "amount >= 0 AND captured >= 0 AND freed >= 0 AND extra >= 0 AND grace >= 0",
        "settled_whole": "(state = 'held' AND freed = 0 AND captured <= amount)"
        " OR (state <> 'held' AND captured + freed = amount)",
    },
    "ledger_entry": {"buckets_not_negative": _NOT_NEGATIVE, "every_credit_is_somewhere": f"issued = {_SUM}"},
    "ledger_transfer": {
        "source_known": f"source IN ('issued', {_IN_BUCKETS})",
        "target_known": f"target IN ('issued', {_IN_BUCKETS})",
    },
    "ledger_card": {},
}
_NEW_CHECKS = {
    "ledger_account": {"owed_of_issued": "owed >= 0 AND owed <= issued AND credit_limit >= 0"},
    "ledger_grant": {
        "kind_known": "kind IN ('promotional', 'paid', 'credit_line')",
        "repaid_of_consumed": "repaid >= 0 AND repaid <= consumed",
    },
    "ledger_reservation": {
        "refunded_of_captured": "refunded >= 0 AND refunded <= captured + extra",
        "lapses_after_grace": "(expires_at IS NULL) = (lapses_at IS NULL)"
        " AND (expires_at IS NULL OR lapses_at = expires_at + grace)",
    },
    "ledger_entry": {},
    "ledger_transfer": {},
    "ledger_card": {},
}


def _alter_postgresql() -> None:
    for table in _PARENTS_FIRST:
        for column in _new_columns()[table]:
            op.add_column(table, column)
    op.drop_index("ix_ledger_grant_live", "ledger_grant")
    op.drop_index("ix_ledger_reservation_held", "ledger_reservation")
    # Before its CHECK: a hold of the revision before lapses when it expires.
    op.execute("UPDATE ledger_reservation SET lapses_at = expires_at")
    for table in _PARENTS_FIRST:
        for name in _CHANGED_CHECKS[table]:
            op.drop_constraint(op.f(f"ck_{table}_{name}"), table, type_="check")
        for name, condition in (_CHANGED_CHECKS[table] | _NEW_CHECKS[table]).items():
            op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, sa.text(condition))
    _index_grants()
    _index_held()


def _make_anew_sqlite() -> None:
    _refuse_references_of_hosts()
    belongs_to_host = _drop_what_would_clash()
    with _references_left_alone():
        for table in _PARENTS_FIRST:
            op.execute(f"ALTER TABLE {table} RENAME TO {table}_0001")
    for table in _PARENTS_FIRST:
        _create_sqlite(table)
        names = ", ".join(column.name for column in _old_columns()[table])
        also = (", lapses_at", ", expires_at") if table == "ledger_reservation" else ("", "")
        op.execute(f"INSERT INTO {table} ({names}{also[0]}) SELECT {names}{also[1]} FROM {table}_0001")
    for table in reversed(_PARENTS_FIRST):
        op.execute(f"DROP TABLE {table}_0001")
    _index("ix_ledger_account_due_at", "ledger_account", ["due_at"], "due_at IS NOT NULL")
    _index_grants()
    _index_held()
    run = ["account_id", "dataset_id", "started_ms"]
    _index("uq_ledger_reservation_run", "ledger_reservation", run, _IS_RUN, unique=True)
    _index("uq_ledger_reservation_active_run", "ledger_reservation", run[:2], f"{_IS_HELD} AND {_IS_RUN}", unique=True)
    _index("uq_ledger_entry_key", "ledger_entry", ["account_id", "scope", "key"], "key IS NOT NULL", unique=True)
    for table, change in _REFUSED:
        op.execute(
            f"CREATE TRIGGER {table}_refuses_{change.lower()} BEFORE {change} ON {table} BEGIN"
            f" SELECT RAISE(ABORT, '{table} is append-only: correct a mistake with a new entry'); END"
        )
    for statement in belongs_to_host:
        op.get_bind().exec_driver_sql(statement)


def _refuse_references_of_hosts() -> None:
    """Dropping a table acts on the rows that refer to it, and nothing inside a transaction can keep it from that."""
    bind = op.get_bind()
    if not bind.exec_driver_sql("PRAGMA foreign_keys").scalar_one():
        return
    found = bind.execute(_REFERENCES_OF_HOSTS, {"tables": _PARENTS_FIRST}).first()
    if found is not None:
        raise LedgerError(
            f"The table {found[0]} refers to {found[1]}, which this upgrade has to make anew on SQLite, and its rows"
            " could be lost with the old one. Nothing was changed. Run `PRAGMA foreign_keys = OFF` on a connection"
            " before its transaction begins, and give that connection to `ledger.upgrade`: the reference is kept."
        )


_REFERENCES_OF_HOSTS = sa.text(
    'SELECT m.name, f."table" FROM sqlite_master m, pragma_foreign_key_list(m.name) f'
    " WHERE m.type = 'table' AND lower(f.\"table\") IN :tables AND m.name NOT IN :tables ORDER BY 1, 2"
).bindparams(sa.bindparam("tables", expanding=True))


@contextmanager
def _references_left_alone() -> Iterator[None]:
    """Renaming a table changes no view, no trigger and, unless enforced, no foreign key that names it."""
    bind = op.get_bind()
    before = bind.exec_driver_sql("PRAGMA legacy_alter_table").scalar_one()
    bind.exec_driver_sql("PRAGMA legacy_alter_table = ON")
    try:
        yield
    finally:
        bind.exec_driver_sql(f"PRAGMA legacy_alter_table = {int(before)}")


def _drop_what_would_clash() -> list[str]:
    """Drop triggers and indexes, as they keep their names when a table is renamed; answers how hosts made theirs."""
    bind = op.get_bind()
    belongs_to_host = []
    for kind, name, statement in bind.execute(_ON_TABLES, {"tables": _PARENTS_FIRST}).all():
        quoted = name.replace('"', '""')
        bind.exec_driver_sql(f'DROP {kind} "{quoted}"')
        if name not in _OWN_NAMES:
            belongs_to_host.append(statement)
    return belongs_to_host


_REFUSED = tuple((table, change) for table in _APPEND_ONLY for change in ("UPDATE", "DELETE"))
_OWN_NAMES = {f"{table}_refuses_{change.lower()}" for table, change in _REFUSED} | {
    "ix_ledger_account_due_at",
    "ix_ledger_grant_live",
    "ix_ledger_reservation_held",
    "uq_ledger_reservation_run",
    "uq_ledger_reservation_active_run",
    "uq_ledger_entry_key",
}
_ON_TABLES = sa.text(
    "SELECT type, name, sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL"
    " AND lower(tbl_name) IN :tables ORDER BY rowid"
).bindparams(sa.bindparam("tables", expanding=True))


def _create_sqlite(table: str) -> None:
    checks = _KEPT_CHECKS[table] | _CHANGED_CHECKS[table] | _NEW_CHECKS[table]
    parts: list[Any] = [
        sa.CheckConstraint(condition, name=op.f(f"ck_{table}_{name}")) for name, condition in checks.items()
    ]
    parts.append(sa.PrimaryKeyConstraint(*_KEYS[table], name=op.f(f"pk_{table}")))
    if table == "ledger_transfer":
        parts.append(_references(table, "ledger_entry", ["account_id", "sequence"], ["account_id", "sequence"]))
    elif table != "ledger_account":
        parts.append(_references(table, "ledger_account", ["account_id"], ["account_id"]))
    op.create_table(table, *_old_columns()[table], *_new_columns()[table], *parts)


def _references(table: str, parent: str, columns: list[str], theirs: list[str]) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        columns, [f"{parent}.{column}" for column in theirs], name=op.f(f"fk_{table}_{parent}")
    )


def _index(name: str, table: str, columns: list[Any], condition: str, *, unique: bool = False) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, unique=unique, postgresql_where=where, sqlite_where=where)


def _index_grants() -> None:
    order = sa.text("coalesce(expires_at, 9223372036854775807)")
    _index("ix_ledger_grant_live", "ledger_grant", ["account_id", "priority", order], _IS_LIVE)


def _index_held() -> None:
    _index("ix_ledger_reservation_held", "ledger_reservation", ["account_id", "lapses_at"], _IS_HELD)


def _create_limits() -> None:
    table = "ledger_limit"
    op.create_table(
        table,
        _text("account_id"),
        _number("number"),
        *[_text(name) for name in ("label", "value", "period")],
        _number("maximum", nullable=True),
        sa.PrimaryKeyConstraint("account_id", "number", name=op.f(f"pk_{table}")),
        sa.UniqueConstraint(
            "account_id", "label", "value", "period", name=op.f(f"uq_{table}_account_id_label_value_period")
        ),
        sa.CheckConstraint("period IN ('day', 'month', 'total', 'concurrent')", name=op.f(f"ck_{table}_period_known")),
        sa.CheckConstraint("maximum >= 0", name=op.f(f"ck_{table}_maximum_not_negative")),
        _references(table, "ledger_account", ["account_id"], ["account_id"]),
    )


def _create_usage() -> None:
    table = "ledger_usage"
    key = ("account_id", "limit_number", "value", "window_start")
    op.create_table(
        table,
        _text("account_id"),
        _number("limit_number"),
        _text("value"),
        *_numbers("window_start", "spent", "holds"),
        sa.PrimaryKeyConstraint(*key, name=op.f(f"pk_{table}")),
        sa.CheckConstraint("spent >= 0 AND holds >= 0", name=op.f(f"ck_{table}_counts_not_negative")),
        _references(table, "ledger_limit", ["account_id", "limit_number"], ["account_id", "number"]),
    )


def _fill_grants() -> None:
    """A grant of the revision before took effect with its entry."""
    op.execute(
        "UPDATE ledger_grant SET effective_at = coalesce((SELECT e.at FROM ledger_entry e"
        " WHERE e.account_id = ledger_grant.account_id AND e.sequence = ledger_grant.number), 0)"
    )


def _fill_reservations() -> None:
    """A hold's slices, from the transfers of the entry that made it and of the one that captured it."""
    bind = op.get_bind()
    # Captures are found by their hold, which no index of the schema does: without one, each page reads every entry.
    captures = "ix_ledger_entry_captures_0001"
    op.execute(f"CREATE INDEX {captures} ON ledger_entry (account_id, reservation) WHERE kind = 'capture'")
    statement = _WRITE_POSTGRESQL if capabilities_of(bind).alters_tables else _WRITE_SQLITE
    after: tuple[str, int] = ("", 0)
    while rows := bind.execute(_HOLDS, {"account": after[0], "number": after[1], "limit": _ROWS_AT_ONCE}).all():
        after = (rows[-1][0], rows[-1][1])
        slices = _slices_of(bind, rows)
        written = [{"account_id": row[0], "number": row[1], "slices": slices[row[0], row[1]]} for row in rows]
        if capabilities_of(bind).alters_tables:
            bind.execute(statement, {name: [row[name] for row in written] for name in written[0]})
        else:
            bind.execute(statement, written)
    op.execute(f"DROP INDEX {captures}")


_HOLDS = sa.text(
    "SELECT account_id, number, state FROM ledger_reservation WHERE (account_id, number) > (:account, :number)"
    " ORDER BY account_id, number LIMIT :limit"
)
_IN_PAGE = "BETWEEN (:first_account, :first) AND (:last_account, :last)"
_HELD = sa.text(
    "SELECT account_id, sequence, grant_number, amount FROM ledger_transfer"
    f" WHERE (account_id, sequence) {_IN_PAGE} AND target = 'held' ORDER BY account_id, sequence, ordinal"
)
_CAPTURED = sa.text(
    # SQLite takes the tables of a CROSS JOIN in their order; by its own choice it would read every transfer each time.
    "SELECT e.account_id, e.reservation, t.grant_number, t.amount FROM ledger_entry e CROSS JOIN ledger_transfer t"
    f" WHERE (e.account_id, e.reservation) {_IN_PAGE} AND e.kind = 'capture'"
    " AND t.account_id = e.account_id AND t.sequence = e.sequence AND t.target = 'consumed'"
)
_WRITE_SQLITE = sa.text(
    "UPDATE ledger_reservation SET slices = :slices WHERE account_id = :account_id AND number = :number"
)
_WRITE_POSTGRESQL = sa.text(
    "UPDATE ledger_reservation AS r SET slices = filled.slices"
    " FROM unnest(CAST(:account_id AS text[]), CAST(:number AS bigint[]), CAST(:slices AS text[]))"
    " AS filled (account_id, number, slices) WHERE r.account_id = filled.account_id AND r.number = filled.number"
)


def _slices_of(bind: sa.Connection, rows: Any) -> dict[tuple[str, int], str]:
    """The slices of a page of holds, by account and number, as JSON."""
    first, last = rows[0], rows[-1]
    page = {"first_account": first[0], "first": first[1], "last_account": last[0], "last": last[1]}
    states = {(row[0], row[1]): row[2] for row in rows}
    consumed = {(row[0], row[1], row[2]): row[3] for row in bind.execute(_CAPTURED, page)}
    slices: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
    for account_id, number, grant, amount in bind.execute(_HELD, page):
        hold = (account_id, number)
        held = amount if states.get(hold) == "held" else 0
        slices[hold].append(f"[{grant},{held},{consumed.get((account_id, number, grant), 0)}]")
    return {hold: f"[{','.join(slices[hold])}]" for hold in states}
