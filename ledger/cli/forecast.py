"""The command `forecast`: what a plan of runs would do to an account."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from sqlalchemy.orm import Session

from estimator.cli.options import JsonOption, parse_moment
from estimator.cli.tables import amount_cell, cell, facts, line
from estimator.cli.terminal import EPILOG, CommandFailed, CommandGroup, emit
from estimator.credits import grouped_credits, parse_credits
from estimator.errors import AmountInvalid
from estimator.sentences import nearest
from ledger.cli.arguments import AccountArgument
from ledger.cli.database import DatabaseOption, in_database
from ledger.cli.tables import folded, in_line, listing, numbers, whole
from ledger.documents import moment_text, plain
from ledger.errors import CommandInvalid
from ledger.forecasts import Forecast, ForecastStep, PlannedRun, forecast
from ledger.model.values import Bucket

app = typer.Typer(cls=CommandGroup)
_COLUMNS = ("at", "credits")

PlanArgument = Annotated[
    Path,
    typer.Argument(
        metavar="PLAN",
        help="A CSV file with the columns at and credits, a run a line; other columns are labels, such as project.",
        show_default=False,
    ),
]
UntilOption = Annotated[
    str | None, typer.Option("--until", metavar="MOMENT", help="Look on to this moment; to the last run if left out.")
]


@app.command("forecast", epilog=EPILOG)
def forecast_command(
    account: AccountArgument,
    plan: PlanArgument,
    until: UntilOption = None,
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
) -> None:
    """Say what a dated plan of runs would do to an account: what it burns, what expires, when it runs dry."""
    runs = list(_read(plan, account))
    end = parse_moment(until)

    def work(session: Session) -> Forecast:
        return forecast(session, account, runs, until=end)

    found = in_database(database_url, work)
    emit(_document(found), *_shown(found), as_json=as_json)


def _read(path: Path, account: str) -> Iterator[PlannedRun]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            _check_columns(path, list(reader.fieldnames or ()))
            for row in reader:
                yield _run(path, reader.line_num, row, account)
    except OSError as error:
        raise CommandFailed("unreadable", f"{path}: cannot be read ({error.strerror}). Check the path.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise CommandFailed("unreadable", f"{path}: is no CSV in UTF-8 ({error}). Write it again.") from None


def _check_columns(path: Path, names: list[str]) -> None:
    for wanted in _COLUMNS:
        if wanted not in names:
            hint = nearest(wanted, names) if names else ""
            message = f"{path}: has no column {wanted!r}. {hint} Name the columns at and credits in its first line."
            raise CommandFailed("column_missing", message.replace("  ", " "))
    if len(set(names)) < len(names):
        raise CommandFailed("column_twice", f"{path}: names a column twice. Rename one of them.")


def _run(path: Path, number: int, row: dict[Any, Any], account: str) -> PlannedRun:
    where = f"{path}, line {number}"
    if None in row or None in row.values():
        raise CommandFailed("line_invalid", f"{where}: has not as many values as there are columns. Correct the line.")
    labels = {name: value for name, value in row.items() if name not in _COLUMNS and value}
    try:
        moment = parse_moment(row["at"], "at")
        assert moment is not None  # of a text
        run = PlannedRun(moment, parse_credits(row["credits"]), labels)
        run.to_command(account)
    except (AmountInvalid, CommandFailed, CommandInvalid) as error:
        raise CommandFailed("line_invalid", f"{where}: {error}") from None
    return run


def _document(found: Forecast) -> dict[str, Any]:
    lapses = [{"at": at, "grant_id": grant, "credits": amount} for at, grant, amount in _lapses(found)]
    document: dict[str, Any] = plain(
        {
            "account_id": found.account_id,
            "opening": found.opening,
            "closing": found.closing,
            "dry_at": found.dry_at,
            "shortfall": found.shortfall,
            "consumed": found.consumed,
            "expired": lapses,
            "steps": [_step(step) for step in found.steps],
            "entries": found.entries,
        }
    )
    return document


def _step(step: ForecastStep) -> dict[str, Any]:
    return {
        "at": step.run.at,
        "credits": Decimal(step.run.credits),
        "labels": dict(step.run.labels or {}),
        "accepted": step.is_accepted,
        "refusal": None if step.refusal is None else step.refusal.to_dict(),
        "available": step.balance.available,
    }


def _lapses(found: Forecast) -> Iterator[tuple[datetime, str, Decimal]]:
    """When credits expire, of which grant, and how many."""
    for entry in found.expired:
        for transfer in entry.transfers:
            if transfer.target is Bucket.EXPIRED:
                yield entry.at, transfer.grant_id, transfer.amount


def _shown(found: Forecast) -> list[Any]:
    lapses = list(_lapses(found))
    fields: list[tuple[str, object]] = [
        ("Available now", grouped_credits(found.opening.available)),
        ("At the end", grouped_credits(found.closing.available)),
        ("Expires unused", grouped_credits(sum((amount for _, _, amount in lapses), Decimal(0)))),
        *((f"Burnt of {grant}", grouped_credits(amount)) for grant, amount in found.consumed.items()),
    ]
    tables: list[Any] = [facts(fields)]
    if found.steps:
        tables += ["", _steps_table(found.steps)]
    if lapses:
        tables += ["", _lapses_table(lapses)]
    return [*tables, "", line(_verdict(found))]


def _steps_table(steps: Sequence[ForecastStep]) -> Table:
    table = listing(*whole("Run at"), *numbers("Credits", "Available then"), *folded(""))
    texts = in_line([[Decimal(step.run.credits), step.balance.available] for step in steps])
    for step, amounts in zip(steps, texts, strict=True):
        refusal = step.refusal
        verdict = "" if refusal is None else f"refused: {refusal.code.replace('_', ' ')}"
        table.add_row(moment_text(step.run.at), *map(amount_cell, amounts), cell(verdict))
    return table


def _lapses_table(lapses: Sequence[tuple[datetime, str, Decimal]]) -> Table:
    table = listing(*whole("Expires at"), *numbers("Credits", ""), *folded("Of grant"))
    for (at, grant, _), (amount,) in zip(lapses, in_line([[amount] for *_, amount in lapses]), strict=True):
        table.add_row(moment_text(at), amount_cell(amount), "", cell(grant))
    return table


def _verdict(found: Forecast) -> str:
    refused = sum(not step.is_accepted for step in found.steps)
    if not found.steps:
        return "No run is planned."
    if not refused:
        return "The credits pay for every run."
    count = f"{refused:,} of {len(found.steps):,} runs would be refused."
    if found.dry_at is None or found.shortfall is None:
        return f"The credits would do, but {count}"
    return f"Runs dry at {moment_text(found.dry_at)}: {grouped_credits(found.shortfall)} credits short. {count}"
