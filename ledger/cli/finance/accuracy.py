"""The command `accuracy`: what runs were charged, beside what they were estimated at."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation, localcontext
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.console import RenderableType
from rich.table import Table
from sqlalchemy.orm import Session

from estimator.cli.options import JsonOption
from estimator.cli.tables import amount_cell, cell, line
from estimator.cli.terminal import EPILOG, CommandFailed, CommandGroup, emit
from estimator.credits import format_credits, from_micro
from estimator.files.writing import written_whole
from ledger.cli.arguments import ZoneOption
from ledger.cli.database import DatabaseOption, in_database
from ledger.cli.tables import folded, in_line, listing, numbers, whole
from ledger.documents import plain
from ledger.finance.calendar import AccountingPeriod, named_zone
from ledger.finance.runs.accuracy import APART, RunAccuracy, measure_accuracy, runs_needed
from ledger.finance.spreadsheets import text_cell

app = typer.Typer(cls=CommandGroup)

_ERROR_PLACES = Decimal("0.000001")


@app.command(epilog=EPILOG)
def accuracy(
    period: Annotated[
        str | None,
        typer.Argument(
            metavar="[PERIOD]", help="Runs launched in it: 2026, 2026-Q4, 2026-11, 2026-11-05, or A..B; else all."
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            metavar="NAMES",
            help="Dimensions, separated by commas: recipe, length, grounding, account, month. A run counts for each of "
            "its recipes.",
        ),
    ] = None,
    share: Annotated[
        str, typer.Option("--share", metavar="SHARE", help="The share of the runs that the hold factor covers.")
    ] = "0.95",
    zone: ZoneOption = "UTC",
    to_csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write the total and every group to a CSV file.")
    ] = None,
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show how far the charges of runs were from their estimates, and how much of an estimate to hold.

    The hold factor is the smallest with which the estimates of that share of past runs would have covered their
    charges, rounded up. Runs that failed, were cancelled or released, lapsed or are open are counted apart.
    """
    where = named_zone(zone)
    asked = None if period is None else AccountingPeriod.parse(period, where)
    names = [name.strip() for name in (by or "").split(",") if name.strip()]
    covered = _parse_share(share)

    def work(session: Session) -> list[RunAccuracy]:
        return measure_accuracy(session, asked, by=names, zone=where, share=covered)

    groups = in_database(database_url, work)
    if to_csv is not None:
        with written_whole(to_csv, newline="") as file:
            _write_groups(groups, file)
    total, *others = groups
    needed = runs_needed(covered)
    document = {
        "period": plain(asked),
        "zone": zone,
        "share": format_credits(covered),
        "runs_needed": needed,
        "total": _document(total),
        "groups": [_document(group) for group in others],
    }
    emit(document, *_parts(groups, covered, needed), as_json=as_json)


def _parse_share(text: str) -> Decimal:
    try:
        share = Decimal(text.strip())
    except InvalidOperation:
        raise CommandFailed("share_invalid", f"--share: {text!r} is no number. Give one such as 0.95.") from None
    if not share.is_finite():
        raise CommandFailed("share_invalid", f"--share: {text!r} is no share. Give one such as 0.95.")
    return share


def _rounded(value: Fraction | None, places: Decimal, rounding: str) -> Decimal | None:
    if value is None:
        return None
    with localcontext(prec=60, rounding=rounding):
        return (Decimal(value.numerator) / Decimal(value.denominator)).quantize(places)


def hold_factor_up(group: RunAccuracy) -> Decimal | None:
    """A group's hold factor in four decimals, rounded up, so that it covers what the exact factor covers."""
    if group.hold_factor is None:
        return None
    units = -(-group.hold_factor.numerator * 10_000 // group.hold_factor.denominator)
    return Decimal(units).scaleb(-4)


def _document(group: RunAccuracy) -> dict[str, Any]:
    exact = None if group.hold_factor is None else str(group.hold_factor)
    document: dict[str, Any] = {
        "dimension": group.dimension or None,
        "key": group.key or None,
        "runs": group.runs,
        "estimated": from_micro(group.estimated),
        "captured": from_micro(group.captured),
        "difference": group.difference,
        "deviation": from_micro(group.deviation),
        "error": _error(group.error),
        "spread": _error(group.spread),
        "above": group.above,
        "below": group.below,
        "hold_factor": hold_factor_up(group),
        "hold_factor_exact": exact,
    }
    return {name: plain(value) for name, value in (document | group.apart).items()}


def _error(value: Fraction | None) -> Decimal | None:
    return _rounded(value, _ERROR_PLACES, ROUND_HALF_EVEN)


def _write_groups(groups: Iterable[RunAccuracy], out: TextIO) -> None:
    documents = [_document(group) for group in groups]
    writer = csv.DictWriter(out, documents[0])
    writer.writeheader()
    for document in documents:
        writer.writerow(document | {"key": text_cell(document["key"])})


def _parts(groups: Sequence[RunAccuracy], share: Decimal, needed: int) -> list[RenderableType]:
    total, *others = groups
    apart = ", ".join(f"{total.apart[name]:,} {name}" for name in APART if total.apart[name])
    said = f"{total.runs:,} runs measured" + (f"; counted apart: {apart}." if apart else ".")
    parts: list[RenderableType] = [line(said), _table([total], "")]
    for dimension in dict.fromkeys(group.dimension for group in others):
        parts += ["", _table([group for group in others if group.dimension == dimension], dimension)]
    percent = format_credits(share * 100)
    parts.append(line(f"Hold factor: estimates times this would have covered {percent}% of the runs."))
    if any(group.hold_factor is None for group in groups):
        parts.append(line(f"It is left out where fewer than {needed:,} runs were measured, or one cost what was free."))
    return parts


def _table(groups: Sequence[RunAccuracy], dimension: str) -> Table:
    first = folded("Account") if dimension == "account" else whole(dimension.capitalize() or "All")
    headings = ("Runs", "Apart", "Estimated", "Captured", "Error", "Spread", "Above", "Hold factor")
    table = listing(*first, *numbers(*headings))
    amounts = in_line([[from_micro(group.estimated), from_micro(group.captured)] for group in groups])
    for group, texts in zip(groups, amounts, strict=True):
        factor = hold_factor_up(group)
        table.add_row(
            cell(group.key or "all"),
            f"{group.runs:,}",
            f"{sum(group.apart.values()):,}",
            *map(amount_cell, texts),
            _percent(group.error, sign="+"),
            _percent(group.spread),
            f"{group.above:,}",
            "" if factor is None else str(factor),
        )
    return table


def _percent(value: Fraction | None, *, sign: str = "") -> str:
    if value is None:
        return ""
    return f"{_rounded(value * 100, Decimal('0.01'), ROUND_HALF_EVEN):{sign},f}%"
