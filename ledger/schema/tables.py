"""The ledger's tables. They have their own metadata, so a host's migrations never see them.

Amounts are int64 micro-credits, moments int64 microseconds since 1970 UTC. Every primary and unique key starts with
`account_id`, so an account lives on one shard. `ledger_entry` and `ledger_transfer` are the book; rows are only ever
added to them, and to `ledger_closing`, the accounting periods that finance closed. The other tables hold what follows
from the book, for quick decisions. Rules and `post` guarantee what the CHECKs check; table models do not validate.
"""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import (
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlmodel import Field

from ledger.schema.columns import (
    BUCKET_SUM,
    BUCKETS,
    LedgerRow,
    belongs_to_account,
    buckets_not_negative,
    checked_by_sqlite,
    count_column,
    key_number_column,
    number_column,
    text_column,
)

metadata = LedgerRow.metadata
"""The ledger's own metadata, with every table below."""


class AccountRow(LedgerRow, table=True):
    """One account: its lock, its balance, the head of its journal, and when something of it comes due next.

    `owed` is what its credit line has lent, `credit_limit` what it may lend. `limits_count`, `scoped_count` and
    `closings_count` count the spend limits ever set, the grants made with a scope, and the periods closed.
    """

    __tablename__: ClassVar[str] = "ledger_account"
    updated: ClassVar[tuple[str, ...]] = (
        "sequence",
        "at",
        "head",
        "issued",
        *BUCKETS,
        "owed",
        "due_at",
        "credit_limit",
        "limits_count",
        "scoped_count",
        "closings_count",
    )
    __table_args__ = (
        buckets_not_negative(),
        CheckConstraint(f"issued = {BUCKET_SUM}", name="every_credit_is_somewhere"),
        CheckConstraint("sequence >= 0", name="sequence_not_negative"),
        CheckConstraint("owed >= 0 AND owed <= issued AND credit_limit >= 0", name="owed_of_issued"),
        Index(
            None,
            "due_at",
            postgresql_where=text("due_at IS NOT NULL"),
            sqlite_where=text("due_at IS NOT NULL"),
        ),
    )

    account_id: str = text_column(primary_key=True)
    opened_at: int = number_column()
    sequence: int = number_column()
    at: int = number_column()
    head: bytes = Field(sa_type=LargeBinary)
    issued: int = number_column()
    available: int = number_column()
    held: int = number_column()
    consumed: int = number_column()
    expired: int = number_column()
    revoked: int = number_column()
    due_at: int | None = number_column(nullable=True)
    scheduled: int = count_column()
    owed: int = count_column()
    credit_limit: int = count_column()
    limits_count: int = count_column()
    scoped_count: int = count_column()
    closings_count: int = count_column()


IS_LIVE = "available + held + scheduled > 0 OR kind = 'credit_line' OR recurrence IS NOT NULL"
"""The condition of live grants, which operations look at: credits left, the credit line, or a recurrence."""

EXPIRY_ORDER = "coalesce(expires_at, 9223372036854775807)"
"""The order of expiries: earliest first and none last, the same on every database."""


class GrantRow(LedgerRow, table=True):
    """One lot of credits; `number` is the sequence of the entry that granted it.

    A credit line is a grant that issues what it lends and takes it back. `allowance` is the number of the first lot of
    a recurrence; the latest lot carries the recurrence's terms, as JSON. `scope` is JSON: label -> values.
    """

    __tablename__: ClassVar[str] = "ledger_grant"
    updated: ClassVar[tuple[str, ...]] = ("amount", *BUCKETS, "expires_at", "revoked_at", "repaid", "recurrence")
    __table_args__ = (
        buckets_not_negative(),
        CheckConstraint(f"amount = {BUCKET_SUM}", name="every_credit_is_somewhere"),
        CheckConstraint("amount > 0 OR (amount = 0 AND kind = 'credit_line')", name="amount_positive"),
        CheckConstraint("kind IN ('promotional', 'paid', 'credit_line')", name="kind_known"),
        CheckConstraint("repaid >= 0 AND repaid <= consumed", name="repaid_of_consumed"),
        belongs_to_account(),
        Index(
            "ix_ledger_grant_live",
            "account_id",
            "priority",
            text(EXPIRY_ORDER),
            postgresql_where=text(IS_LIVE),
            sqlite_where=text(IS_LIVE),
        ),
    )

    account_id: str = text_column(primary_key=True)
    number: int = key_number_column()
    priority: int = Field(sa_type=SmallInteger)
    expires_at: int | None = number_column(nullable=True)
    amount: int = number_column()
    available: int = number_column()
    held: int = number_column()
    consumed: int = number_column()
    expired: int = number_column()
    revoked: int = number_column()
    scheduled: int = count_column()
    kind: str = Field(default="paid", sa_type=Text, sa_column_kwargs={"server_default": text("'paid'")})
    effective_at: int = count_column()
    scope: str | None = text_column(nullable=True)
    revoked_at: int | None = number_column(nullable=True)
    repaid: int = count_column()
    allowance: int | None = number_column(nullable=True)
    recurrence: str | None = text_column(nullable=True)


_IS_HELD = "state = 'held'"
_IS_RUN = "dataset_id IS NOT NULL"
_IS_ACTIVE_RUN = "state = 'held' AND dataset_id IS NOT NULL"


class ReservationRow(LedgerRow, table=True):
    """One hold; `number` is the sequence of the entry that made it, whose transfers are its slices.

    The hold of a run has the run's dataset and the epoch milliseconds of its run id. A hold lapses when the grace after
    its expiry ends. `extra` was captured above the hold. `slices` is JSON: a list of [grant number, still held,
    consumed and not refunded]. `labels` is JSON or null; so is `counted`, a list of [limit, value, window].
    """

    __tablename__: ClassVar[str] = "ledger_reservation"
    updated: ClassVar[tuple[str, ...]] = (
        "state",
        "captured",
        "freed",
        "expires_at",
        "lapses_at",
        "extra",
        "refunded",
        "slices",
    )
    __table_args__ = (
        CheckConstraint("state IN ('held', 'captured', 'released', 'expired')", name="state_known"),
        CheckConstraint(
            "amount >= 0 AND captured >= 0 AND freed >= 0 AND extra >= 0 AND grace >= 0", name="amounts_not_negative"
        ),
        CheckConstraint(
            "(state = 'held' AND freed = 0 AND captured <= amount) OR (state <> 'held' AND captured + freed = amount)",
            name="settled_whole",
        ),
        CheckConstraint("refunded >= 0 AND refunded <= captured + extra", name="refunded_of_captured"),
        CheckConstraint(
            "(expires_at IS NULL) = (lapses_at IS NULL) AND (expires_at IS NULL OR lapses_at = expires_at + grace)",
            name="lapses_after_grace",
        ),
        CheckConstraint("(dataset_id IS NULL) = (started_ms IS NULL)", name="run_named_whole"),
        checked_by_sqlite(belongs_to_account()),
        Index(
            "ix_ledger_reservation_held",
            "account_id",
            "lapses_at",
            postgresql_where=text(_IS_HELD),
            sqlite_where=text(_IS_HELD),
        ),
        Index(
            "uq_ledger_reservation_run",
            "account_id",
            "dataset_id",
            "started_ms",
            unique=True,
            postgresql_where=text(_IS_RUN),
            sqlite_where=text(_IS_RUN),
        ),
        Index(
            "uq_ledger_reservation_active_run",
            "account_id",
            "dataset_id",
            unique=True,
            postgresql_where=text(_IS_ACTIVE_RUN),
            sqlite_where=text(_IS_ACTIVE_RUN),
        ),
    )

    account_id: str = text_column(primary_key=True)
    number: int = key_number_column()
    state: str = text_column()
    amount: int = number_column()
    captured: int = number_column()
    freed: int = number_column()
    reserved_at: int = number_column()
    expires_at: int | None = number_column(nullable=True)
    dataset_id: str | None = text_column(nullable=True)
    started_ms: int | None = number_column(nullable=True)
    grace: int = count_column()
    lapses_at: int | None = number_column(nullable=True)
    extra: int = count_column()
    refunded: int = count_column()
    slices: str = Field(default="[]", sa_type=Text, sa_column_kwargs={"server_default": text("'[]'")})
    labels: str | None = text_column(nullable=True)
    counted: str | None = text_column(nullable=True)


class EntryRow(LedgerRow, table=True):
    """One operation, with the account's balance after it and the hash over it and the entry before."""

    __tablename__: ClassVar[str] = "ledger_entry"
    __table_args__ = (
        buckets_not_negative(),
        CheckConstraint("sequence > 0", name="sequence_positive"),
        CheckConstraint("(key IS NULL) = (digest IS NULL)", name="key_binds_a_request"),
        CheckConstraint(f"issued = {BUCKET_SUM}", name="every_credit_is_somewhere"),
        checked_by_sqlite(belongs_to_account()),
        Index(
            "uq_ledger_entry_key",
            "account_id",
            "scope",
            "key",
            unique=True,
            postgresql_where=text("key IS NOT NULL"),
            sqlite_where=text("key IS NOT NULL"),
        ),
    )

    account_id: str = text_column(primary_key=True)
    sequence: int = key_number_column()
    kind: str = text_column()
    at: int = number_column()
    recorded_at: int = number_column()
    scope: str = text_column()
    key: str | None = text_column(nullable=True)
    digest: bytes | None = Field(default=None, sa_type=LargeBinary, nullable=True)
    reservation: int | None = number_column(nullable=True)
    details: str = text_column()
    issued: int = number_column()
    available: int = number_column()
    held: int = number_column()
    consumed: int = number_column()
    expired: int = number_column()
    revoked: int = number_column()
    hash: bytes = Field(sa_type=LargeBinary)
    scheduled: int = count_column()
    owed: int = count_column()


_IN_BUCKETS = ", ".join(f"'{bucket}'" for bucket in BUCKETS)


class TransferRow(LedgerRow, table=True):
    """Credits of one grant moving between buckets, as the `ordinal`-th transfer of an entry."""

    __tablename__: ClassVar[str] = "ledger_transfer"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount_positive"),
        CheckConstraint("source <> target", name="moves"),
        CheckConstraint(f"source IN ('issued', {_IN_BUCKETS})", name="source_known"),
        CheckConstraint(f"target IN ('issued', {_IN_BUCKETS})", name="target_known"),
        checked_by_sqlite(
            ForeignKeyConstraint(["account_id", "sequence"], ["ledger_entry.account_id", "ledger_entry.sequence"])
        ),
    )

    account_id: str = text_column(primary_key=True)
    sequence: int = key_number_column()
    ordinal: int = key_number_column()
    grant_number: int = number_column()
    source: str = text_column()
    target: str = text_column()
    amount: int = number_column()


