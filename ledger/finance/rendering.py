"""What finance finds, as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from rich import box
from rich.table import Table

from estimator.credits import format_credits, from_micro
from estimator.rendering import aligned, amount_cell, cell
from ledger.finance.periods import StatementTotals
from ledger.finance.revenue import FLOWS, RevenueLine, RevenueTotal
from ledger.finance.statements import COLUMNS
from ledger.values import EntryKind


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


def total_rows(totals: StatementTotals) -> list[tuple[str, list[Decimal]]]:
    """The totals of a period's statements as a roll-forward: opening, what each kind of entry changed, closing."""
    rows = [("Opening", totals.opening)]
    rows += [(kind.replace("_", " "), totals.changes[kind]) for kind in EntryKind if kind in totals.changes]
    rows.append(("Closing", totals.closing))
    return [(label, [from_micro(amount) for amount in amounts]) for label, amounts in rows]


def totals_table(totals: StatementTotals) -> Table:
    """The roll-forward of all statements, a column for each bucket."""
    rows = total_rows(totals)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("Credits", no_wrap=True)
    for name in COLUMNS:
        table.add_column(name.capitalize(), justify="right", no_wrap=True)
    columns = [aligned([amounts[index] for _, amounts in rows]) for index in range(len(COLUMNS))]
    for (label, _), *amounts in zip(rows, *columns, strict=True):
        style = "bold" if label in ("Opening", "Closing") else ""
        table.add_row(cell(label, style), *(amount_cell(amount, style) for amount in amounts))
    return table


__all__ = ["exact_text", "grants_table", "revenue_table", "total_rows", "totals_table"]
