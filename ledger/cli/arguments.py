"""Arguments and options that several of the ledger's commands share, and how their texts are read."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Annotated

import typer

from estimator.cli.terminal import CommandFailed

AccountArgument = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account's id.", show_default=False)]
AccountOption = Annotated[
    str | None, typer.Option("--account", metavar="ACCOUNT", help="Only this account; every account if left out.")
]
ReservationArgument = Annotated[
    str, typer.Argument(metavar="RESERVATION", help="The reservation's id, such as acme/r2.", show_default=False)
]
KeyOption = Annotated[
    str | None,
    typer.Option("--key", metavar="KEY", help="Makes a retry safe: the same key and command are answered once."),
]
AtOption = Annotated[
    str | None,
    typer.Option("--at", metavar="MOMENT", help="ISO 8601 with a zone, such as 2026-01-31T09:00:00Z; now if left out."),
]
ZoneOption = Annotated[
    str, typer.Option("--zone", metavar="NAME", help="Whose days and months, such as Europe/Berlin.")
]
ReasonOption = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why, in words; kept in the entry.")]

_DURATION = re.compile(r"(\d+(?:\.\d{1,6})?)(s|m|h|d)")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text: str | None, option: str) -> timedelta | None:
    """A duration such as `90s`, `15m`, `24h` or `30d`; None where none was given. Raises `CommandFailed`."""
    if text is None:
        return None
    found = _DURATION.fullmatch(text.strip())
    if found is None or len(found[1]) > 18:
        message = f"{option}: {text!r} is no duration. Write a number and s, m, h or d, such as 15m or 30d."
        raise CommandFailed("duration_invalid", message)
    micros = int(Decimal(found[1]) * 1_000_000) * _UNIT_SECONDS[found[2]]
    try:
        return timedelta(microseconds=micros)
    except OverflowError:
        raise CommandFailed("duration_invalid", f"{option}: {text!r} is too long. Give at most 36525d.") from None


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
    """`LABEL=VALUE` pairs, a label as often as it has values; None where there are none. Raises `CommandFailed`."""
    scope: dict[str, list[str]] = {}
    for pair in pairs or ():
        for label, value in (parse_pairs([pair], "--scope") or {}).items():
            scope.setdefault(label, []).append(value)
    return scope or None