class LimitRow(LedgerRow, table=True):
    """What holds with a label may take in a period; `number` is the sequence of the entry that first set it.

    `maximum` is micro-credits, or a number of holds where the period is `concurrent`. Null is a lifted limit.
    """

    __tablename__: ClassVar[str] = "ledger_limit"
    updated: ClassVar[tuple[str, ...]] = ("maximum",)
    __table_args__ = (
        CheckConstraint("period IN ('day', 'month', 'total', 'concurrent')", name="period_known"),
        CheckConstraint("maximum >= 0", name="maximum_not_negative"),
        belongs_to_account(),
        UniqueConstraint("account_id", "label", "value", "period"),
    )

    account_id: str = text_column(primary_key=True)
    number: int = key_number_column()
    label: str = text_column()
    value: str = text_column()
    period: str = text_column()
    maximum: int | None = number_column(nullable=True)


class UsageRow(LedgerRow, table=True):
    """A counter of a limit, for one value of its label in one window: micro-credits, and open holds."""

    __tablename__: ClassVar[str] = "ledger_usage"
    updated: ClassVar[tuple[str, ...]] = ("spent", "holds")
    __table_args__ = (
        CheckConstraint("spent >= 0 AND holds >= 0", name="counts_not_negative"),
        ForeignKeyConstraint(["account_id", "limit_number"], ["ledger_limit.account_id", "ledger_limit.number"]),
    )

    account_id: str = text_column(primary_key=True)
    limit_number: int = key_number_column()
    value: str = text_column(primary_key=True)
    window_start: int = key_number_column()
    spent: int = number_column()
    holds: int = number_column()


