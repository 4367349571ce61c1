"""Revenue as JSON-safe values: a period's figures, its closing, the lines of its grants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from estimator.credits import format_credits
from ledger.accounting.money import Figures, money_text
from ledger.accounting.rollforwards import FLOWS, LENDING, Deferral, Receivable, amount_of
from ledger.documents import credits_text, exact_text, plain
from ledger.finance.revenue.closings import Closing
from ledger.finance.revenue.reading import RevenueLine


def closing_document(closing: Closing | None) -> dict[str, Any] | None:
    """A closing as JSON-safe values."""
    return None if closing is None else dict(plain(closing))


def figures_document(figures: Figures) -> dict[str, Any]:
    """Figures as JSON-safe values: amounts as exact text, the `adjustments` of each flow beside those of the period."""
    return {
        "totals": [
            {
                "kind": total.kind,
                "currency": total.currency,
                "credits": _deferral(total.deferral, credits_text),
                "money": None if total.priced is None else _deferral(total.priced, money_text),
            }
            for total in figures.totals
        ],
        "receivable": _receivable(figures.receivable),
    }


def _deferral(sheet: Deferral, write: Callable[[int], str]) -> dict[str, Any]:
    return {
        **{name: write(amount_of(sheet, name)) for name in (*FLOWS, "repaying")},
        "adjustments": {name: write(amount) for name, amount in sheet.adjustments.to_dict().items()},
    }


def _receivable(sheet: Receivable) -> dict[str, Any]:
    names = (*LENDING, "drawn", "used_opening", "used_closing")
    return {
        **{name: credits_text(amount_of(sheet, name)) for name in names},
        "adjustments": {name: credits_text(amount) for name, amount in sheet.adjustments.to_dict().items()},
    }


def revenue_line_document(line: RevenueLine) -> dict[str, Any]:
    """The line of one grant as JSON-safe values."""
    named = (*FLOWS, "repaying", "adjustments")
    money = {name: exact_text(amount) for name in named if (amount := line.money(name)) is not None}
    return {
        "account_id": line.account_id,
        "grant_id": line.grant_id,
        "kind": line.kind,
        "currency": line.currency,
        "per_credit": None if line.per_credit is None else exact_text(line.per_credit),
        "credits": {name: format_credits(line.credits(name)) for name in named},
        "money": money or None,
    }
