"""Revenue as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from rich.table import Table

from estimator.credits import format_credits, from_micro
from estimator.rendering import cell
from ledger.finance.revenue import FLOWS, RevenueLine, RevenueTotal


def exact_text(amount: Decimal) -> str:
    """An amount of money with all of its digits and none to spare."""
    plain = format(amount, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def revenue_table(totals: Sequence[RevenueTotal]) -> Table:
    """A line for each flow, a column for the credits of each kind and currency, and one for their money."""
    table = Table(box=None, header_style="bold")
    table.add_column("")
    for total in totals:
        table.add_column(f"{total.kind} credits", justify="right")
        if total.currency is not None:
            table.add_column(total.currency, justify="right")
    for flow in FLOWS:
        row = [flow]
        for total in totals:
            row.append(format_credits(from_micro(getattr(total.flows, flow))))
            if total.currency is not None:
                row.append(exact_text(total.money[flow]))
        table.add_row(*row)
    return table


def grants_table(lines: Sequence[RevenueLine]) -> Table:
    """A line for each grant, in credits."""
    table = Table(box=None, header_style="bold")
    for name in ("grant", "kind", "per credit"):
        table.add_column(name)
    for flow in FLOWS:
        table.add_column(flow, justify="right")
    for found in lines:
        cost = "" if found.per_credit is None else f"{exact_text(found.per_credit)} {found.currency}"
        amounts = (format_credits(found.credits(flow)) for flow in FLOWS)
        table.add_row(cell(found.grant_id), found.kind, cost, *amounts)
    return table


__all__ = ["exact_text", "grants_table", "revenue_table"]
