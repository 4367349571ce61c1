"""The ledger's tables, on metadata of their own, so that a host's migrations never see them.

Amounts are int64 micro-credits, moments int64 microseconds since 1970 UTC. Every primary and unique key starts
with `account_id`, so that an account lives on one shard. `ledger_entry` and `ledger_transfer` are the book and
are only ever appended to, as is `ledger_closing`, what finance closed of it; the other tables are what the book adds
up to, kept for quick decisions. The CHECKs hold what rules and `post` already guarantee; table models do not validate.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""The ledger's own metadata."""


class LedgerRow(SQLModel, registry=registry(metadata=metadata)):
    """Base of the ledger's rows."""


_BUCKETS = ("available", "held", "consumed", "expired", "revoked", "scheduled")
_SUM = " + ".join(_BUCKETS)


def _buckets_not_negative() -> CheckConstraint:
    return CheckConstraint(" AND ".join(f"{bucket} >= 0" for bucket in _BUCKETS), name="buckets_not_negative")


def _belongs_to_account() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["account_id"], ["ledger_account.account_id"])


def _checked_by_sqlite(reference: ForeignKeyConstraint) -> ForeignKeyConstraint:
    """A reference of the rows that every operation adds.

    PostgreSQL would look each of them up one by one, a third of the work on an account that is busy. They are
    written in one statement with their account, whose row is locked; triggers keep that one there; the audit finds
    a row of nobody on every database.
    """
    return reference.ddl_if(dialect="sqlite")


def _id(**options: Any) -> Any:
    return Field(sa_type=Text, **options)


def _number(**options: Any) -> Any:
    return Field(sa_type=BigInteger, **options)


def _count() -> Any:
    """A number that was not there from the first revision on, and is 0 where nothing else is said."""
    return Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})


def _key_number() -> Any:
    return Field(sa_type=BigInteger, primary_key=True, sa_column_kwargs={"autoincrement": False})


class AccountRow(LedgerRow, table=True):
    """One account: its lock, its balance, the head of its journal, and when something of it comes due next.

    `owed` is what its credit line has lent, `credit_limit` what it may lend; `limits_count`, `scoped_count` and
    `closings_count` are how many spend limits were ever set, grants with a scope made, and periods closed.
    """

    __tablename__: ClassVar[str] = "ledger_account"
    __table_args__ = (
        _buckets_not_negative(),
        CheckConstraint(f"issued = {_SUM}", name="every_credit_is_somewhere"),
        CheckConstraint("sequence >= 0", name="sequence_not_negative"),
        CheckConstraint("owed >= 0 AND owed <= issued AND credit_limit >= 0", name="owed_of_issued"),
        Index(
            None,
            "due_at",
            postgresql_where=text("due_at IS NOT NULL"),
            sqlite_where=text("due_at IS NOT NULL"),
        ),
    )

    account_id: str = _id(primary_key=True)
    opened_at: int = _number()
    sequence: int = _number()
    at: int = _number()
    head: bytes = Field(sa_type=LargeBinary)
    issued: int = _number()
    available: int = _number()
    held: int = _number()
    consumed: int = _number()
    expired: int = _number()
    revoked: int = _number()
    due_at: int | None = _number(nullable=True)
    scheduled: int = _count()
    owed: int = _count()
    credit_limit: int = _count()
    limits_count: int = _count()
    scoped_count: int = _count()
    closings_count: int = _count()


IS_LIVE = "available + held + scheduled > 0 OR kind = 'credit_line' OR recurrence IS NOT NULL"
"""The grants that operations look at: those with credits left, the credit line, and what recurs."""

EXPIRY_ORDER = "coalesce(expires_at, 9223372036854775807)"
"""Earliest expiry first and none last, the same on every database."""


