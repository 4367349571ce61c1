"""The commands that give the book to other tools, `export` and `feed`; and `reprice`, which prices it again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from estimator.cli.options import JsonOption, parse_moment
from estimator.cli.tables import line
from estimator.cli.terminal import EPILOG, CommandGroup, ExitStatus, emit
from estimator.files.writing import written_whole
from ledger.cli.arguments import AccountOption, ZoneOption
from ledger.cli.database import DatabaseOption, in_database
from ledger.cli.tables import findings_table
from ledger.documents import moment_text, plain
from ledger.finance.calendar import named_zone
from ledger.finance.exports.feed import LIMIT_MAX, Cursor, entries_since
from ledger.finance.exports.files import ExportFormat, export_book
from ledger.finance.runs.repricing import reprice

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
    """Write the whole book for another tool. Journals assert the balances at the end of every month.

    A lapse that is due and not recorded yet is no entry: run `credits expire` first.
    """
    where = named_zone(zone)
    moment = parse_moment(at)
    count = in_database(database_url, lambda session: export_book(session, kind, out, zone=where, at=moment))
    said = line(f"{count:,} entries written to {out}, with days and months of {zone}.")
    emit({"format": kind.value, "path": str(out), "zone": zone, "entries": count}, said, as_json=as_json)


@app.command("reprice", epilog=EPILOG)
def reprice_command(
    account: AccountOption = None, database_url: DatabaseOption = "", as_json: JsonOption = False
) -> None:
    """Price every run again from its stored plan and card. Ends with status 1 when a price differs."""
    findings = in_database(database_url, lambda session: list(reprice(session, account_id=account)))
    document = {"clean": not findings, "findings": plain(findings)}
    if findings:
        emit(document, findings_table(findings), as_json=as_json)
        raise typer.Exit(ExitStatus.FOUND)
    emit(document, line("Every launch and every settlement costs what it cost then."), as_json=as_json)


@app.command(epilog=EPILOG)
def feed(
    cursor: Annotated[
        Path,
        typer.Option("--cursor", metavar="FILE", help="Where the last reading ended: read first, and written last."),
    ],
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=LIMIT_MAX, help="The most at once.")] = 1_000,
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
) -> None:
    """Print the entries that are new since the last time, each account's in order.

    The cursor is written after they are printed: a command that stops in between prints them again. Account and
    sequence identify an entry.
    """
    given = Cursor.from_json(cursor.read_text(encoding="utf-8")) if cursor.exists() else None
    page = in_database(database_url, lambda session: entries_since(session, given, limit=limit))
    document = {"entries": plain(page.entries), "is_last": page.is_last}
    lines = [
        line(f"{entry.account_id} {entry.sequence} {moment_text(entry.at)} {entry.kind.value}")
        for entry in page.entries
    ]
    rest = "There are no more." if page.is_last else "There are more: run this again."
    emit(document, *lines, line(f"{len(page.entries):,} new entries. {rest}"), as_json=as_json)
    with written_whole(cursor) as file:
        file.write(page.cursor.to_json())
