"""The command `whatif`: past runs under other rate cards."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from estimator.cli.options import JsonOption, check_place, read_card
from estimator.cli.terminal import EPILOG, CommandFailed, CommandGroup, emit
from estimator.cli.whatif_tables import comparison_parts, write_groups
from estimator.files.writing import written_whole
from estimator.scenarios.comparison import MOVERS, compare
from estimator.scenarios.reading.pieces import Source
from estimator.scenarios.reading.sources import open_runs

PROGRESS_AFTER_SECONDS = 1
"""Shorter work shows no progress bar."""

app = typer.Typer(
    cls=CommandGroup,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RunsArgument = Annotated[
    list[str],
    typer.Argument(metavar="RUNS...", help="Parquet or CSV files, folders of them, or patterns.", show_default=False),
]
BaselineOption = Annotated[
    str, typer.Option("--baseline", metavar="CARD", help="The card to compare with: a shipped name or a file.")
]
CandidateOption = Annotated[
    list[str] | None,
    typer.Option("--candidate", metavar="CARD", help="A card to compare: a shipped name or a file; repeatable."),
]
ByOption = Annotated[
    str | None,
    typer.Option(
        "--by",
        metavar="NAMES",
        help="Dimensions, with commas between: account, month, recipe, length, grounding, safety, training_type, "
        "modality. The recipes of a run each count it.",
    ),
]
MoversOption = Annotated[
    int, typer.Option("--movers", min=0, max=1000, help="How many accounts and runs to list that pay more.")
]
CsvOption = Annotated[
    Path | None, typer.Option("--csv", metavar="FILE", help="Write the totals and every group to a CSV file.")
]
HtmlOption = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write a report of one file that opens offline.")
]


@app.command(epilog=EPILOG)
def whatif(
    runs: RunsArgument,
    baseline: BaselineOption,
    candidate: CandidateOption = None,
    by: ByOption = None,
    movers: MoversOption = MOVERS,
    to_csv: CsvOption = None,
    html: HtmlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Price past runs under other rate cards: what they would have cost, who pays more, and why.

    The columns are rows, max_rows, length, grounding, safety, training_type, one for each recipe, and so on; what
    is left out means what it means in a request. A column account says who pays, at says when.
    """
    cards = [read_card(source) for source in (baseline, *(candidate or ()))]
    asked = None if by is None else [name.strip() for name in by.split(",") if name.strip()]
    for path in (to_csv, html):
        check_place(path)
    if to_csv is not None and html is not None and to_csv.resolve() == html.resolve():
        raise CommandFailed("usage", f"--csv and --html both name {str(html)!r}. Give each a file of its own.")
    source = open_runs(runs)
    with _progress(source, quiet=as_json) as progress:
        # A report shows every available dimension, whatever --by says.
        dimensions = None if html is not None else asked or []
        found = compare(source, cards[0], cards[1:], by=dimensions, movers=movers, progress=progress)
    shown = [found.by(name).dimension for name in asked or ()]
    if html is not None:
        from estimator.report import write_report

        write_report(html, found)
    if to_csv is not None:
        with written_whole(to_csv, newline="") as file:
            write_groups(found, file)
    emit(found.to_dict(), *comparison_parts(found, shown), as_json=as_json)


class _LateBar:
    """A progress bar that appears after a while; several threads may call it."""

    def __init__(self, bar: Progress, size: int) -> None:
        self._bar = bar
        self._task = bar.add_task("Pricing", total=size)
        self._began = monotonic()
        self._lock = Lock()

    def __call__(self, size: int) -> None:
        with self._lock:
            self._bar.advance(self._task, size)
            if not self._bar.live.is_started and monotonic() - self._began > PROGRESS_AFTER_SECONDS:
                self._bar.start()


@contextmanager
def _progress(source: Source, *, quiet: bool) -> Iterator[Any]:
    if quiet or not sys.stderr.isatty():
        yield None
        return
    bar = Progress(console=Console(stderr=True), transient=True)
    try:
        yield _LateBar(bar, source.size)
    finally:
        bar.stop()
