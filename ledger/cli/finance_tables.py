"""What finance finds, as JSON documents and as tables for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from rich import box
from rich.table import Table

from estimator.cli.tables import aligned, amount_cell, cell
from estimator.credits import format_credits, from_micro
from ledger.accounting.money import Figures, RevenueTotal, money_text
from ledger.accounting.rollforwards import FLOWS, LENDING, Deferral, Receivable, amount_of
from ledger.cli.tables import plain
from ledger.finance.revenue.closings import Closing
from ledger.finance.revenue.reading import RevenueLine
from ledger.finance.statements.reading import COLUMNS
from ledger.finance.statements.totals import StatementTotals
from ledger.model.values import EntryKind


def exact_text(amount: Decimal) -> str:
    """An amount of money with all of its digits and none to spare."""
    written = format(amount, "f")
    return written.rstrip("0").rstrip(".") if "." in written else written


def _credits(micro: int) -> str:
    return format_credits(from_micro(micro))


def closing_document(closing: Closing | None) -> dict[str, Any] | None:
    """A closing as JSON-safe values."""
    return None if closing is None else dict(plain(closing))


def figures_document(figures: Figures) -> dict[str, Any]:
    """Figures as JSON-safe values: amounts as exact text, `adjustments` beside the flows of the period itself."""
    return {
        "totals": [
            {
                "kind": total.kind,
                "currency": total.currency,
                "credits": _deferral(total.deferral, _credits),
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
        **{name: _credits(amount_of(sheet, name)) for name in names},
        "adjustments": {name: _credits(amount) for name, amount in sheet.adjustments.to_dict().items()},
    }


def line_document(found: RevenueLine) -> dict[str, Any]:
    """One grant's line as JSON-safe values."""
    named = (*FLOWS, "repaying", "adjustments")
    money = {name: exact_text(amount) for name in named if (amount := found.money(name)) is not None}
    return {
        "account_id": found.account_id,
        "grant_id": found.grant_id,
        "kind": found.kind,
        "currency": found.currency,
        "per_credit": None if found.per_credit is None else exact_text(found.per_credit),
        "credits": {name: format_credits(found.credits(name)) for name in named},
        "money": money or None,
    }


def revenue_tables(figures: Figures) -> list[Table]:
    """What is deferred, a line for each flow; and what credit lines are owed, where anything is or was."""
    tables = [_deferred_table(figures.totals)] if figures.totals else []
    return tables + ([_owed_table(figures.receivable)] if figures.receivable.has_any() else [])


def _deferred_table(totals: Sequence[RevenueTotal]) -> Table:
    """Credits of each kind and currency and their money; adjustments have columns of their own where there are any."""
    table = _table("deferred")
    columns: list[tuple[Deferral, Callable[[int], str]]] = []
    for total in totals:
        columns.append((total.deferral, _credits))
        _add_columns(table, f"{total.kind} credits", total.deferral)
        if total.priced is not None and total.currency is not None:
            columns.append((total.priced, money_text))
            _add_columns(table, total.currency, total.priced)
    for flow in FLOWS:
        cells = [flow]
        for sheet, write in columns:
            cells.append(write(amount_of(sheet, flow)))
            if sheet.adjustments.has_any():
                cells.append("" if flow in _ENDS else write(amount_of(sheet, flow, adjusted=True)))
        table.add_row(*cells)
    return table


def _table(first: str) -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column(first)
    return table


def _add_columns(table: Table, name: str, sheet: Deferral) -> None:
    table.add_column(name, justify="right", no_wrap=True)
    if sheet.adjustments.has_any():
        table.add_column("adjustments", justify="right", no_wrap=True)


def _owed_table(sheet: Receivable) -> Table:
    """What credit lines are owed: all of it, and what of it was used."""
    table = _table("owed by credit lines")
    table.add_column("credits", justify="right", no_wrap=True)
    has_adjustments = sheet.adjustments.has_any()
    if has_adjustments:
        table.add_column("adjustments", justify="right", no_wrap=True)
    for flow in (*LENDING, "used_closing"):
        cells = [_OWED_NAMES.get(flow, flow), _credits(amount_of(sheet, flow))]
        if has_adjustments:
            cells.append("" if flow in _ENDS else _credits(amount_of(sheet, flow, adjusted=True)))
        table.add_row(*cells)
    return table


_ENDS = ("opening", "closing", "used_closing")
_OWED_NAMES = {"used_closing": "of it used"}


def accounts_table(accounts: Sequence[tuple[str, Figures]]) -> Table:
    """A line for each account, kind and currency, in credits."""
    table = _table("account")
    for name in ("kind", "currency"):
        table.add_column(name)
    for flow in _IN_A_LINE:
        table.add_column(flow, justify="right", no_wrap=True)
    for account_id, figures in accounts:
        for total in figures.totals:
            amounts = (_credits(amount_of(total.deferral, flow)) for flow in _IN_A_LINE)
            table.add_row(cell(account_id), total.kind, total.currency or "", *amounts)
    return table


def owed_table(accounts: Sequence[tuple[str, Figures]]) -> Table | None:
    """A line for each account whose credit line is, or was, owed anything; None where none is."""
    table = _table("owed by")
    names = (*LENDING[:-1], "adjustments", "closing")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for account_id, figures in accounts:
        if figures.receivable.has_any():
            table.add_row(cell(account_id), *(_credits(amount_of(figures.receivable, name)) for name in names))
    return table if table.row_count else None


def grants_table(lines: Sequence[RevenueLine]) -> Table:
    """A line for each grant, in credits."""
    table = _table("grant")
    for name in ("kind", "per credit"):
        table.add_column(name)
    for flow in _IN_A_LINE:
        table.add_column(flow, justify="right", no_wrap=True)
    for found in lines:
        cost = "" if found.per_credit is None else f"{exact_text(found.per_credit)} {found.currency}"
        amounts = (format_credits(found.credits(flow)) for flow in _IN_A_LINE)
        table.add_row(cell(found.grant_id), found.kind, cost, *amounts)
    return table


_IN_A_LINE = (*FLOWS[:-1], "adjustments", "closing")


def closings_table(closings: Sequence[Closing]) -> Table:
    """A line for each closing."""
    table = _table("period")
    for name in ("zone", "from", "before", "closed at", "by"):
        table.add_column(name, no_wrap=True)
    table.add_column("accounts", justify="right")
    for closing in closings:
        period = closing.period
        moments = (str(plain(moment)) for moment in (period.since, period.until, closing.closed_at))
        table.add_row(period.name, cell(closing.zone), *moments, cell(closing.closed_by), f"{closing.accounts:,}")
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
