"""What the ledger answers: frozen values, amounts as `Decimal` credits, moments as aware UTC datetimes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from estimator import RunResponse


class Bucket(StrEnum):
    """Where credits are. They come from `issued`, and then each credit of a grant is in exactly one other bucket."""

    ISSUED = "issued"
    AVAILABLE = "available"
    HELD = "held"
    CONSUMED = "consumed"
    EXPIRED = "expired"
    REVOKED = "revoked"
    SCHEDULED = "scheduled"


class ReservationState(StrEnum):
    """A reservation is held until a final capture, a release or its expiry ends it for good."""

    HELD = "held"
    CAPTURED = "captured"
    RELEASED = "released"
    EXPIRED = "expired"


class StartState(StrEnum):
    """The start of a run waits until it is delivered, or is withdrawn because its run has ended."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    WITHDRAWN = "withdrawn"


class EntryKind(StrEnum):
    """The operations that the journal records."""

    GRANT = "grant"
    RESERVE = "reserve"
    CAPTURE = "capture"
    RELEASE = "release"
    EXPIRE = "expire"
    ACTIVATE = "activate"
    RENEW = "renew"
    REVOKE = "revoke"
    EXTEND = "extend"
    REFUND = "refund"
    ADJUST = "adjust"
    CREDIT_LINE = "credit_line"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True)
class Balance:
    """An account's credits at a moment, by bucket; the six buckets sum to `issued`.

    `scheduled` credits were granted and take effect later. `owed` is how many of the issued credits the credit line has
    lent and not got back. These are held or consumed.
    """

    account_id: str
    at: datetime
    available: Decimal
    held: Decimal
    consumed: Decimal
    expired: Decimal
    revoked: Decimal
    scheduled: Decimal = Decimal(0)
    owed: Decimal = Decimal(0)

    @property
    def issued(self) -> Decimal:
        """All credits ever granted to the account, and those that its credit line has lent and not got back."""
        return self.available + self.held + self.consumed + self.expired + self.revoked + self.scheduled


@dataclass(frozen=True, slots=True)
class Account:
    """An open account. `replayed` is True where it was open before."""

    account_id: str
    opened_at: datetime
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Grant:
    """A lot of credits with its own priority (lower burns first) and expiry (None: never), as it was granted.

    `expires_at` of a recurring grant is the end of its first period. `repaid` is how much of the grant repaid what the
    credit line had lent.
    """

    grant_id: str
    account_id: str
    amount: Decimal
    priority: int
    expires_at: datetime | None
    granted_at: datetime
    replayed: bool = False
    kind: str = "paid"
    effective_at: datetime | None = None
    repaid: Decimal = Decimal(0)
    cost_basis: dict[str, str] | None = None
    scope: dict[str, list[str]] | None = None
    external_ref: str | None = None
    metadata: dict[str, Any] | None = None
    recurrence: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class GrantStanding:
    """Where a grant's credits are at a moment; the six places sum to `amount`.

    `expires_at` is when this lot lapses. `recurring_id` is the grant id of the first lot of its recurrence. For the
    credit line `amount` is what is owed.
    """

    grant_id: str
    account_id: str
    kind: str
    priority: int
    effective_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    scope: dict[str, list[str]] | None
    recurring_id: str | None
    amount: Decimal
    available: Decimal
    held: Decimal
    consumed: Decimal
    expired: Decimal
    revoked: Decimal
    scheduled: Decimal


@dataclass(frozen=True, slots=True)
class Revocation:
    """The credits taken back of a grant, and of the other lots of its recurrence; `grants` names all of them."""

    account_id: str
    grant_id: str
    amount: Decimal
    grants: tuple[str, ...]
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A correction: credits added as a grant (`grant_id`), or taken from grants (`slices`) and consumed."""

    account_id: str
    amount: Decimal
    reason: str
    grant_id: str | None
    slices: tuple[Slice, ...]
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class CreditLine:
    """How much an account may owe (`limit`), how much it owes, and how much more it may owe (`left`)."""

    account_id: str
    limit: Decimal
    owed: Decimal
    left: Decimal
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Limit:
    """What holds with a label may take in a period. `maximum` None means that the limit was lifted."""

    account_id: str
    label: str
    value: str
    period: str
    maximum: Decimal | None
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Slice:
    """The part of one grant that a reservation holds, in the order in which it will be consumed."""

    grant_id: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Reservation:
    """A hold, as it was after the operation that answers it.

    `amount` was held. `captured` was consumed, including what captures took above the hold. `freed` went back to the
    grants. `refunded` is the part of `captured` that was given back later. `applied` is what this operation held,
    captured, freed or refunded. `rows` is how many rows the hold pays, where it was reserved `at_most` with a plan.
    """

    reservation_id: str
    account_id: str
    amount: Decimal
    state: ReservationState
    captured: Decimal
    freed: Decimal
    reserved_at: datetime
    expires_at: datetime | None
    slices: tuple[Slice, ...]
    dataset_id: str | None = None
    run_id: str | None = None
    replayed: bool = False
    refunded: Decimal = Decimal(0)
    applied: Decimal = Decimal(0)
    grace: timedelta = timedelta(0)
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Expiry:
    """What had come due in an account: the holds and grants that lapsed, the credits freed and expired."""

    account_id: str
    reservations: tuple[str, ...]
    grants: tuple[str, ...]
    freed: Decimal
    expired: Decimal


@dataclass(frozen=True, slots=True)
class Launch:
    """A launched run, its hold, and the response on the wire. A replay has the first response.

    For an estimate-only request `run_id` and `reservation_id` are None and nothing is held.
    """

    account_id: str
    dataset_id: str
    run_id: str | None
    reservation_id: str | None
    response: RunResponse
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class RunSettlement:
    """What a finished run was charged, and what its hold gave back."""

    run_id: str
    reservation_id: str
    status: str
    captured: Decimal
    freed: Decimal
    line_items: tuple[dict[str, Any], ...]
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Transfer:
    """Credits of one grant moving from one bucket to another."""

    grant_id: str
    source: Bucket
    target: Bucket
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Entry:
    """One operation in an account's journal, numbered from 1 without gaps, with the balance that it left.

    `at` is when it took effect (never earlier than the entry before), `recorded_at` when it was written,
    `hash` the SHA-256 over the entry before and this one. `details` depends on the kind.
    """

    account_id: str
    sequence: int
    kind: EntryKind
    at: datetime
    recorded_at: datetime
    key: str | None
    reservation_id: str | None
    details: dict[str, Any]
    transfers: tuple[Transfer, ...]
    balance: Balance
    hash: str


@dataclass(frozen=True, slots=True)
class Statement:
    """An account's entries of a period, between the balance before and the balance after: `[since, until)`."""

    account_id: str
    since: datetime | None
    until: datetime
    opening: Balance
    entries: tuple[Entry, ...]
    closing: Balance


Result = (
    Account
    | Grant
    | Revocation
    | Adjustment
    | CreditLine
    | Limit
    | Reservation
    | Expiry
    | Launch
    | RunSettlement
    | Balance
)