class GrantRow(LedgerRow, table=True):
    """One lot of credits; `number` is the sequence of the entry that granted it.

    A credit line is a grant that issues what it lends and takes it back. `allowance` is the first lot of a
    recurrence, whose terms (JSON) the latest lot carries; `scope` is JSON, label -> values.
    """

    __tablename__: ClassVar[str] = "ledger_grant"
    __table_args__ = (
        _buckets_not_negative(),
        CheckConstraint(f"amount = {_SUM}", name="every_credit_is_somewhere"),
        CheckConstraint("amount > 0 OR (amount = 0 AND kind = 'credit_line')", name="amount_positive"),
        CheckConstraint("kind IN ('promotional', 'paid', 'credit_line')", name="kind_known"),
        CheckConstraint("repaid >= 0 AND repaid <= consumed", name="repaid_of_consumed"),
        _belongs_to_account(),
        Index(
            "ix_ledger_grant_live",
            "account_id",
            "priority",
            text(EXPIRY_ORDER),
            postgresql_where=text(IS_LIVE),
            sqlite_where=text(IS_LIVE),
        ),
    )

    account_id: str = _id(primary_key=True)
    number: int = _key_number()
    priority: int = Field(sa_type=SmallInteger)
    expires_at: int | None = _number(nullable=True)
    amount: int = _number()
    available: int = _number()
    held: int = _number()
    consumed: int = _number()
    expired: int = _number()
    revoked: int = _number()
    scheduled: int = _count()
    kind: str = Field(default="paid", sa_type=Text, sa_column_kwargs={"server_default": text("'paid'")})
    effective_at: int = _count()
    scope: str | None = _id(nullable=True)
    revoked_at: int | None = _number(nullable=True)
    repaid: int = _count()
    allowance: int | None = _number(nullable=True)
    recurrence: str | None = _id(nullable=True)


_IS_HELD = "state = 'held'"
_IS_RUN = "dataset_id IS NOT NULL"
_IS_ACTIVE_RUN = "state = 'held' AND dataset_id IS NOT NULL"


class ReservationRow(LedgerRow, table=True):
    """One hold; `number` is the sequence of the entry that made it, whose transfers are its slices.

    A hold that a launch made names its run: the dataset and the epoch milliseconds in its run id. It lapses at its
    expiry and the grace after it. `extra` was captured above the hold. `slices` is JSON, a list of [grant number,
    still held, consumed and not refunded]; `labels` and `counted` (limit, value, window) are JSON or null.
    """

    __tablename__: ClassVar[str] = "ledger_reservation"
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
        _checked_by_sqlite(_belongs_to_account()),
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

    account_id: str = _id(primary_key=True)
    number: int = _key_number()
    state: str = _id()
    amount: int = _number()
    captured: int = _number()
    freed: int = _number()
    reserved_at: int = _number()
    expires_at: int | None = _number(nullable=True)
    dataset_id: str | None = _id(nullable=True)
    started_ms: int | None = _number(nullable=True)
    grace: int = _count()
    lapses_at: int | None = _number(nullable=True)
    extra: int = _count()
    refunded: int = _count()
    slices: str = Field(default="[]", sa_type=Text, sa_column_kwargs={"server_default": text("'[]'")})
    labels: str | None = _id(nullable=True)
    counted: str | None = _id(nullable=True)


class EntryRow(LedgerRow, table=True):
    """One operation, with the balance that it left and the hash over it and the entry before."""

    __tablename__: ClassVar[str] = "ledger_entry"
    __table_args__ = (
        _buckets_not_negative(),
        CheckConstraint("sequence > 0", name="sequence_positive"),
        CheckConstraint("(key IS NULL) = (digest IS NULL)", name="key_binds_a_request"),
        CheckConstraint(f"issued = {_SUM}", name="every_credit_is_somewhere"),
        _checked_by_sqlite(_belongs_to_account()),
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

    account_id: str = _id(primary_key=True)
    sequence: int = _key_number()
    kind: str = _id()
    at: int = _number()
    recorded_at: int = _number()
    scope: str = _id()
    key: str | None = _id(nullable=True)
    digest: bytes | None = Field(default=None, sa_type=LargeBinary, nullable=True)
    reservation: int | None = _number(nullable=True)
    details: str = _id()
    issued: int = _number()
    available: int = _number()
    held: int = _number()
    consumed: int = _number()
    expired: int = _number()
    revoked: int = _number()
    hash: bytes = Field(sa_type=LargeBinary)
    scheduled: int = _count()
    owed: int = _count()


_IN_BUCKETS = ", ".join(f"'{bucket}'" for bucket in _BUCKETS)


class TransferRow(LedgerRow, table=True):
    """Credits of one grant moving between buckets, as the `ordinal`-th transfer of an entry."""

    __tablename__: ClassVar[str] = "ledger_transfer"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount_positive"),
        CheckConstraint("source <> target", name="moves"),
        CheckConstraint(f"source IN ('issued', {_IN_BUCKETS})", name="source_known"),
        CheckConstraint(f"target IN ('issued', {_IN_BUCKETS})", name="target_known"),
        _checked_by_sqlite(
            ForeignKeyConstraint(["account_id", "sequence"], ["ledger_entry.account_id", "ledger_entry.sequence"])
        ),
    )

    account_id: str = _id(primary_key=True)
    sequence: int = _key_number()
    ordinal: int = _key_number()
    grant_number: int = _number()
    source: str = _id()
    target: str = _id()
    amount: int = _number()


