"""The commands of accounts and their reservations, and `expire`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import RenderableType
from sqlalchemy.orm import Session

from estimator.cli.options import JsonOption, parse_moment
from estimator.cli.tables import facts, line
from estimator.cli.terminal import EPILOG, CommandGroup, emit
from ledger.accounts import get_balance, list_accounts, open_account
from ledger.cli.arguments import AccountArgument, AccountOption, AtOption
from ledger.cli.database import DatabaseOption, in_database
from ledger.cli.frame import answer, emit_list
from ledger.cli.tables import balance_table, reservations_table
from ledger.documents import plain
from ledger.model.values import Balance, Expiry, Reservation, ReservationState
from ledger.reservations import expire_due, list_reservations

app = typer.Typer(cls=CommandGroup)
account_app = typer.Typer(cls=CommandGroup, no_args_is_help=True, help="Open and look up accounts.", epilog=EPILOG)
app.add_typer(account_app, name="account")


@account_app.command("open", epilog=EPILOG)
def open_command(
    account: AccountArgument, at: AtOption = None, database_url: DatabaseOption = "", as_json: JsonOption = False
) -> None:
    """Open an account. One that is open already stays as it is."""
    moment = parse_moment(at)
    answer(database_url, lambda session: open_account(session, account, at=moment), as_json=as_json)


@account_app.command("list", epilog=EPILOG)
def list_command(database_url: DatabaseOption = "", as_json: JsonOption = False) -> None:
    """Name every account, in order."""
    accounts = in_database(database_url, list_accounts)
    lines: list[RenderableType] = [line(account) for account in accounts]
    emit(accounts, *(lines or [line("No account is open yet.")]), as_json=as_json)


@account_app.command("show", epilog=EPILOG)
def show_command(account: AccountArgument, database_url: DatabaseOption = "", as_json: JsonOption = False) -> None:
    """Show an account's balance and its open holds (the oldest 100)."""

    def look_up(session: Session) -> tuple[Balance, list[Reservation]]:
        held = list_reservations(session, account, state=ReservationState.HELD)
        return get_balance(session, account), held

    found, held = in_database(database_url, look_up)
    document = {"balance": plain(found), "held": plain(held)}
    tables: list[RenderableType] = [balance_table(found)]
    if held:
        tables += ["", reservations_table(held)]
    emit(document, *tables, as_json=as_json)


@app.command(epilog=EPILOG)
def balance(
    account: AccountArgument, at: AtOption = None, database_url: DatabaseOption = "", as_json: JsonOption = False
) -> None:
    """Show where an account's credits are, now or at any other moment."""
    moment = parse_moment(at)
    answer(database_url, lambda session: get_balance(session, account, at=moment), as_json=as_json, table=balance_table)


@app.command(epilog=EPILOG)
def reservations(
    account: AccountArgument,
    state: Annotated[ReservationState | None, typer.Option("--state", help="Only those in this state.")] = None,
    after: Annotated[
        str | None, typer.Option("--after", metavar="RESERVATION", help="Continue after this one.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="The most to list.")] = 100,
    at: AtOption = None,
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
) -> None:
    """List an account's reservations, oldest first."""
    moment = parse_moment(at)
    found = in_database(
        database_url,
        lambda session: list_reservations(session, account, state=state, at=moment, after=after, limit=limit),
    )
    none = "No reservation fits."
    emit_list(found, reservations_table, none, as_json=as_json, limit=limit, id_name="reservation_id")


@app.command(epilog=EPILOG)
def expire(
    account: AccountOption = None, at: AtOption = None, database_url: DatabaseOption = "", as_json: JsonOption = False
) -> None:
    """Record what has come due: lapses, grants that take effect, new periods. Balances count it in any case."""
    moment = parse_moment(at)
    expiries: list[Expiry] = []
    # Each page is a transaction of its own: writers of other accounts wait for one page at most.
    while page := in_database(database_url, lambda session: expire_due(session, account_id=account, at=moment)):
        expiries += page
        if account is not None:
            break
    totals = {
        "accounts": len(expiries),
        "reservations": sum(len(expiry.reservations) for expiry in expiries),
        "grants": sum(len(expiry.grants) for expiry in expiries),
    }
    table = facts((name.capitalize(), f"{count:,}") for name, count in totals.items())
    emit(totals | {"expiries": plain(expiries)}, table, as_json=as_json)
