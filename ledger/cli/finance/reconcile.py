"""The command `reconcile`: compares the ledger with outside records or a second ledger, and lists what differs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from sqlalchemy.engine import URL
from sqlalchemy.orm import Session

from estimator.cli.options import JsonOption, check_place, parse_moment
from estimator.cli.tables import code, line
from estimator.cli.terminal import EPILOG, CommandFailed, CommandGroup, ExitStatus, emit
from estimator.files.writing import written_whole
from ledger.cli.arguments import AccountOption, AtOption, ZoneOption
from ledger.cli.database import DatabaseOption, in_database, opened, parse_url, shown_url
from ledger.cli.finance.tables import results_table, summary_table, sums_table
from ledger.cli.frame import progress_bar
from ledger.finance.calendar import AccountingPeriod, named_zone
from ledger.finance.reconciliation import (
    Reconciliation,
    ReconciliationResult,
    ReconciliationSummary,
    RecordMapping,
    reconcile,
)
from ledger.finance.reconciliation.documents import render_page, result_to_dict, summary_to_dict, write_csv
from ledger.finance.reconciliation.judgement import span
from ledger.schema.migrations import check_schema

app = typer.Typer(cls=CommandGroup)

LEDGER = "ledger"
"""The argument that names our own database as a side."""

_STEPS = 6
_BAR = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[records]}"), TimeElapsedColumn())


@app.command("reconcile", epilog=EPILOG)
def reconcile_command(
    here: Annotated[
        str, typer.Argument(metavar="HERE", help="The word ledger for our database, or a file.", show_default=False)
    ],
    there: Annotated[
        str, typer.Argument(metavar="THERE", help="A .csv or .parquet file, or the URL of a second ledger.")
    ],
    mapping: Annotated[
        str, typer.Option("--mapping", metavar="NAME|FILE", help="journal, stripe, usage, or a .toml file.")
    ],
    here_mapping: Annotated[
        str | None,
        typer.Option(
            "--here-mapping", metavar="NAME|FILE", help="The mapping of HERE, where it is a file with other columns."
        ),
    ] = None,
    period: Annotated[
        str | None, typer.Option("--period", metavar="PERIOD", help="Only 2026, 2026-Q4, 2026-11, 2026-11-05, or A..B.")
    ] = None,
    zone: ZoneOption = "UTC",
    account: AccountOption = None,
    at: AtOption = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write one page with all of it, to read or print.")
    ] = None,
    to_csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write every finding as a line of CSV.")
    ] = None,
    matched: Annotated[bool, typer.Option("--matched", help="Write what matches to the CSV, too.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=0, help="Findings to print; the files have all.")
    ] = 1_000,
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
) -> None:
    """Compare our records one by one with those of others. Ends with status 1 when anything differs.

    Nothing is changed: corrections are printed as commands, and you decide. A lapse that is due and not recorded yet is
    no entry: run `credits expire` first.
    """
    if matched and to_csv is None:
        raise CommandFailed("option_missing", "--matched adds to a file. Name it with --csv, or leave --matched out.")
    for path in (html, to_csv):
        check_place(path)
    rules = RecordMapping.named(mapping)
    ours = None if here_mapping is None else RecordMapping.named(here_mapping)
    asked = None if period is None else AccountingPeriod.parse(period, named_zone(zone))
    moment = parse_moment(at)

    with ExitStack() as stack:
        bar = progress_bar(*_BAR, total=_STEPS, quiet=as_json, records="")
        steps = _Steps(stack.enter_context(bar))
        second = stack.enter_context(_second_ledger(there)) if "://" in there else None

        compared = partial(reconcile, here_mapping=ours, period=asked, at=moment, account_id=account, progress=steps)

        def work(source: Session | str) -> Reconciliation:
            return compared(source, there if second is None else second, rules)

        found = in_database(database_url, work) if here == LEDGER else work(here)
        stack.callback(found.close)
        if html is not None:
            steps(f"Writing {html}", 0)
            _write_page(found, html, here, _name(there), _facts(rules, asked, zone, account))
        if to_csv is not None:
            steps(f"Writing {to_csv}", 0)
            with written_whole(to_csv, newline="") as file:
                write_csv(_all_of(found) if matched else found, file)
        shown = list(islice(found, limit))
    _report(found.summary, shown, here, _name(there), as_json=as_json)


def _report(
    summary: ReconciliationSummary, shown: list[ReconciliationResult], here: str, there: str, *, as_json: bool
) -> None:
    sides = {"here": here, "there": there}
    document = sides | summary_to_dict(summary) | {"results": [result_to_dict(result) for result in shown]}
    emit(document, *_parts(summary, shown), as_json=as_json)
    if not summary.is_clean:
        raise typer.Exit(ExitStatus.FOUND)


def _write_page(found: Reconciliation, path: Path, here: str, there: str, facts: list[tuple[str, str]]) -> None:
    with written_whole(path) as page:
        page.writelines(render_page(found, found.summary, here=here, there=there, facts=facts))


def _all_of(found: Reconciliation) -> Iterator[ReconciliationResult]:
    yield from found
    yield from found.matches()


def _parts(summary: ReconciliationSummary, shown: list[ReconciliationResult]) -> Iterable[RenderableType]:
    counted = f"{summary.records_here:,} records here, {summary.records_there:,} there, {summary.left_out:,} left out."
    yield line(counted)
    yield sums_table(summary)
    yield summary_table(summary)
    if summary.is_clean:
        yield line("Both sides agree.")
        return
    if shown:
        yield results_table(shown)
    if summary.findings > len(shown):
        yield line(f"{summary.findings - len(shown):,} more findings are not shown. Write them all with --csv FILE.")
    commands = [result.correction for result in shown if result.correction is not None]
    if commands:
        yield line("Suggested corrections, none of which was carried out; each corrects once, however often it is run:")
        for command in commands:
            yield from code(command)


def _facts(
    rules: RecordMapping, period: AccountingPeriod | None, zone: str, account: str | None
) -> list[tuple[str, str]]:
    """How the sides were compared, as a page shows it."""
    tolerance = rules.tolerance
    facts = [
        ("Compared", f"{rules.side}, in {rules.amount.unit}"),
        ("Tolerance", f"{tolerance.amount:f} in amount, {span(tolerance.time)} in time"),
        ("Window", f"{span(tolerance.window)}, where there is no reference"),
    ]
    if period is not None:
        facts.append(("Period", f"{period.name} in {zone}"))
    if account is not None:
        facts.append(("Account", account))
    return facts


@contextmanager
def _second_ledger(url: str) -> Iterator[Session]:
    with opened(url) as engine:
        check_schema(engine)
        with Session(engine) as session:
            yield session


def _name(source: str) -> str:
    """A source as it may be shown: a URL without its user, and without any password."""
    if "://" not in source:
        return source
    url = parse_url(source)
    return shown_url(URL.create(url.drivername, None, None, url.host, url.port, url.database, url.query))


@dataclass(slots=True)
class _Steps:
    """Told of each step and of the records that it has done; moves the bar on with every new step."""

    update: Callable[..., None]
    last: str = ""

    def __call__(self, step: str, count: int) -> None:
        is_new = step != self.last
        self.last = step
        self.update(description=step, records=f"{count:,} records" if count else "", advance=int(is_new))
