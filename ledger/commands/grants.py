"""Commands that issue credits and take back what is left of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from ledger.errors import CommandInvalid, GrantNotFound
from ledger.model.checks import (
    PRIORITY_MAX,
    check_amount,
    check_common,
    check_id,
    check_labels,
    check_metadata,
    check_text,
)
from ledger.model.cycles import UNITS
from ledger.model.digests import Digest
from ledger.model.ids import parse_grant_id
from ledger.model.moments import to_moment

_COUNT_MAX = 1_000
_SCOPE_VALUES_MAX = 100


class GrantKind(StrEnum):
    """A grant is given, bought, or lent. At equal priority and expiry, promotional credits burn before paid ones."""

    PROMOTIONAL = "promotional"
    PAID = "paid"
    CREDIT_LINE = "credit_line"


@dataclass(frozen=True, slots=True)
class CostBasis:
    """The price that was paid for a credit of a grant: an exact amount of money, in a currency (ISO 4217)."""

    per_credit: Decimal | int
    currency: str

    def __post_init__(self) -> None:
        amount = self.per_credit
        if isinstance(amount, bool) or not isinstance(amount, Decimal | int) or not Decimal(amount).is_finite():
            raise CommandInvalid("cost_basis", "needs per_credit as a Decimal or an int, exact money per credit.")
        exponent = Decimal(amount).as_tuple().exponent
        if amount < 0 or (isinstance(exponent, int) and exponent < -12) or amount >= 10**12:
            raise CommandInvalid("cost_basis", "needs per_credit from 0 to below 10^12, with at most 12 decimals.")
        if not (isinstance(self.currency, str) and len(self.currency) == 3 and self.currency.isascii()):
            raise CommandInvalid("cost_basis", f"has currency {self.currency!r}; give a code of three letters.")
        if not (self.currency.isalpha() and self.currency.isupper()):
            raise CommandInvalid("cost_basis", f"has currency {self.currency!r}; give three capital letters.")

    def to_dict(self) -> dict[str, str]:
        """The values stored in the entry; the amount is exact text without trailing zeros."""
        plain = format(Decimal(self.per_credit), "f")
        return {"per_credit": plain.rstrip("0").rstrip(".") if "." in plain else plain, "currency": self.currency}


@dataclass(frozen=True, slots=True)
class Recurrence:
    """Grant again every `count` units (hour, day, week, month, year), counted from `anchor`.

    `anchor` is by default the moment at which the grant takes effect. At each boundary `amount` (by default the grant's
    own) is granted as a lot that lapses at the next boundary. Of what the period before left, up to `rollover_max` is
    carried over and the rest expires. Where less than `rollover_min` was carried over, the lot is larger by the
    difference.
    """

    every: str
    count: int = 1
    amount: Decimal | int | None = None
    anchor: datetime | None = None
    rollover_min: Decimal | int = 0
    rollover_max: Decimal | int = 0
    amount_micro: int | None = field(init=False, repr=False, compare=False)
    rollover_micro: tuple[int, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.every not in UNITS:
            raise CommandInvalid("recurrence", f"comes every {self.every!r}; give one of {', '.join(UNITS)}.")
        if type(self.count) is not int or not 1 <= self.count <= _COUNT_MAX:
            raise CommandInvalid("recurrence", f"needs a count from 1 to {_COUNT_MAX:,}.")
        if self.anchor is not None:
            to_moment(self.anchor, "recurrence")
        amount = None if self.amount is None else check_amount(self.amount, least=0, name="recurrence")
        least = check_amount(self.rollover_min, least=0, name="rollover_min")
        most = check_amount(self.rollover_max, least=0, name="rollover_max")
        if least > most:
            raise CommandInvalid("rollover_min", "is above rollover_max. Give a minimum of at most the maximum.")
        if amount == 0 and most == 0:
            raise CommandInvalid("recurrence", "grants nothing and carries nothing over. Give an amount or a rollover.")
        object.__setattr__(self, "amount_micro", amount)
        object.__setattr__(self, "rollover_micro", (least, most))

    def bound(self) -> tuple[object, ...]:
        """The part of the terms that a key binds."""
        anchor = None if self.anchor is None else to_moment(self.anchor)
        return (self.every, self.count, self.amount_micro, anchor, *self.rollover_micro)


@dataclass(frozen=True, slots=True)
class GrantCredits:
    """Issue credits to an account.

    `priority`: the lowest burns first. `effective_at`: until this moment the credits are scheduled. `expires_at`: when
    the credits expire, or when the recurrence ends; None for never. `scope`: label -> values; the grant pays only for
    holds that carry each label with one of its values.
    """

    account_id: str
    amount: Decimal | int
    key: str | None = None
    priority: int = 100
    expires_at: datetime | None = None
    at: datetime | None = None
    kind: GrantKind | str = GrantKind.PAID
    effective_at: datetime | None = None
    cost_basis: CostBasis | None = None
    scope: dict[str, list[str]] | None = None
    external_ref: str | None = None
    metadata: dict[str, Any] | None = None
    recurrence: Recurrence | None = None
    amount_micro: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_id(self.account_id, "account_id")
        check_common(self.key, self.at)
        object.__setattr__(self, "amount_micro", check_amount(self.amount, least=1))
        if type(self.priority) is not int or not 0 <= self.priority <= PRIORITY_MAX:
            raise CommandInvalid("priority", f"must be a whole number from 0 (burnt first) to {PRIORITY_MAX}.")
        if self.kind not in (GrantKind.PROMOTIONAL, GrantKind.PAID):
            raise CommandInvalid("kind", f"is {self.kind!r}; give promotional or paid.")
        object.__setattr__(self, "kind", GrantKind(self.kind))
        for name in ("expires_at", "effective_at"):
            if (moment := getattr(self, name)) is not None:
                to_moment(moment, name)
        self._check_parts()

    def _check_parts(self) -> None:
        for name, kind in (("cost_basis", CostBasis), ("recurrence", Recurrence)):
            if (value := getattr(self, name)) is not None and not isinstance(value, kind):
                raise CommandInvalid(name, f"must be a {kind.__name__}, not {type(value).__name__}.")
        if self.external_ref is not None:
            check_text(self.external_ref, "external_ref")
        if self.metadata is not None:
            object.__setattr__(self, "metadata", json.loads(json.dumps(check_metadata(self.metadata))))
        if self.scope is not None:
            object.__setattr__(self, "scope", _check_scope(self.scope))

    def digest(self) -> Digest:
        """What the key binds."""
        expires = None if self.expires_at is None else to_moment(self.expires_at)
        said = {
            "kind": None if self.kind == GrantKind.PAID else str(self.kind),
            "effective_at": None if self.effective_at is None else to_moment(self.effective_at),
            "cost_basis": None if self.cost_basis is None else tuple(self.cost_basis.to_dict().values()),
            "scope": None if self.scope is None else json.dumps(self.scope),
            "external_ref": self.external_ref,
            "metadata": json.dumps(self.metadata, sort_keys=True) if self.metadata else None,
            "recurrence": None if self.recurrence is None else self.recurrence.bound(),
        }
        beyond = [(name, value) for name, value in said.items() if value is not None]
        return Digest("grant", self.amount_micro, self.priority, expires, *beyond)


def _check_scope(scope: object) -> dict[str, list[str]]:
    """Labels in the order of their names, each with its values in order. Raises `CommandInvalid`."""
    if not isinstance(scope, dict) or not scope:
        raise CommandInvalid(
            "scope", "must be a dictionary of labels, each with a list of values. Leave it out for none."
        )
    checked: dict[str, list[str]] = {}
    for label in sorted(check_labels(dict.fromkeys(scope, "-"), "scope")):
        values = scope[label]
        if not isinstance(values, list | tuple | set | frozenset) or not 1 <= len(values) <= _SCOPE_VALUES_MAX:
            raise CommandInvalid(f"scope.{label}", f"must be a list of 1 to {_SCOPE_VALUES_MAX} values.")
        checked[label] = sorted({check_text(value, f"scope.{label}") for value in values})
    return checked


@dataclass(frozen=True, slots=True)
class RevokeGrant:
    """Take back what is left of a grant, and later what holds free of it. Ends its recurrence."""

    grant_id: str
    key: str | None = None
    reason: str | None = None
    account_id: str = ""
    at: datetime | None = None
    number: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_common(self.key, self.at)
        if self.reason is not None:
            check_text(self.reason, "reason")
        owner, number = parse_grant_id(self.grant_id)
        if self.account_id not in ("", owner):
            raise GrantNotFound(self.grant_id)
        object.__setattr__(self, "account_id", owner)
        object.__setattr__(self, "number", number)

    def digest(self) -> Digest:
        """What the key binds."""
        return Digest("revoke", self.number, self.reason)
