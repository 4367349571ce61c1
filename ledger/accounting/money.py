"""Revenue figures: the sheets of grants added up by kind and currency, exactly, and the text that a closing keeps.

Money is credits times what one credit of the grant cost (its cost basis), never rounded: a cost basis has at most 12
decimals and a credit 6, so whole numbers of 10^-18 of a currency, named `atto` here, are exact. A grant without a cost
basis has credits and no money; the lots of a recurrence have the cost basis of the first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Context, Decimal, Inexact, Rounded
from typing import Any, NamedTuple

from estimator.credits import from_micro
from ledger.accounting.rollforwards import Deferral, Flows, Lending, Receivable, amount_of
from ledger.book.postings import encode_details

_BASIS_DECIMALS = 12
_MONEY_DECIMALS = 18
_EXACT = Context(prec=200, traps=[Inexact, Rounded])


class CreditCost(NamedTuple):
    """What one credit of a grant cost: its cost basis as figures use it."""

    per_credit: Decimal
    currency: str

    @classmethod
    def of(cls, details: Mapping[str, Any]) -> CreditCost | None:
        """The cost of the grant whose entry has these details; None without a cost basis."""
        said = details.get("cost_basis")
        return None if not said else cls(Decimal(said["per_credit"]), said["currency"])


class Terms(NamedTuple):
    """The kind and cost by which a grant's figures are added up."""

    kind: str
    basis: CreditCost | None


def money_of(atto: int) -> Decimal:
    """An amount of money, without trailing zeros.

    >>> money_of(9_999 * 10**12)
    Decimal('0.009999')
    """
    return _EXACT.normalize(_EXACT.scaleb(Decimal(atto), -_MONEY_DECIMALS))


def money_text(atto: int) -> str:
    """The same as text."""
    return format(money_of(atto), "f")


def _atto(text: str) -> int:
    return int(_EXACT.scaleb(Decimal(text), _MONEY_DECIMALS))


def priced(sheet: Deferral, basis: CreditCost) -> Deferral:
    """A grant's sheet in money (10^-18 of the currency)."""
    factor = int(_EXACT.scaleb(basis.per_credit, _BASIS_DECIMALS))
    flows, adjustments = (
        Flows(**{name: amount * factor for name, amount in each.to_dict().items()})
        for each in (sheet.flows, sheet.adjustments)
    )
    return Deferral(sheet.opening * factor, flows, adjustments)


@dataclass(slots=True)
class RevenueTotal:
    """All grants of one kind and currency: what is deferred in micro-credits, and priced in 10^-18 of the currency.

    `priced` is None where there is no currency.
    """

    kind: str
    currency: str | None
    deferral: Deferral
    priced: Deferral | None

    def credits(self, flow: str, *, adjusted: bool = False) -> Decimal:
        """An amount of `rollforwards.amount_of` in credits."""
        return from_micro(amount_of(self.deferral, flow, adjusted=adjusted))

    def money(self, flow: str, *, adjusted: bool = False) -> Decimal | None:
        """The same in money, exactly; None without a currency."""
        return None if self.priced is None else money_of(amount_of(self.priced, flow, adjusted=adjusted))


@dataclass(slots=True)
class Figures:
    """The figures of an account, of several or of the whole book: by kind and currency, and what is owed."""

    totals: list[RevenueTotal] = field(default_factory=list)
    receivable: Receivable = field(default_factory=Receivable)

    def add(self, other: Figures) -> None:
        """Add the figures of others."""
        for total in other.totals:
            found = self._total(total.kind, total.currency)
            found.deferral.add(total.deferral)
            if found.priced is not None and total.priced is not None:
                found.priced.add(total.priced)
        self.receivable.add(other.receivable)

    def add_sheet(self, sheet: Deferral | Receivable, terms: Terms) -> None:
        """Add the sheet of one grant."""
        if isinstance(sheet, Receivable):
            self.receivable.add(sheet)
        elif sheet.has_any():
            found = self._total(terms.kind, None if terms.basis is None else terms.basis.currency)
            found.deferral.add(sheet)
            if found.priced is not None and terms.basis is not None:
                found.priced.add(priced(sheet, terms.basis))

    def _total(self, kind: str, currency: str | None) -> RevenueTotal:
        for total in self.totals:
            if (total.kind, total.currency) == (kind, currency):
                return total
        total = RevenueTotal(kind, currency, Deferral(), None if currency is None else Deferral())
        self.totals.append(total)
        self.totals.sort(key=lambda each: (each.kind, each.currency or ""))
        return total

    def owed(self, flow: str, *, adjusted: bool = False) -> Decimal:
        """An amount of `rollforwards.amount_of` of what credit lines are owed, in credits."""
        return from_micro(amount_of(self.receivable, flow, adjusted=adjusted))

    def has_any(self) -> bool:
        """True when anything was deferred or owed, or moved."""
        return bool(self.totals) or self.receivable.has_any()

    def to_json(self) -> str:
        """The text that a closing keeps; equal figures give equal bytes."""
        owed = self.receivable
        document = {
            "totals": [
                {
                    "kind": total.kind,
                    "currency": total.currency,
                    "credits": _written(total.deferral, int),
                    "money": None if total.priced is None else _written(total.priced, money_text),
                }
                for total in self.totals
            ],
            "receivable": {
                "opening": owed.opening,
                "used_opening": owed.used_opening,
                **owed.flows.to_dict(),
                "adjustments": owed.adjustments.to_dict(),
                "closing": owed.closing,
                "used_closing": owed.used_closing,
            },
        }
        return encode_details(document)

    @classmethod
    def from_json(cls, written: str) -> Figures:
        """The figures that `to_json` wrote."""
        document = json.loads(written)
        totals = [
            RevenueTotal(
                total["kind"],
                total["currency"],
                _read(total["credits"], int),
                None if total["money"] is None else _read(total["money"], _atto),
            )
            for total in document["totals"]
        ]
        owed = document["receivable"]
        flows, adjustments = (
            Lending(**{name: each[name] for name in Lending().to_dict()}) for each in (owed, owed["adjustments"])
        )
        return cls(totals, Receivable(owed["opening"], owed["used_opening"], flows, adjustments))


def _written(sheet: Deferral, write: Any) -> dict[str, Any]:
    return {
        "opening": write(sheet.opening),
        **{name: write(amount) for name, amount in sheet.flows.to_dict().items()},
        "adjustments": {name: write(amount) for name, amount in sheet.adjustments.to_dict().items()},
        "closing": write(sheet.closing),
    }


def _read(written: dict[str, Any], read: Any) -> Deferral:
    flows, adjustments = (
        Flows(**{name: read(each[name]) for name in Flows().to_dict()}) for each in (written, written["adjustments"])
    )
    return Deferral(read(written["opening"]), flows, adjustments)


def total_figures(parts: Iterable[Figures]) -> Figures:
    """The exact sum of several accounts' figures."""
    figures = Figures()
    for part in parts:
        figures.add(part)
    return figures
