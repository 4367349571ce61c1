"""The command `card calibrate`: the minutes of a card, from past runs."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from estimator.cli.options import JsonOption, read_card
from estimator.cli.tables import facts, line
from estimator.cli.terminal import CommandFailed, emit
from estimator.credits import format_credits
from estimator.files.writing import written_whole
from estimator.rates import RateCard

HistoryArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="HISTORY...",
        help="Parquet or CSV files of past runs with a column minutes, or started_at and ended_at; folders, patterns.",
        show_default=False,
    ),
]
CardToCalibrate = Annotated[
    str, typer.Option("--card", metavar="CARD", help="The card to calibrate: a shipped name, or a .toml or .json file.")
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Write the card with its new minutes here; without it, only show them."),
]


def calibrate_command(
    history: HistoryArgument, card: CardToCalibrate, out: OutOption = None, as_json: JsonOption = False
) -> None:
    """Fit a card's minutes to past runs, bound them, and say how good they are on runs held back.

    Minutes are advice and never billed; the card's prices, its comments and everything else stay as they are.
    """
    from estimator.calibration.cards import card_text, with_minutes
    from estimator.calibration.history import read_history
    from estimator.calibration.models import calibrate

    before = read_card(card)
    text, suffix = card_text(card)
    if out is not None:
        _check_out(out, suffix)
    found = calibrate(read_history(history, before), before)
    changed = with_minutes(text, suffix, found.model)
    if out is not None:
        with written_whole(out, newline="") as file:
            file.write(changed)
    after = RateCard.from_toml(changed) if suffix == ".toml" else RateCard.from_json(changed)
    document = {
        "card": {"name": after.name, "id": after.id, "written": None if out is None else str(out)},
        "runs": found.runs,
        "minutes": _plain(found.model.model_dump()),
        "fitted": list(found.fitted),
        "unfitted": list(found.unfitted),
        "bounds": [_plain(asdict(bound)) for bound in found.bounds],
        "backtest": _plain(asdict(found.backtest)),
    }
    emit(document, *_shown(found, after, out), as_json=as_json)


def _check_out(out: Path, suffix: str) -> None:
    """Refuse a place where the card cannot be written, before runs are read."""
    if out.suffix.lower() != suffix:
        raise CommandFailed("out_invalid", f"The card is a {suffix} text. End the name of --out in {suffix}.")
    if out.is_dir():
        raise CommandFailed("out_invalid", f"--out: {str(out)!r} is a folder. Name a file.")
    if not out.parent.is_dir():
        raise CommandFailed("out_invalid", f"--out: the folder {str(out.parent)!r} does not exist. Make it first.")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return format_credits(value) if isinstance(value, Decimal) else value


def _shown(found: Any, card: RateCard, out: Path | None) -> list[Any]:
    model, tried = found.model, found.backtest
    fields: list[tuple[str, object]] = [
        ("Runs", f"{found.runs:,}"),
        ("Start", f"{format_credits(model.start)} minutes"),
        ("A row", f"{format_credits(model.row)} minutes / {model.parallel}"),
        *((f"x {name}", format_credits(factor)) for name, factor in model.factors.items()),
        ("p95", f"{format_credits(model.p95_factor)} times as long"),
        ("Left as they were", ", ".join(found.unfitted) or None),
    ]
    bounds = Table("Runs of", "held back", "p95 factor", box=None, pad_edge=False)
    for bound in found.bounds:
        bounds.add_row(bound.name, f"{bound.runs:,}", _factor(bound))
    verdict = (
        f"On {tried.runs:,} runs that it was not made from: {tried.covered_percent}% took no longer than the p95,"
        f" and half of the expectations are off by less than {tried.error_percent}%."
    )
    if out is None:
        written = "Nothing is written; say --out FILE."
    else:
        later = "Give it a later effective_from before it joins the card that it was made from in one book."
        written = f"Written to {out}, with the id {card.id}. {later}"
    return [facts(fields), "", bounds, "", line(verdict), line(written)]


def _factor(bound: Any) -> str:
    """A bound's factor, or why there is none."""
    from estimator.calibration.bounds import runs_needed

    if bound.factor is not None:
        return format_credits(bound.factor)
    needed = runs_needed()
    return f"none: {needed} are needed for one" if bound.runs < needed else "none: too many took extremely long"
