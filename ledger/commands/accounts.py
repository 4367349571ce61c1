"""Commands on an account as a whole: open it, read it, correct it, set what it may owe and spend."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from ledger.errors import CommandInvalid
from ledger.model.checks import check_amount, check_common, check_id, check_text
from ledger.model.cycles import LimitPeriod
from ledger.model.digests import Digest

HOLDS_MAX = 1_000_000
"""The most holds that a limit on concurrent holds may allow."""


@dataclass(frozen=True, slots=True)
class OpenAccount:
    """Open an account. For one that is open already the answer is a replay."""

    account_id: str
    at: datetime | None = None

    def __post_init__(self) -> None:
        check_id(self.account_id, "account_id")
        check_common(None, self.at)


@dataclass(frozen=True, slots=True)
class ExpireDue:
    """Record what has come due in an account by `at`. Reads and writes count it whether or not it is recorded."""

    account_id: str
    at: datetime | None = None

    def __post_init__(self) -> None:
        check_id(self.account_id, "account_id")
        check_common(None, self.at)


@dataclass(frozen=True, slots=True)
class GetBalance:
    """The account's balance as the commands before it in the batch leave it, lapses by `at` included."""

    account_id: str
    at: datetime | None = None

    def __post_init__(self) -> None:
        check_id(self.account_id, "account_id")
        check_common(None, self.at)


@dataclass(frozen=True, slots=True)
class SetCreditLine:
    """Let an account owe up to `limit` credits. They are lent after all grants are spent, and new grants repay them."""

    account_id: str
    limit: Decimal | int
    key: str | None = None
    at: datetime | None = None
    limit_micro: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_id(self.account_id, "account_id")
        check_common(self.key, self.at)
        object.__setattr__(self, "limit_micro", check_amount(self.limit, least=0, name="limit"))

    def digest(self) -> Digest:
        """What the key binds."""
        return Digest("credit_line", self.limit_micro)


@dataclass(frozen=True, slots=True)
class SetLimit:
    """Limit what holds with a label may take in a period. `maximum` None lifts the limit.

    `label` "" limits the whole account; `value` "*" limits each value of the label apart. `maximum` is credits, or a
    number of holds where the period is `concurrent`.
    """

    account_id: str
    period: LimitPeriod | str
    maximum: Decimal | int | None
    label: str = ""
    value: str = "*"
    key: str | None = None
    at: datetime | None = None
    maximum_units: int | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_id(self.account_id, "account_id")
        check_common(self.key, self.at)
        if self.period not in list(LimitPeriod):
            raise CommandInvalid("period", f"is {self.period!r}; give one of {', '.join(LimitPeriod)}.")
        if self.label != "":
            check_text(self.label, "label")
        elif self.value != "*":
            raise CommandInvalid(
                "value", "needs a label. Name the label, or leave the value out for the whole account."
            )
        check_text(self.value, "value")
        object.__setattr__(self, "period", LimitPeriod(self.period))
        object.__setattr__(self, "maximum_units", self._units())

    def _units(self) -> int | None:
        if self.maximum is None:
            return None
        if self.period != LimitPeriod.CONCURRENT:
            return check_amount(self.maximum, least=0, name="maximum")
        if type(self.maximum) is not int or not 0 <= self.maximum <= HOLDS_MAX:
            raise CommandInvalid("maximum", f"must be a whole number of holds from 0 to {HOLDS_MAX:,}.")
        return self.maximum

    def digest(self) -> Digest:
        """What the key binds."""
        return Digest("limit", self.label, self.value, str(self.period), self.maximum_units)


@dataclass(frozen=True, slots=True)
class Adjust:
    """Correct a balance, with a reason. An amount above 0 is granted, one below 0 is consumed."""

    account_id: str
    amount: Decimal | int
    reason: str
    key: str | None = None
    at: datetime | None = None
    amount_micro: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_id(self.account_id, "account_id")
        check_common(self.key, self.at)
        check_text(self.reason, "reason")
        micro = check_amount(self.amount, least=-(2**63))
        if micro == 0:
            raise CommandInvalid("amount", "is 0; give the credits to add, or with a minus sign to take.")
        object.__setattr__(self, "amount_micro", micro)

    def digest(self) -> Digest:
        """What the key binds."""
        return Digest("adjust", self.amount_micro, self.reason)
