"""What a reconciliation found, as tables for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from estimator.cli.tables import cell
from ledger.finance.reconciliation.judgement import plain_amount
from ledger.finance.reconciliation.results import ReconciliationResult, ReconciliationSummary


def summary_table(summary: ReconciliationSummary) -> Table:
    """How many groups there are of each kind, and what both sides sum to."""
    table = _table("Result")
    table.add_column("Groups", justify="right", no_wrap=True)
    for kind, count in summary.counts.items():
        if count:
            table.add_row(kind.value.replace("_", " "), f"{count:,}")
    return table


def sums_table(summary: ReconciliationSummary) -> Table:
    """What both sides sum to, by currency."""
    table = _table("Sum")
    for name in ("Here", "There", "Difference"):
        table.add_column(name, justify="right", no_wrap=True)
    for currency in dict.fromkeys([*summary.amounts_here, *summary.amounts_there]):
        ours, theirs = (side.get(currency) for side in (summary.amounts_here, summary.amounts_there))
        amounts = ("" if amount is None else plain_amount(amount) for amount in (ours, theirs))
        difference = plain_amount((theirs or 0) - (ours or 0))  # type: ignore[arg-type]
        table.add_row(cell(currency or summary.unit), *amounts, difference)
    return table


def results_table(results: Sequence[ReconciliationResult]) -> Table:
    """Findings, one a line, with both sides' amounts and the cause."""
    table = _table("Finding")
    for name in ("Reference", "Account"):
        table.add_column(name, overflow="fold")
    for name in ("Here", "There"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("Why", overflow="fold")
    for result in results:
        sides = (
            (result.count_here, result.amount_here),
            (result.count_there, result.amount_there),
        )
        amounts = (plain_amount(amount) if count else "" for count, amount in sides)
        kind = result.kind.value.replace("_", " ")
        table.add_row(kind, cell(result.reference or ""), cell(result.account_id or ""), *amounts, cell(result.cause))
    return table


def _table(first: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column(first)
    return table
