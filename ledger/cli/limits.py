"""The commands of credit lines and limits."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import typer
from sqlalchemy.orm import Session

from estimator.cli.options import JsonOption, parse_moment
from estimator.cli.tables import line
from estimator.cli.terminal import EPILOG, CommandFailed, CommandGroup, emit
from estimator.credits import parse_credits
from ledger.cli.arguments import AccountArgument, AtOption, KeyOption
from ledger.cli.database import DatabaseOption, in_database
from ledger.cli.frame import answer
from ledger.cli.tables import limits_table
from ledger.documents import plain
from ledger.limits import LimitUsage, get_credit_line, list_limit_usage, list_limits, set_credit_line, set_limit
from ledger.model.cycles import LimitPeriod
from ledger.model.values import CreditLine, Limit

app = typer.Typer(cls=CommandGroup)


@app.command("credit-line", epilog=EPILOG)
def credit_line_command(
    account: AccountArgument,
    limit: Annotated[
        str | None,
        typer.Argument(metavar="[CREDITS]", help="What the account may owe; show it if left out.", show_default=False),
    ] = None,
    key: KeyOption = None,
    at: AtOption = None,
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show or set how much an account may owe. It is lent last, and repaid first by new grants."""
    moment = parse_moment(at)
    most = None if limit is None else parse_credits(limit)

    def work(session: Session) -> CreditLine:
        if most is None:
            return get_credit_line(session, account, at=moment)
        return set_credit_line(session, account, most, key=key, at=moment)

    answer(database_url, work, as_json=as_json)


@app.command("limit", epilog=EPILOG)
def limit_command(
    account: AccountArgument,
    period: Annotated[LimitPeriod, typer.Argument(help="What the limit counts.", show_default=False)],
    maximum: Annotated[
        str, typer.Argument(metavar="MAXIMUM", help="Credits; holds, for concurrent; or `none` to lift the limit.")
    ],
    label: Annotated[
        str, typer.Option("--label", metavar="NAME", help="Only holds with this label; all if left out.")
    ] = "",
    value: Annotated[
        str, typer.Option("--value", metavar="VALUE", help="One value of the label; each value by itself if left out.")
    ] = "*",
    key: KeyOption = None,
    at: AtOption = None,
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
) -> None:
    """Limit what an account's holds may take in a day, a month or ever, or how many may be open at once."""
    moment, most = parse_moment(at), _parse_maximum(maximum, period)
    answer(
        database_url,
        lambda session: set_limit(session, account, period, most, label=label, value=value, key=key, at=moment),
        as_json=as_json,
    )


def _parse_maximum(text: str, period: LimitPeriod) -> Decimal | int | None:
    if text == "none":
        return None
    if period != LimitPeriod.CONCURRENT:
        return parse_credits(text)
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        message = f"{text!r} is no number of holds. Write a whole number, such as 4, or none."
        raise CommandFailed("maximum_invalid", message)
    return int(text)


@app.command("limits", epilog=EPILOG)
def limits_command(
    account: AccountArgument, at: AtOption = None, database_url: DatabaseOption = "", as_json: JsonOption = False
) -> None:
    """List an account's limits and what counts against them."""
    moment = parse_moment(at)

    def look_up(session: Session) -> tuple[list[Limit], list[LimitUsage]]:
        return list_limits(session, account), list_limit_usage(session, account, at=moment)

    limits, usage = in_database(database_url, look_up)
    document = {"limits": plain(limits), "usage": plain(usage)}
    table = limits_table(limits, usage) if limits else line("No limit was ever set.")
    emit(document, table, as_json=as_json)
