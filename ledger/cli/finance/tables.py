"""What finance reads out of the book, as Rich tables: revenue, closings, totals of statements, reconciliations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

from rich.table import Column, Table
from rich.text import Text

from estimator.cli.tables import amount_cell, cell, line
from estimator.credits import format_credits
from ledger.accounting.money import Figures, RevenueTotal, money_text
from ledger.accounting.rollforwards import FLOWS, LENDING, Deferral, Receivable, amount_of
from ledger.cli.tables import capitalized, folded, in_line, listing, numbers, whole
from ledger.documents import credits_text, exact_text, moment_text
from ledger.finance.calendar import AccountingPeriod
from ledger.finance.reconciliation.judgement import plain_amount
from ledger.finance.reconciliation.results import ReconciliationResult, ReconciliationSummary
from ledger.finance.revenue.closings import Closing
from ledger.finance.revenue.reading import RevenueLine
from ledger.finance.statements.reading import COLUMNS
from ledger.finance.statements.totals import StatementTotals, total_rows

_ENDS = ("opening", "closing", "used_closing")
_OWED_NAMES = {"used_closing": "of it used"}
_IN_A_LINE = (*FLOWS[:-1], "adjustments", "closing")


def _sheet(*columns: Column | str) -> Table:
    """An empty table without any lines."""
    return Table(*columns, box=None, header_style="bold")


def period_line(period: AccountingPeriod, zone: str) -> Text:
    """The moments of a period, its name and its zone in a sentence."""
    moments = f"From {moment_text(period.since)} and before {moment_text(period.until)}"
    return line(f"{moments}: {period.name} in {zone}.")


def revenue_tables(figures: Figures) -> list[Table]:
    """What is deferred, a line for each flow; and what credit lines are owed, where anything is or was."""
    tables = [_deferred_table(figures.totals)] if figures.totals else []
    return tables + ([_owed_table(figures.receivable)] if figures.receivable.has_any() else [])


def _deferred_table(totals: Sequence[RevenueTotal]) -> Table:
    """Credits of each kind and currency and their money; adjustments have columns of their own where there are any."""
    headings: list[str] = []
    columns: list[tuple[Deferral, Callable[[int], str]]] = []
    for total in totals:
        columns.append((total.deferral, credits_text))
        headings += _with_adjustments(f"{total.kind} credits", total.deferral)
        if total.priced is not None and total.currency is not None:
            columns.append((total.priced, money_text))
            headings += _with_adjustments(total.currency, total.priced)
    table = _sheet("deferred", *numbers(*headings))
    for flow in FLOWS:
        table.add_row(flow, *(text for sheet, write in columns for text in _amounts(sheet, flow, write)))
    return table


def _with_adjustments(name: str, sheet: Deferral | Receivable) -> list[str]:
    return [name, "adjustments"] if sheet.adjustments.has_any() else [name]


def _amounts(sheet: Deferral | Receivable, flow: str, write: Callable[[int], str]) -> list[str]:
    """A flow's amount, and that of its adjustments where the sheet has any."""
    amounts = [write(amount_of(sheet, flow))]
    if sheet.adjustments.has_any():
        amounts.append("" if flow in _ENDS else write(amount_of(sheet, flow, adjusted=True)))
    return amounts


def _owed_table(sheet: Receivable) -> Table:
    """What credit lines are owed: all of it, and what of it was used."""
    table = _sheet("owed by credit lines", *numbers(*_with_adjustments("credits", sheet)))
    for flow in (*LENDING, "used_closing"):
        table.add_row(_OWED_NAMES.get(flow, flow), *_amounts(sheet, flow, credits_text))
    return table


def revenue_by_account(accounts: Sequence[tuple[str, Figures]]) -> Table:
    """A line for each account, kind and currency, in credits."""
    table = _sheet("account", "kind", "currency", *numbers(*_IN_A_LINE))
    for account_id, figures in accounts:
        for total in figures.totals:
            amounts = (credits_text(amount_of(total.deferral, flow)) for flow in _IN_A_LINE)
            table.add_row(cell(account_id), total.kind, total.currency or "", *amounts)
    return table


def owed_by_account(accounts: Sequence[tuple[str, Figures]]) -> Table | None:
    """A line for each account whose credit line is, or was, owed anything; None where none is."""
    names = (*LENDING[:-1], "adjustments", "closing")
    table = _sheet("owed by", *numbers(*names))
    for account_id, figures in accounts:
        if figures.receivable.has_any():
            table.add_row(cell(account_id), *(credits_text(amount_of(figures.receivable, name)) for name in names))
    return table if table.row_count else None


def revenue_by_grant(lines: Sequence[RevenueLine]) -> Table:
    """A line for each grant, in credits."""
    table = _sheet("grant", "kind", "per credit", *numbers(*_IN_A_LINE))
    for found in lines:
        cost = "" if found.per_credit is None else f"{exact_text(found.per_credit)} {found.currency}"
        amounts = (format_credits(found.credits(flow)) for flow in _IN_A_LINE)
        table.add_row(cell(found.grant_id), found.kind, cost, *amounts)
    return table


def closings_table(closings: Sequence[Closing]) -> Table:
    """A line for each closing."""
    columns = whole("zone", "from", "before", "closed at", "by")
    table = _sheet("period", *columns, Column("accounts", justify="right"))
    for closing in closings:
        period = closing.period
        moments = map(moment_text, (period.since, period.until, closing.closed_at))
        table.add_row(period.name, cell(closing.zone), *moments, cell(closing.closed_by), f"{closing.accounts:,}")
    return table


def totals_table(totals: StatementTotals) -> Table:
    """The roll-forward of all statements, a column for each bucket."""
    rows = total_rows(totals)
    table = listing(*whole("Credits"), *numbers(*capitalized(COLUMNS)))
    for (label, _), amounts in zip(rows, in_line([amounts for _, amounts in rows]), strict=True):
        style = "bold" if label in ("Opening", "Closing") else ""
        table.add_row(cell(label, style), *(amount_cell(amount, style) for amount in amounts))
    return table


def summary_table(summary: ReconciliationSummary) -> Table:
    """How many groups there are of each kind."""
    table = listing("Result", *numbers("Groups"))
    for kind, count in summary.counts.items():
        if count:
            table.add_row(kind.value.replace("_", " "), f"{count:,}")
    return table


def sums_table(summary: ReconciliationSummary) -> Table:
    """What both sides sum to, by currency."""
    table = listing("Sum", *numbers("Here", "There", "Difference"))
    for currency in dict.fromkeys([*summary.amounts_here, *summary.amounts_there]):
        ours, theirs = (side.get(currency) for side in (summary.amounts_here, summary.amounts_there))
        amounts = ("" if amount is None else plain_amount(amount) for amount in (ours, theirs))
        difference = plain_amount((theirs or Decimal(0)) - (ours or Decimal(0)))
        table.add_row(cell(currency or summary.unit), *amounts, difference)
    return table


def results_table(results: Sequence[ReconciliationResult]) -> Table:
    """Findings of a reconciliation, one a line, with both sides' amounts and the cause."""
    table = listing("Finding", *folded("Reference", "Account"), *numbers("Here", "There"), *folded("Why"))
    for result in results:
        sides = ((result.count_here, result.amount_here), (result.count_there, result.amount_there))
        amounts = (plain_amount(amount) if count else "" for count, amount in sides)
        kind = result.kind.value.replace("_", " ")
        table.add_row(kind, cell(result.reference or ""), cell(result.account_id or ""), *amounts, cell(result.cause))
    return table