class LimitRow(LedgerRow, table=True):
    """What holds with a label may take in a period; `number` is the sequence of the entry that first set it.

    `maximum` is micro-credits, or holds where the period is `concurrent`; null limits nothing.
    """

    __tablename__: ClassVar[str] = "ledger_limit"
    __table_args__ = (
        CheckConstraint("period IN ('day', 'month', 'total', 'concurrent')", name="period_known"),
        CheckConstraint("maximum >= 0", name="maximum_not_negative"),
        _belongs_to_account(),
        UniqueConstraint("account_id", "label", "value", "period"),
    )

    account_id: str = _id(primary_key=True)
    number: int = _key_number()
    label: str = _id()
    value: str = _id()
    period: str = _id()
    maximum: int | None = _number(nullable=True)


class UsageRow(LedgerRow, table=True):
    """What counts against a limit under one value of its label, in one window: micro-credits, and open holds."""

    __tablename__: ClassVar[str] = "ledger_usage"
    __table_args__ = (
        CheckConstraint("spent >= 0 AND holds >= 0", name="counts_not_negative"),
        ForeignKeyConstraint(["account_id", "limit_number"], ["ledger_limit.account_id", "ledger_limit.number"]),
    )

    account_id: str = _id(primary_key=True)
    limit_number: int = _key_number()
    value: str = _id(primary_key=True)
    window_start: int = _key_number()
    spent: int = _number()
    holds: int = _number()


_IS_WAITING = "state = 'waiting'"


class OutboxRow(LedgerRow, table=True):
    """The start of a launched run, to be handed to the host's pipeline; `number` is the sequence of the launch's entry.

    What is to be started stands in that entry. `created_at` is the entry's moment. The other columns say how far the
    delivery is, which no entry does: they are for those who deliver, and no evidence of anything.
    """

    __tablename__: ClassVar[str] = "ledger_outbox"
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

    account_id: str = _id(primary_key=True)
    number: int = _key_number()
    created_at: int = _number()
    state: str = _id()
    attempts: int = _number()
    next_attempt_at: int = _number()
    ended_at: int | None = _number(nullable=True)
    error: str | None = _id(nullable=True)


class CardRow(LedgerRow, table=True):
    """A rate card by content, kept when an account first launches under it, so that its runs can be priced again."""

    __tablename__: ClassVar[str] = "ledger_card"
    __table_args__ = (_belongs_to_account(),)

    account_id: str = _id(primary_key=True)
    card_id: str = _id(primary_key=True)
    content: str = _id()


class ClosingRow(LedgerRow, table=True):
    """One accounting period of an account as it was closed; `number` counts the account's closings from 1.

    `sequence` is the last entry that it counts and `head` that entry's hash. `figures` is JSON, as
    `ledger.figures` writes it. `hash` is over the row and the account's closing before it.
    """

    __tablename__: ClassVar[str] = "ledger_closing"
    __table_args__ = (
        CheckConstraint("number > 0 AND sequence > 0", name="numbers_positive"),
        CheckConstraint("until > since", name="ends_after_it_begins"),
        _belongs_to_account(),
        Index(None, "until", "account_id"),
    )

    account_id: str = _id(primary_key=True)
    number: int = _key_number()
    name: str = _id()
    zone: str = _id()
    since: int = _number()
    until: int = _number()
    sequence: int = _number()
    head: bytes = Field(sa_type=LargeBinary)
    closed_at: int = _number()
    closed_by: str = _id()
    figures: str = _id()
    hash: bytes = Field(sa_type=LargeBinary)
