"""The commands of holds: reserve, capture, release, extend, refund."""

from __future__ import annotations

from typing import Annotated

import typer

from estimator.cli.options import JsonOption, parse_moment
from estimator.cli.terminal import EPILOG, CommandGroup
from estimator.credits import parse_credits
from ledger.cli.arguments import (
    AccountArgument,
    AtOption,
    KeyOption,
    ReasonOption,
    ReservationArgument,
    duration_of,
    parse_pairs,
)
from ledger.cli.database import DatabaseOption
from ledger.cli.frame import answer
from ledger.commands import OverCapture
from ledger.reservations import capture, extend, refund, release, reserve

app = typer.Typer(cls=CommandGroup)


@app.command("reserve", epilog=EPILOG)
def reserve_command(
    account: AccountArgument,
    amount: Annotated[str, typer.Argument(metavar="CREDITS", help="Such as 500 or 0.25.", show_default=False)],
    expires_in: Annotated[
        str | None,
        typer.Option("--expires-in", metavar="DURATION", help="Such as 90s, 15m, 24h or 30d; never if left out."),
    ] = None,
    grace: Annotated[
        str | None,
        typer.Option("--grace", metavar="DURATION", help="How long after its expiry it may still be captured."),
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="NAME=VALUE", help="A label that limits count by; repeatable."),
    ] = None,
    at_most: Annotated[bool, typer.Option("--at-most", help="Hold what is available, up to the amount.")] = False,
    key: KeyOption = None,
    at: AtOption = None,
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
) -> None:
    """Hold credits for work to come."""
    asked, moment = parse_credits(amount), parse_moment(at)
    lasts = None if expires_in is None else duration_of(expires_in, "--expires-in")
    late = None if grace is None else duration_of(grace, "--grace")
    named = parse_pairs(labels, "--label")
    answer(
        database_url,
        lambda session: reserve(
            session, account, asked, key=key, expires_in=lasts, at=moment, grace=late, labels=named, at_most=at_most
        ),
        as_json=as_json,
    )


@app.command("capture", epilog=EPILOG)
def capture_command(
    reservation: ReservationArgument,
    amount: Annotated[
        str | None, typer.Argument(metavar="[CREDITS]", help="All that is held if left out.", show_default=False)
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the rest held, for captures to come.")] = False,
    over: Annotated[
        OverCapture, typer.Option("--over", help="What to do with an amount above what is held.")
    ] = OverCapture.REJECT,
    key: KeyOption = None,
    at: AtOption = None,
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
) -> None:
    """Consume part of a hold, or all of it, and free the rest."""
    consumed = None if amount is None else parse_credits(amount)
    moment = parse_moment(at)
    answer(
        database_url,
        lambda session: capture(session, reservation, consumed, key=key, at=moment, final=not keep, over=over),
        as_json=as_json,
    )


@app.command("release", epilog=EPILOG)
def release_command(
    reservation: ReservationArgument,
    key: KeyOption = None,
    at: AtOption = None,
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
) -> None:
    """Free all of a hold."""
    moment = parse_moment(at)
    answer(database_url, lambda session: release(session, reservation, key=key, at=moment), as_json=as_json)


@app.command("extend", epilog=EPILOG)
def extend_command(
    reservation: ReservationArgument,
    by: Annotated[str, typer.Argument(metavar="DURATION", help="Such as 90s, 15m, 24h or 30d.", show_default=False)],
    key: KeyOption = None,
    at: AtOption = None,
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
) -> None:
    """Let a hold last longer, before it expires."""
    moment, longer = parse_moment(at), duration_of(by, "DURATION")
    answer(database_url, lambda session: extend(session, reservation, longer, key=key, at=moment), as_json=as_json)


@app.command("refund", epilog=EPILOG)
def refund_command(
    reservation: ReservationArgument,
    amount: Annotated[
        str | None, typer.Argument(metavar="[CREDITS]", help="All that was captured if left out.", show_default=False)
    ] = None,
    reason: ReasonOption = None,
    key: KeyOption = None,
    at: AtOption = None,
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
) -> None:
    """Give captured credits back to the grants that they came from."""
    given = None if amount is None else parse_credits(amount)
    moment = parse_moment(at)
    answer(
        database_url,
        lambda session: refund(session, reservation, given, key=key, reason=reason, at=moment),
        as_json=as_json,
    )