_IS_WAITING = "state = 'waiting'"


class OutboxRow(LedgerRow, table=True):
    """The start of a launched run, to be handed to the host's pipeline; `number` is the sequence of the launch's entry.

    The entry has the request and the plan. `created_at` is the entry's moment. The other columns are the state of the
    delivery; no entry records it, so they prove nothing.
    """

    __tablename__: ClassVar[str] = "ledger_outbox"
    updated: ClassVar[tuple[str, ...]] = ("state", "attempts", "next_attempt_at", "ended_at", "error")
    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'delivered', 'withdrawn')", name="state_known"),
        CheckConstraint("(state = 'waiting') = (ended_at IS NULL)", name="ended_when_not_waiting"),
        CheckConstraint("attempts >= 0 AND (state <> 'delivered' OR attempts > 0)", name="delivered_by_an_attempt"),
        ForeignKeyConstraint(["account_id", "number"], ["ledger_reservation.account_id", "ledger_reservation.number"]),
        Index(
            "ix_ledger_outbox_waiting",
            "next_attempt_at",
            "account_id",
            "number",
            postgresql_where=text(_IS_WAITING),
            sqlite_where=text(_IS_WAITING),
        ),
    )

    account_id: str = text_column(primary_key=True)
    number: int = key_number_column()
    created_at: int = number_column()
    state: str = text_column()
    attempts: int = number_column()
    next_attempt_at: int = number_column()
    ended_at: int | None = number_column(nullable=True)
    error: str | None = text_column(nullable=True)


