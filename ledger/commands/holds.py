"""Commands on holds: hold credits, capture or release a hold, extend it, refund what it captured."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

from ledger.errors import CommandInvalid, ReservationNotFound
from ledger.model.checks import check_amount, check_common, check_duration, check_id, check_labels, check_text
from ledger.model.digests import Digest
from ledger.model.ids import parse_reservation_id

if TYPE_CHECKING:
    from estimator import RateCard, RunPlan


class OverCapture(StrEnum):
    """What happens to a capture of more than is held.

    `reject` refuses it. `if_available` takes as much of the excess as is available. `credit_line` takes all of the
    excess, first from what is available and then from the credit line; where these do not suffice, it refuses.
    """

    REJECT = "reject"
    IF_AVAILABLE = "if_available"
    CREDIT_LINE = "credit_line"


@dataclass(frozen=True, slots=True)
class Reserve:
    """Hold credits, for `expires_in` (counted from `at`) or until the hold is captured or released.

    `grace`: how long after its expiry the hold may still be captured or released. `labels`: what limits and scopes of
    grants look at. `at_most`: hold what there is, up to the amount; with `plan` and `card` the answer says how many
    rows that pays.
    """

    account_id: str
    amount: Decimal | int
    key: str | None = None
    expires_in: timedelta | None = None
    at: datetime | None = None
    grace: timedelta | None = None
    labels: dict[str, str] | None = None
    at_most: bool = False
    plan: RunPlan | None = None
    card: RateCard | None = None
    amount_micro: int = field(init=False, repr=False, compare=False)
    expires_micros: int | None = field(init=False, repr=False, compare=False)
    grace_micros: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_id(self.account_id, "account_id")
        check_common(self.key, self.at)
        object.__setattr__(self, "amount_micro", check_amount(self.amount, least=1))
        object.__setattr__(self, "expires_micros", check_duration(self.expires_in, "expires_in"))
        object.__setattr__(self, "grace_micros", check_grace(self.grace, self.expires_in))
        if self.labels is not None:
            object.__setattr__(self, "labels", check_labels(self.labels))
        if (self.plan is None) != (self.card is None):
            raise CommandInvalid("plan", "needs its rate card beside it. Give both plan and card, or neither.")

    def digest(self) -> Digest:
        """What the key binds."""
        beyond: list[tuple[str, object]] = []
        if self.grace_micros:
            beyond.append(("grace", self.grace_micros))
        if self.labels:
            beyond.append(("labels", tuple(self.labels.items())))
        if self.at_most:
            beyond.append(("at_most", True))
        return Digest("reserve", self.amount_micro, self.expires_micros, *beyond)


def check_grace(grace: timedelta | None, expires_in: timedelta | None) -> int:
    """Microseconds of grace after an expiry. Raises `CommandInvalid`."""
    if grace is not None and expires_in is None:
        raise CommandInvalid("grace", "follows an expiry. Give expires_in too, or leave the grace out.")
    return check_duration(grace, "grace", least=0) or 0


@dataclass(frozen=True, slots=True)
class Capture:
    """Consume part of a hold, or all that is left of it where `amount` is None. 0 consumes nothing.

    A `final` capture frees the rest. After one that is not final the rest stays held, for further captures. `over`
    says what happens to an amount above what is held.
    """

    reservation_id: str
    amount: Decimal | int | None = None
    key: str | None = None
    account_id: str = ""
    at: datetime | None = None
    final: bool = True
    over: OverCapture | str = OverCapture.REJECT
    amount_micro: int | None = field(init=False, repr=False, compare=False)
    number: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_common(self.key, self.at)
        micro = None if self.amount is None else check_amount(self.amount, least=0)
        object.__setattr__(self, "amount_micro", micro)
        if self.over not in list(OverCapture):
            raise CommandInvalid("over", f"is {self.over!r}; give one of {', '.join(OverCapture)}.")
        _set_owner(self, self.reservation_id, self.account_id)

    def digest(self) -> Digest:
        """What the key binds."""
        beyond: list[tuple[str, object]] = []
        if not self.final:
            beyond.append(("final", False))
        if self.over != OverCapture.REJECT:
            beyond.append(("over", str(self.over)))
        return Digest("capture", self.number, self.amount_micro, *beyond)


@dataclass(frozen=True, slots=True)
class Release:
    """Free all that is left of a hold."""

    reservation_id: str
    key: str | None = None
    account_id: str = ""
    at: datetime | None = None
    number: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_common(self.key, self.at)
        _set_owner(self, self.reservation_id, self.account_id)

    def digest(self) -> Digest:
        """What the key binds."""
        return Digest("release", self.number)


@dataclass(frozen=True, slots=True)
class Extend:
    """Add a duration to the expiry of a hold. Refused once the hold has expired, also within its grace."""

    reservation_id: str
    by: timedelta
    key: str | None = None
    account_id: str = ""
    at: datetime | None = None
    by_micros: int = field(init=False, repr=False, compare=False)
    number: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_common(self.key, self.at)
        micros = check_duration(self.by, "by")
        if micros is None:
            raise CommandInvalid("by", "must be a timedelta, not NoneType.")
        object.__setattr__(self, "by_micros", micros)
        _set_owner(self, self.reservation_id, self.account_id)

    def digest(self) -> Digest:
        """What the key binds."""
        return Digest("extend", self.number, self.by_micros)


@dataclass(frozen=True, slots=True)
class Refund:
    """Give captured credits back to the grants that they came from, last consumed first. None is all of them."""

    reservation_id: str
    amount: Decimal | int | None = None
    key: str | None = None
    reason: str | None = None
    account_id: str = ""
    at: datetime | None = None
    amount_micro: int | None = field(init=False, repr=False, compare=False)
    number: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_common(self.key, self.at)
        micro = None if self.amount is None else check_amount(self.amount, least=1)
        object.__setattr__(self, "amount_micro", micro)
        if self.reason is not None:
            check_text(self.reason, "reason")
        _set_owner(self, self.reservation_id, self.account_id)

    def digest(self) -> Digest:
        """What the key binds."""
        return Digest("refund", self.number, self.amount_micro, self.reason)


def _set_owner(command: Capture | Release | Extend | Refund, reservation_id: str, account_id: str) -> None:
    """Set account and number from the reservation's id. An `account_id` given with it must be the same."""
    owner, number = parse_reservation_id(reservation_id)
    if account_id not in ("", owner):
        raise ReservationNotFound(reservation_id)
    object.__setattr__(command, "account_id", owner)
    object.__setattr__(command, "number", number)
