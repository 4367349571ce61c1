"""Arguments and options that several of the ledger's commands share, and how their texts are read."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from estimator.cli.terminal import CommandFailed
from ledger.errors import CommandInvalid
from ledger.model.moments import parse_duration

AccountArgument = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account's id.", show_default=False)]
AccountOption = Annotated[
    str | None, typer.Option("--account", metavar="ACCOUNT", help="Only this account; every account if left out.")
]
ReservationArgument = Annotated[
    str, typer.Argument(metavar="RESERVATION", help="The reservation's id, such as acme/r2.", show_default=False)
]
KeyOption = Annotated[
    str | None,
    typer.Option(
        "--key", metavar="KEY", help="Makes a retry safe: the same command with the same key takes effect once."
    ),
]
AtOption = Annotated[
    str | None,
    typer.Option("--at", metavar="MOMENT", help="ISO 8601 with a zone, such as 2026-01-31T09:00:00Z; now if left out."),
]
ZoneOption = Annotated[
    str, typer.Option("--zone", metavar="NAME", help="The time zone of days and months, such as Europe/Berlin.")
]
ReasonOption = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why, in words; kept in the entry.")]


def duration_of(text: str, option: str) -> timedelta:
    """The length of time that an option gives, such as `90s` or `30d`. Raises `CommandFailed`."""
    try:
        return parse_duration(text, option)
    except CommandInvalid as error:
        raise CommandFailed("duration_invalid", error.message) from None


def parse_pairs(pairs: list[str] | None, option: str) -> dict[str, str] | None:
    """`NAME=VALUE` pairs as a dictionary; None where there are none. Raises `CommandFailed`."""
    if not pairs:
        return None
    named = dict(pair.partition("=")[::2] for pair in pairs)
    for pair in pairs:
        if "=" not in pair:
            message = f"{option}: {pair!r} has no equals sign. Write NAME=VALUE, such as project=p1."
            raise CommandFailed("pair_invalid", message)
    if len(named) < len(pairs):
        raise CommandFailed("pair_invalid", f"{option} names something twice. Give each name once.")
    return named


def parse_scope(pairs: list[str] | None) -> dict[str, list[str]] | None:
    """`LABEL=VALUE` pairs; a label with several values is given several times. Raises `CommandFailed`."""
    scope: dict[str, list[str]] = {}
    for pair in pairs or ():
        for label, value in (parse_pairs([pair], "--scope") or {}).items():
            scope.setdefault(label, []).append(value)
    return scope or None
