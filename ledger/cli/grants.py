"""The commands of grants: issue, list, revoke, adjust."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated

import typer

from estimator.cli.options import JsonOption, parse_moment
from estimator.cli.terminal import EPILOG, CommandFailed, CommandGroup
from estimator.credits import parse_credits
from ledger.cli.arguments import AccountArgument, AtOption, KeyOption, ReasonOption, parse_scope
from ledger.cli.database import DatabaseOption, in_database
from ledger.cli.frame import answer, emit_list
from ledger.cli.tables import grants_table
from ledger.commands import CostBasis, GrantKind, Recurrence
from ledger.grants import adjust, grant_credits, list_grants, revoke_grant

app = typer.Typer(cls=CommandGroup)


@app.command(epilog=EPILOG)
def grant(
    account: AccountArgument,
    amount: Annotated[str, typer.Argument(metavar="CREDITS", help="Such as 500 or 0.25.", show_default=False)],
    expires_at: Annotated[
        str | None,
        typer.Option("--expires-at", metavar="MOMENT", help="When what is left expires, or a recurrence ends."),
    ] = None,
    priority: Annotated[int, typer.Option("--priority", metavar="N", help="Lower is burnt first, 0 to 32767.")] = 100,
    promotional: Annotated[
        bool, typer.Option("--promotional", help="Given, not bought: burns before paid credits, all else equal.")
    ] = False,
    effective_at: Annotated[
        str | None, typer.Option("--effective-at", metavar="MOMENT", help="When it can be spent; at once if left out.")
    ] = None,
    cost: Annotated[
        str | None, typer.Option("--cost", metavar="MONEY", help="What one credit was paid with, such as '0.012 EUR'.")
    ] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="LABEL=VALUE", help="It pays only for holds with this label; repeatable."),
    ] = None,
    external_ref: Annotated[
        str | None, typer.Option("--ref", metavar="TEXT", help="A reference of your own, such as an invoice.")
    ] = None,
    every: Annotated[
        str | None, typer.Option("--every", metavar="UNIT", help="Grant it again every hour, day, week, month or year.")
    ] = None,
    rollover_min: Annotated[
        str, typer.Option("--rollover-min", metavar="CREDITS", help="The least that a new period begins with.")
    ] = "0",
    rollover_max: Annotated[
        str, typer.Option("--rollover-max", metavar="CREDITS", help="The most that is carried over from a period.")
    ] = "0",
    key: KeyOption = None,
    at: AtOption = None,
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
) -> None:
    """Issue credits to an account, once or every period."""
    issued = parse_credits(amount)
    moment, expiry = parse_moment(at), parse_moment(expires_at, "--expires-at")
    effect = parse_moment(effective_at, "--effective-at")
    least, most = parse_credits(rollover_min), parse_credits(rollover_max)
    if every is None and (least or most):
        raise CommandFailed(
            "option_missing", "Only a recurring grant has a rollover. Give --every too, or leave it out."
        )
    recurrence = None if every is None else Recurrence(every, rollover_min=least, rollover_max=most)
    answer(
        database_url,
        lambda session: grant_credits(
            session,
            account,
            issued,
            key=key,
            priority=priority,
            expires_at=expiry,
            at=moment,
            kind=GrantKind.PROMOTIONAL if promotional else GrantKind.PAID,
            effective_at=effect,
            cost_basis=_parse_cost(cost),
            scope=parse_scope(scope),
            external_ref=external_ref,
            recurrence=recurrence,
        ),
        as_json=as_json,
    )


def _parse_cost(text: str | None) -> CostBasis | None:
    """Money per credit, such as `0.012 EUR`. Raises `CommandFailed`."""
    if text is None:
        return None
    try:
        amount, currency = text.split()
        return CostBasis(Decimal(amount), currency)
    except (ValueError, InvalidOperation):
        message = f"--cost: {text!r} is no cost of a credit. Write an amount and a currency, such as '0.012 EUR'."
        raise CommandFailed("cost_invalid", message) from None


@app.command("grants", epilog=EPILOG)
def grants_command(
    account: AccountArgument,
    ended: Annotated[bool, typer.Option("--ended", help="List grants with nothing left, too.")] = False,
    at: AtOption = None,
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
) -> None:
    """List an account's grants, oldest first, and where their credits are."""
    moment = parse_moment(at)
    found = in_database(database_url, lambda session: list_grants(session, account, at=moment, ended=ended))
    emit_list(found, grants_table, "No grant has anything left.", as_json=as_json)


@app.command(epilog=EPILOG)
def revoke(
    grant_id: Annotated[str, typer.Argument(metavar="GRANT", help="The grant's id, such as acme/g1.")],
    reason: ReasonOption = None,
    key: KeyOption = None,
    at: AtOption = None,
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
) -> None:
    """Take back what is left of a grant. A recurring grant ends, with all its periods. Holds stay valid."""
    moment = parse_moment(at)
    answer(
        database_url,
        lambda session: revoke_grant(session, grant_id, key=key, reason=reason, at=moment),
        as_json=as_json,
    )


@app.command("adjust", epilog=EPILOG, context_settings={"ignore_unknown_options": True})
def adjust_command(
    account: AccountArgument,
    amount: Annotated[
        str, typer.Argument(metavar="CREDITS", help="Such as 5 to add, or -5 to consume.", show_default=False)
    ],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, in words; kept in the entry.")],
    key: KeyOption = None,
    at: AtOption = None,
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
) -> None:
    """Correct a balance: add promotional credits, or consume available ones."""
    moment, correction = parse_moment(at), parse_credits(amount)
    answer(
        database_url,
        lambda session: adjust(session, account, correction, reason=reason, key=key, at=moment),
        as_json=as_json,
    )