class CardRow(LedgerRow, table=True):
    """A rate card, stored when an account first launches a run under it, so that the run can be priced again."""

    __tablename__: ClassVar[str] = "ledger_card"
    __table_args__ = (belongs_to_account(),)

    account_id: str = text_column(primary_key=True)
    card_id: str = text_column(primary_key=True)
    content: str = text_column()


class ClosingRow(LedgerRow, table=True):
    """One accounting period of an account as it was closed; `number` counts the account's closings from 1.

    `sequence` is the last entry that it counts, `head` that entry's hash. `figures` is JSON, as
    `ledger.accounting.money` writes it. `hash` is over the row and the account's closing before it.
    """

    __tablename__: ClassVar[str] = "ledger_closing"
    __table_args__ = (
        CheckConstraint("number > 0 AND sequence > 0", name="numbers_positive"),
        CheckConstraint("until > since", name="ends_after_it_begins"),
        belongs_to_account(),
        Index(None, "until", "account_id"),
    )

    account_id: str = text_column(primary_key=True)
    number: int = key_number_column()
    name: str = text_column()
    zone: str = text_column()
    since: int = number_column()
    until: int = number_column()
    sequence: int = number_column()
    head: bytes = Field(sa_type=LargeBinary)
    closed_at: int = number_column()
    closed_by: str = text_column()
    figures: str = text_column()
    hash: bytes = Field(sa_type=LargeBinary)


UPDATED_COLUMNS: dict[str, tuple[str, ...]] = {
    str(row.__tablename__): row.updated for row in LedgerRow.__subclasses__() if row.updated
}
"""The columns that operations and closings update, by table. All other columns are written once."""
