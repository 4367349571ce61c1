"""The commands of statements: one account's, and those of all accounts of a period with their totals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from itertools import islice
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Annotated, Any, TextIO, cast

import typer
from rich.console import RenderableType
from sqlalchemy.orm import Session

from estimator.cli.options import JsonOption, check_place, parse_moment
from estimator.cli.tables import line
from estimator.cli.terminal import EPILOG, CommandFailed, CommandGroup, ExitStatus, emit, emit_file
from estimator.files.writing import beside
from ledger.cli.arguments import AccountArgument, ZoneOption
from ledger.cli.database import DatabaseOption, in_database
from ledger.cli.finance.tables import period_line, totals_table
from ledger.cli.tables import findings_table, statement_table
from ledger.clock import clock
from ledger.documents import plain
from ledger.errors import AuditFailed, CommandInvalid, Finding
from ledger.finance.calendar import AccountingPeriod, named_zone
from ledger.finance.statements.files import (
    statement_document,
    totals_document,
    write_statement_json,
    write_statements_csv,
    write_statements_parquet,
)
from ledger.finance.statements.pages import write_statement_page, write_statement_pages
from ledger.finance.statements.reading import AccountStatement, read_statement
from ledger.finance.statements.totals import PeriodStatements, StatementTotals
from ledger.finance.stream import read_one_moment
from ledger.model.moments import from_moment
from ledger.model.values import Statement

app = typer.Typer(cls=CommandGroup)

LISTED_MAX = 1_000
"""Entries that are shown on a terminal."""

_SPOOLED_BYTES = 1_000_000
_PERIOD_HELP = "2026, 2026-Q4, 2026-11, 2026-11-05, or A..B."

CsvOption = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write a CSV file.")]
ParquetOption = Annotated[Path | None, typer.Option("--parquet", metavar="FILE", help="Write a Parquet file.")]
PageOption = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page to print or to send.")]
FolderOption = Annotated[
    Path | None, typer.Option("--html", metavar="FOLDER", help="Write a page for each account into a new folder.")
]


@app.command(epilog=EPILOG)
def statement(
    account: AccountArgument,
    period: Annotated[str | None, typer.Argument(metavar="[PERIOD]", help=_PERIOD_HELP, show_default=False)] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="MOMENT", help="From this moment on; from the first entry if left out."),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="MOMENT", help="Before this moment; until now if left out.")
    ] = None,
    zone: ZoneOption = "UTC",
    to_csv: CsvOption = None,
    to_parquet: ParquetOption = None,
    html: PageOption = None,
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
) -> None:
    """List an account's entries of a period, between its opening and its closing balance.

    A change that came due and is not recorded yet is listed too, as balances count it. Ends with status 1, and writes
    no file, when the entries do not make the closing balance.
    """
    where = named_zone(zone)
    start, end = _ends(period, since, until, where)
    writers = _chosen(
        (to_csv, lambda found, path: _to_csv([found], path, where)),
        (to_parquet, lambda found, path: write_statements_parquet([found], path)),
        (html, lambda found, path: _to_page(found, path, where)),
    )

    def work(session: Session, spool: TextIO) -> tuple[AccountStatement, Statement | None]:
        def opened() -> AccountStatement:
            return read_statement(session, account, since=start, until=end)

        read_one_moment(session)
        found = opened()
        for writer in writers:
            writer.write(opened)
        if writers:
            return found, None
        if not as_json:
            return found, _listed(found)
        spool.seek(0)
        spool.truncate()
        write_statement_json(found, spool)
        _require_tied(found.findings)
        return found, None

    # The answer waits in a file until the transaction has ended: a slow reader of the output holds no lock.
    with SpooledTemporaryFile(_SPOOLED_BYTES, "w+", encoding="utf-8") as file:
        spool = cast(TextIO, file)
        found, listed = _tied(lambda: in_database(database_url, lambda session: work(session, spool)), as_json)
        if as_json and not writers:
            spool.seek(0)
            emit_file(spool)
            return
    files = [str(writer.path) for writer in writers]
    document = statement_document(found) | {"entries": found.count, "files": files}
    emit(document, *_said(found, listed, files, where), as_json=as_json)


def _said(
    found: AccountStatement, listed: Statement | None, files: Iterable[str], zone: tzinfo
) -> Iterable[RenderableType]:
    for file in files:
        yield line(f"{found.count:,} entries written to {file}.")
    if listed is not None:
        yield statement_table(listed, zone=zone)
        rest = found.count - len(listed.entries)
        if rest > 0:
            yield line(f"{rest:,} more entries are not listed. Write them all with --csv FILE.")


@app.command(epilog=EPILOG)
def statements(
    period: Annotated[str, typer.Argument(metavar="PERIOD", help=_PERIOD_HELP)],
    zone: ZoneOption = "UTC",
    to_csv: CsvOption = None,
    to_parquet: ParquetOption = None,
    html: FolderOption = None,
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
) -> None:
    """Make the statements of all accounts of a period, and add them up.

    Ends with status 1, and writes nothing, unless all of it ties: by bucket, for each account and for all together,
    opening and changes make the closing balance, and both are what the transfers of the whole book sum to.
    """
    where = named_zone(zone)
    asked = AccountingPeriod.parse(period, where)
    if html is not None and html.exists():
        raise CommandInvalid("path", f"{str(html)!r} exists. Give a folder that does not, so that nothing is lost.")
    writers = _chosen(
        (to_csv, lambda found, path: _to_csv(found, path, where)),
        (to_parquet, lambda found, path: write_statements_parquet(found, path)),
        (html, lambda found, path: _to_folder(found, path, where)),
    )

    def work(session: Session) -> StatementTotals:
        read_one_moment(session)
        found = PeriodStatements(session, asked)
        for writer in writers:
            found = writer.write(lambda: PeriodStatements(session, asked))
        if not writers:
            for _ in found:
                pass
            _require_tied(found.findings)
        return found.totals

    totals = _tied(lambda: in_database(database_url, work), as_json)
    files = [str(writer.path) for writer in writers]
    document = {"period": plain(asked), "zone": zone} | totals_document(totals)
    said: list[RenderableType] = [
        period_line(asked, zone),
        totals_table(totals),
        line(f"{totals.accounts:,} statements with {totals.entries:,} entries tie to the book."),
    ]
    if totals.unrecorded:
        said.append(line(f"{totals.unrecorded:,} of them have come due and are not recorded: run `credits expire`."))
    said += [line(f"Written to {file}.") for file in files]
    emit(document | {"files": files, "clean": True, "findings": []}, *said, as_json=as_json)


Make = Callable[[Any, Path], None]


@dataclass(frozen=True, slots=True)
class _Writer:
    """A file or folder to be written, and how it is made of statements."""

    path: Path
    make: Make

    def write(self, opened: Callable[[], Any]) -> Any:
        """Make it beside its place, and move it there when everything in it adds up. Raises `AuditFailed`."""
        found = opened()
        with beside(self.path) as made:
            self.make(found, made)
            _require_tied(found.findings)
        return found


def _chosen(*asked: tuple[Path | None, Make]) -> Sequence[_Writer]:
    """The writers of the files that were asked for; a place that cannot be written is refused before any reading."""
    writers = [_Writer(path, make) for path, make in asked if path is not None]
    for writer in writers:
        check_place(writer.path)
    return writers


def _to_csv(found: Iterable[AccountStatement], path: Path, zone: tzinfo) -> None:
    with path.open("w", encoding="utf-8", newline="") as out:
        write_statements_csv(found, out, zone=zone)


def _to_page(found: AccountStatement, path: Path, zone: tzinfo) -> None:
    with path.open("w", encoding="utf-8") as out:
        write_statement_page(found, out, zone=zone)


def _to_folder(found: PeriodStatements, path: Path, zone: tzinfo) -> None:
    path.mkdir()
    write_statement_pages(found, path, zone=zone)


def _ends(
    period: str | None, since: str | None, until: str | None, zone: tzinfo
) -> tuple[datetime | None, datetime | None]:
    if period is None:
        # Without an end every file ends at the same moment.
        now = from_moment(clock() + 1)
        return parse_moment(since, "--since"), parse_moment(until, "--until") or now
    if since is not None or until is not None:
        raise CommandFailed("usage", "A period has its own beginning and end. Give it, or --since and --until.")
    asked = AccountingPeriod.parse(period, zone)
    return asked.since, asked.until


def _listed(found: AccountStatement) -> Statement:
    """What a terminal shows of a statement; all of its lines are read."""
    entries = tuple(each.entry for each in islice(found.lines, LISTED_MAX))
    for _ in found.lines:
        pass
    _require_tied(found.findings)
    return Statement(found.account_id, found.since, found.until, found.opening, entries, found.closing)


def _require_tied(findings: list[Finding]) -> None:
    if findings:
        raise AuditFailed(findings)


def _tied(work: Callable[[], Any], as_json: bool) -> Any:
    """What the work answers; where it finds something, print the findings and end with status 1."""
    try:
        return work()
    except AuditFailed as failed:
        document = {"clean": False, "findings": plain(failed.findings)}
        told = line("Nothing was written. See `credits audit`.")
        emit(document, findings_table(failed.findings), told, as_json=as_json)
        raise typer.Exit(ExitStatus.FOUND) from None
