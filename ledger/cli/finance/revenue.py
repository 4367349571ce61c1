"""The commands of revenue: a period's figures, closing it, and the list of closings."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from sqlalchemy.orm import Session

from estimator.cli.options import JsonOption
from estimator.cli.tables import line
from estimator.cli.terminal import EPILOG, CommandGroup, emit
from estimator.files.writing import written_whole
from ledger.accounting.money import Figures, total_figures
from ledger.cli.arguments import AccountOption, ZoneOption
from ledger.cli.database import DatabaseOption, in_database
from ledger.cli.finance.tables import (
    closings_table,
    owed_by_account,
    period_line,
    revenue_by_account,
    revenue_by_grant,
    revenue_tables,
)
from ledger.documents import moment_text, plain
from ledger.finance.calendar import AccountingPeriod, named_zone
from ledger.finance.revenue.closings import Closing, checkpoint_closing, close_period, find_closing, list_closings
from ledger.finance.revenue.documents import closing_document, figures_document, revenue_line_document
from ledger.finance.revenue.reading import RevenueLine, stream_figures, stream_revenue

app = typer.Typer(cls=CommandGroup)

PeriodArgument = Annotated[
    str, typer.Argument(metavar="PERIOD", help="2026, 2026-Q4, 2026-11, 2026-11-05, or A..B.", show_default=False)
]


@app.command(epilog=EPILOG)
def revenue(
    period: PeriodArgument,
    by_account: Annotated[bool, typer.Option("--by-account", help="Add a line for each account.")] = False,
    by_grant: Annotated[bool, typer.Option("--by-grant", help="Add a line for each grant.")] = False,
    account: AccountOption = None,
    zone: ZoneOption = "UTC",
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show a period's exact figures: credits sold, recognised, refunded and lapsed, and what is deferred and owed.

    A closed period shows the figures that were kept; effects that were recorded later are adjustments of the first
    open period. A lapse that is due and not recorded yet is not in the book: run `credits expire` first.
    """
    asked = AccountingPeriod.parse(period, named_zone(zone))

    def work(session: Session) -> tuple[Closing | None, list[tuple[str, Figures]], list[RevenueLine], Figures]:
        closing = find_closing(session, asked)
        if not by_grant:
            found = stream_figures(session, asked, account_id=account)
            accounts = list(found) if by_account else []
            return closing, accounts, [], total_figures(figures for _, figures in accounts or found)
        streamed = list(stream_revenue(session, asked, account_id=account))
        accounts = [(found.account_id, found.figures) for found in streamed]
        lines = [each for found in streamed for each in found.lines]
        return closing, accounts, lines, total_figures(figures for _, figures in accounts)

    closing, accounts, lines, figures = in_database(database_url, work)
    document: dict[str, Any] = {"period": plain(asked), "zone": zone, "closing": closing_document(closing)}
    document |= figures_document(figures)
    said = [period_line(asked, zone)]
    if closing is not None:
        said.append(line(f"Closed {_when(closing)}: these are the figures that were kept then."))
    tables: list[RenderableType] = [*revenue_tables(figures)]
    if by_account:
        document["accounts"] = [{"account_id": name} | figures_document(each) for name, each in accounts]
        tables += [revenue_by_account(accounts)] if figures.totals else []
        owed = owed_by_account(accounts)
        tables += [] if owed is None else [owed]
    if by_grant:
        document["grants"] = [revenue_line_document(found) for found in lines]
        tables += [revenue_by_grant(lines)] if lines else []
    emit(document, *said, *(tables or [line("Nothing was deferred or owed, and nothing moved.")]), as_json=as_json)


def _when(closing: Closing) -> str:
    return f"at {moment_text(closing.closed_at)} by {closing.closed_by}"


@app.command(epilog=EPILOG)
def close(
    period: PeriodArgument,
    zone: ZoneOption = "UTC",
    by: Annotated[
        str, typer.Option("--by", metavar="WHO", help="Who closes it; the user of this machine if left out.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be kept, and keep nothing.")] = False,
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", metavar="FILE", help="Write the last entry of every account, to be signed."),
    ] = None,
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
) -> None:
    """Close a period for good: its figures and the last entry of every account are kept, and never change.

    Periods are closed in order, without gaps, once they are over; the first includes the book's beginning
    (`2026-01..2026-10`). Closing a period again answers what was kept.
    """
    who = by or _user()

    def work(session: Session) -> tuple[Any, str | None]:
        closed = close_period(session, period, zone=zone, by=who, dry_run=dry_run)
        if checkpoint is None or not closed.stored:
            return closed, None
        return closed, checkpoint_closing(session, closed.closing.period).to_json()

    closed, heads = in_database(database_url, work)
    if checkpoint is not None and heads is not None:
        with written_whole(checkpoint) as out:
            out.write(heads)
    closing = closed.closing
    document = {"closing": closing_document(closing), "replayed": closed.replayed, "stored": closed.stored}
    document |= figures_document(closed.figures)
    name = f"{closing.period.name} in {closing.zone}"
    if closed.replayed:
        said = f"{name} was closed {_when(closing)}; this is what was kept."
    elif closed.stored:
        said = f"{name} is closed, of {closing.accounts:,} accounts."
    else:
        said = f"{name} would be closed so, of {closing.accounts:,} accounts. Nothing was kept."
    emit(document, line(said), *revenue_tables(closed.figures), as_json=as_json)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "unknown"


@app.command(epilog=EPILOG)
def closings(database_url: DatabaseOption = "", as_json: JsonOption = False) -> None:
    """List the closed periods in order: zone, when and by whom, and for how many accounts."""
    found = in_database(database_url, list_closings)
    table = closings_table(found) if found else line("No period is closed. Close one with `credits close`.")
    emit({"closings": [closing_document(each) for each in found]}, table, as_json=as_json)
