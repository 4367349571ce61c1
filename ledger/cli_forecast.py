"""The command `forecast`: what a plan of runs would do to an account."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from sqlalchemy.orm import Session

from estimator.cli_options import JsonOption, parse_moment
from estimator.credits import format_credits, parse_credits
from estimator.errors import AmountInvalid
from estimator.issues import nearest
from estimator.rendering import facts, line
from estimator.terminal import EPILOG, CommandFailed, CommandGroup, emit
from ledger.cli_arguments import AccountArgument
from ledger.database import DatabaseOption, in_database
from ledger.forecasts import Forecast, ForecastStep, PlannedRun, forecast
from ledger.rendering import plain

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
    runs = list(_read(plan))
    end = parse_moment(until)

    def work(session: Session) -> Forecast:
        return forecast(session, account, runs, until=end)

    found = in_database(database_url, work)
    emit(_document(found), *_shown(found), as_json=as_json)


def _read(path: Path) -> Iterator[PlannedRun]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            _check_columns(path, list(reader.fieldnames or ()))
            for row in reader:
                yield _run(path, reader.line_num, row)
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


def _run(path: Path, number: int, row: dict[Any, Any]) -> PlannedRun:
    where = f"{path}, line {number}"
    if None in row or None in row.values():
        raise CommandFailed("line_invalid", f"{where}: has not as many values as there are columns. Correct the line.")
    try:
        moment = parse_moment(row["at"])
        credits_asked = parse_credits(row["credits"])
    except (AmountInvalid, CommandFailed) as error:
        raise CommandFailed("line_invalid", f"{where}: {error}") from None
    if moment is None:
        raise CommandFailed("line_invalid", f"{where}: has no moment. Write it as 2026-01-31T09:00:00Z.")
    labels = {name: value for name, value in row.items() if name not in _COLUMNS and value}
    return PlannedRun(moment, credits_asked, labels)


def _document(found: Forecast) -> dict[str, Any]:
    return {
        "account_id": found.account_id,
        "opening": plain(found.opening),
        "closing": plain(found.closing),
        "dry_at": None if found.dry_at is None else found.dry_at.isoformat(),
        "shortfall": None if found.shortfall is None else format_credits(found.shortfall),
        "consumed": {grant: format_credits(amount) for grant, amount in found.consumed.items()},
        "steps": [_step(step) for step in found.steps],
        "entries": [plain(entry) for entry in found.entries],
    }


def _step(step: ForecastStep) -> dict[str, Any]:
    return {
        "at": step.run.at.isoformat(),
        "credits": format_credits(step.run.credits),
        "labels": dict(step.run.labels or {}),
        "accepted": step.is_accepted,
        "refusal": None if step.refusal is None else step.refusal.to_dict(),
        "available": format_credits(step.balance.available),
    }


def _shown(found: Forecast) -> list[Any]:
    steps = Table("At", "Credits", "", "Available then", box=None, pad_edge=False)
    for step in found.steps:
        verdict = "" if step.refusal is None else step.refusal.code.replace("_", " ")
        amounts = (format_credits(step.run.credits), verdict, format_credits(step.balance.available))
        steps.add_row(step.run.at.isoformat(), *amounts)
    lapses = sum(entry.kind.value == "expire" for entry in found.entries)
    fields: list[tuple[str, object]] = [
        ("Available now", format_credits(found.opening.available)),
        ("At the end", format_credits(found.closing.available)),
        ("Expires unused", f"{format_credits(found.closing.expired - found.opening.expired)} in {lapses} lapses"),
        *((f"Burnt of {grant}", format_credits(amount)) for grant, amount in found.consumed.items()),
    ]
    if found.dry_at is None or found.shortfall is None:
        verdict = "The credits pay for every run." if all(step.is_accepted for step in found.steps) else ""
    else:
        verdict = f"Runs dry at {found.dry_at.isoformat()}: {format_credits(found.shortfall)} credits short."
    return [facts(fields), "", steps, "", *([line(verdict)] if verdict else [])]
