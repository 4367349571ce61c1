"""Revenue of a period: what was sold, recognised, refunded, broke and is deferred, by grant, each in its own currency.

Worked out from the transfers of the book alone. Credits that are available, held or scheduled are deferred; whatever
moves them there or away is one of the flows below, so that for every grant

    opening + sold + refunded - recognised - breakage - revoked - returned = closing

and the closing of a period is the opening of the next. In money a flow is its credits times what a credit of the
grant was paid with (its cost basis), exactly and never rounded; the lots of a recurrence have the cost basis of the
first. A grant without one has credits and no money. What a credit line lends (`sold`) and gets back (`returned`) is no
sale, and stands under a kind of its own; the difference since its beginning is the receivable.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from decimal import Context, Decimal, Inexact, Rounded
from itertools import groupby
from operator import attrgetter

from sqlalchemy import text
from sqlalchemy.orm import Session

from estimator.credits import from_micro
from ledger.finance.book import BookEntry, stream_book
from ledger.finance.calendar import AccountingPeriod
from ledger.ids import format_grant_id
from ledger.instants import to_instant

CREDIT_LINE = "credit_line"

_DEFERRED = frozenset({"available", "held", "scheduled"})
_EXACT = Context(prec=120, traps=[Inexact, Rounded])


@dataclass(slots=True)
class Flows:
    """Micro-credits of one grant, or of several: deferred at the beginning and the end, and what moved between."""

    opening: int = 0
    sold: int = 0
    refunded: int = 0
    recognised: int = 0
    breakage: int = 0
    revoked: int = 0
    returned: int = 0

    @property
    def closing(self) -> int:
        """What is deferred at the end."""
        gone = self.recognised + self.breakage + self.revoked + self.returned
        return self.opening + self.sold + self.refunded - gone

    def move(self, source: str, target: str, amount: int) -> None:
        """Count a transfer. One between two places of the same kind is no flow."""
        if source in _DEFERRED and target in _DEFERRED:
            return
        self._leave(source, amount)
        self._arrive(target, amount)

    def _leave(self, source: str, amount: int) -> None:
        if source == "issued":
            self.sold += amount
        elif source == "consumed":
            self.refunded += amount
        elif source == "expired":
            self.breakage -= amount
        elif source == "revoked":
            self.revoked -= amount

    def _arrive(self, target: str, amount: int) -> None:
        if target == "issued":
            self.returned += amount
        elif target == "consumed":
            self.recognised += amount
        elif target == "expired":
            self.breakage += amount
        elif target == "revoked":
            self.revoked += amount

    def roll(self) -> None:
        """Begin a period: what is deferred now is its opening."""
        self.opening, closing = 0, self.closing
        for field in fields(self):
            setattr(self, field.name, 0)
        self.opening = closing

    def add(self, other: Flows) -> None:
        """Add those of another."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


FLOWS = (*(field.name for field in fields(Flows)), "closing")
"""The flows by name, in the order of a roll-forward."""


@dataclass(frozen=True, slots=True)
class RevenueLine:
    """One grant in a period. `per_credit` and `currency` are its cost basis; both None without one."""

    account_id: str
    grant_id: str
    kind: str
    per_credit: Decimal | None
    currency: str | None
    flows: Flows

    def credits(self, flow: str) -> Decimal:
        """A flow in credits."""
        return from_micro(getattr(self.flows, flow))

    def money(self, flow: str) -> Decimal | None:
        """A flow in money, exactly; None for a grant without a cost basis."""
        if self.per_credit is None:
            return None
        return _EXACT.multiply(self.credits(flow), self.per_credit)


@dataclass(frozen=True, slots=True)
class RevenueTotal:
    """All grants of one kind and currency: micro-credits, and exact money by flow (empty without a currency)."""

    kind: str
    currency: str | None
    flows: Flows
    money: dict[str, Decimal]


def stream_revenue(session: Session, period: AccountingPeriod) -> Iterator[RevenueLine]:
    """The lines of every grant that had anything deferred, or moved, in a period; by account and grant.

    What has lapsed and has not been recorded yet is not in the book: run `ledger.expire_due` first.
    """
    since, until = to_instant(period.since, "since"), to_instant(period.until, "until")
    for account_id, entries in groupby(stream_book(session), attrgetter("account_id")):
        flows = _flows(entries, since, until)
        if any(_has_any(found) for found in flows.values()):
            yield from _lines(session, account_id, flows)


def _flows(entries: Iterable[BookEntry], since: int, until: int) -> dict[int, Flows]:
    """The flows of an account's grants within a period."""
    flows: dict[int, Flows] = {}
    has_begun = False
    for entry in entries:
        if entry.at >= until:
            continue
        if entry.at >= since and not has_begun:
            has_begun = True
            for found in flows.values():
                found.roll()
        for grant, source, target, amount in entry.moves:
            flows.setdefault(grant, Flows()).move(source, target, amount)
    if not has_begun:
        for found in flows.values():
            found.roll()
    return flows


def _has_any(flows: Flows) -> bool:
    return any(getattr(flows, name) for name in FLOWS)


_GRANTS = text(
    "SELECT g.number, g.kind, e.details FROM ledger_grant g JOIN ledger_entry e ON e.account_id = g.account_id"
    " AND e.sequence = coalesce(g.allowance, g.number) WHERE g.account_id = :account_id ORDER BY g.number"
)


def _lines(session: Session, account_id: str, flows: dict[int, Flows]) -> Iterator[RevenueLine]:
    for number, kind, details in session.connection().execute(_GRANTS, {"account_id": account_id}):
        if number not in flows or not _has_any(flows[number]):
            continue
        basis = json.loads(details).get("cost_basis")
        per_credit, currency = (None, None) if not basis else (Decimal(basis["per_credit"]), basis["currency"])
        yield RevenueLine(account_id, format_grant_id(account_id, number), kind, per_credit, currency, flows[number])


def total_revenue(lines: Iterable[RevenueLine]) -> list[RevenueTotal]:
    """The sums of some lines by kind of grant and currency; they tie to the lines exactly."""
    totals: dict[tuple[str, str | None], RevenueTotal] = {}
    for line in lines:
        key = (line.kind, line.currency)
        total = totals.setdefault(key, RevenueTotal(*key, Flows(), {}))
        total.flows.add(line.flows)
        for flow in FLOWS if line.per_credit is not None else ():
            money = line.money(flow)
            assert money is not None
            total.money[flow] = _EXACT.add(total.money.get(flow, Decimal(0)), money)
    return [totals[key] for key in sorted(totals, key=lambda key: (key[0], key[1] or ""))]


__all__ = ["FLOWS", "Flows", "RevenueLine", "RevenueTotal", "stream_revenue", "total_revenue"]
