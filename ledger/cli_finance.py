"""The commands of finance: the book in the forms that other tools read, and what is new in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from sqlalchemy.orm import Session

from estimator.cli_options import JsonOption, parse_moment
from estimator.credits import format_credits, from_micro
from estimator.files import written_whole
from estimator.rendering import line
from estimator.terminal import EPILOG, CommandGroup, ExitStatus, emit
from ledger.cli_arguments import AccountOption, ZoneOption, parse_zone
from ledger.database import DatabaseOption, in_database
from ledger.finance.calendar import AccountingPeriod
from ledger.finance.exports import ExportFormat, export_book
from ledger.finance.feed import LIMIT_MAX, Cursor, entries_since
from ledger.finance.rendering import exact_text, grants_table, revenue_table
from ledger.finance.repricing import reprice
from ledger.finance.revenue import FLOWS, RevenueLine, RevenueTotal, stream_revenue, total_revenue
from ledger.rendering import findings_table, plain

app = typer.Typer(cls=CommandGroup)


@app.command(epilog=EPILOG)
def export(
    kind: Annotated[ExportFormat, typer.Argument(metavar="FORMAT", help="beancount, hledger, csv or parquet.")],
    out: Annotated[Path, typer.Option("--out", metavar="PATH", help="A file; for csv and parquet, a new folder.")],
    zone: ZoneOption = "UTC",
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="MOMENT", help="A journal of what had taken effect by then, in ISO 8601."),
    ] = None,
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
) -> None:
    """Write the whole book for another tool, which finds the balances asserted at every month's end.

    What has lapsed and is not recorded yet is no entry: run `credits expire` first.
    """
    where = parse_zone(zone)
    moment = parse_moment(at)
    count = in_database(database_url, lambda session: export_book(session, kind, out, zone=where, at=moment))
    said = line(f"{count:,} entries written to {out}, with days and months of {zone}.")
    emit({"format": kind.value, "path": str(out), "zone": zone, "entries": count}, said, as_json=as_json)


@app.command("reprice", epilog=EPILOG)
def reprice_command(
    account: AccountOption = None, database_url: DatabaseOption = "", as_json: JsonOption = False
) -> None:
    """Price every run again from its stored plan and card. Ends with status 1 when anything costs something else."""
    findings = in_database(database_url, lambda session: list(reprice(session, account_id=account)))
    document = {"clean": not findings, "findings": plain(findings)}
    if findings:
        emit(document, findings_table(findings), as_json=as_json)
        raise typer.Exit(ExitStatus.FOUND)
    emit(document, line("Every launch and every settlement costs what it cost then."), as_json=as_json)


@app.command(epilog=EPILOG)
def revenue(
    period: Annotated[str, typer.Argument(metavar="PERIOD", help="2026, 2026-Q4, 2026-11, 2026-11-05, or A..B.")],
    by_grant: Annotated[bool, typer.Option("--by-grant", help="A line for each grant, too.")] = False,
    zone: ZoneOption = "UTC",
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
) -> None:
    """Tell what of a period's credits was sold, recognised, refunded, broke and is deferred, by kind and currency.

    What has lapsed and is not recorded yet is not in the book: run `credits expire` first.
    """
    asked = AccountingPeriod.parse(period, parse_zone(zone))
    lines: list[RevenueLine] = []

    def work(session: Session) -> list[RevenueTotal]:
        lines.clear()
        found = stream_revenue(session, asked)
        return total_revenue(_kept(found, lines) if by_grant else found)

    totals = in_database(database_url, work)
    document: dict[str, Any] = {"period": plain(asked), "zone": zone, "totals": [_total(total) for total in totals]}
    if by_grant:
        document["grants"] = [_grant(found) for found in lines]
    said = line(f"From {plain(asked.since)} and before {plain(asked.until)}: {period} in {zone}.")
    tables: list[RenderableType] = (
        [revenue_table(totals)] if totals else [line("Nothing was deferred, and nothing moved.")]
    )
    if by_grant and lines:
        tables.append(grants_table(lines))
    emit(document, said, *tables, as_json=as_json)


def _kept(found: Iterable[RevenueLine], lines: list[RevenueLine]) -> Iterator[RevenueLine]:
    for each in found:
        lines.append(each)
        yield each


def _total(total: RevenueTotal) -> dict[str, Any]:
    flows = {name: format_credits(from_micro(getattr(total.flows, name))) for name in FLOWS}
    money = {name: exact_text(amount) for name, amount in total.money.items()}
    return {"kind": total.kind, "currency": total.currency, "credits": flows, "money": money or None}


def _grant(found: RevenueLine) -> dict[str, Any]:
    money = {name: exact_text(amount) for name in FLOWS if (amount := found.money(name)) is not None}
    return {
        "account_id": found.account_id,
        "grant_id": found.grant_id,
        "kind": found.kind,
        "currency": found.currency,
        "per_credit": None if found.per_credit is None else exact_text(found.per_credit),
        "credits": {name: format_credits(found.credits(name)) for name in FLOWS},
        "money": money or None,
    }


@app.command(epilog=EPILOG)
def feed(
    cursor: Annotated[
        Path, typer.Option("--cursor", metavar="FILE", help="How far was read; made anew, and written when all is out.")
    ],
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=LIMIT_MAX, help="The most at once.")] = 1_000,
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
) -> None:
    """Print the entries that are new since the last time, each account's in order.

    The cursor is written after they are printed: a command that dies between prints them again. Tell them by account
    and sequence.
    """
    given = Cursor.from_json(cursor.read_text(encoding="utf-8")) if cursor.exists() else None
    page = in_database(database_url, lambda session: entries_since(session, given, limit=limit))
    document = {"entries": plain(page.entries), "is_last": page.is_last}
    lines = [
        line(f"{entry.account_id} {entry.sequence} {plain(entry.at)} {entry.kind.value}") for entry in page.entries
    ]
    rest = "There are no more." if page.is_last else "There are more: run this again."
    emit(document, *lines, line(f"{len(page.entries):,} new entries. {rest}"), as_json=as_json)
    with written_whole(cursor) as file:
        file.write(page.cursor.to_json())
