"""The command `outbox`: the runs whose start waits to be handed to the pipeline, and what failed so far."""

from __future__ import annotations

from typing import Annotated

import typer

from estimator.cli.options import JsonOption
from estimator.cli.terminal import EPILOG, CommandGroup
from ledger.cli.arguments import AccountOption
from ledger.cli.database import DatabaseOption, in_database
from ledger.cli.frame import emit_list
from ledger.cli.tables import starts_table
from ledger.model.values import StartState
from ledger.outbox import LIMIT_MAX, list_outbox

app = typer.Typer(cls=CommandGroup)


@app.command(epilog=EPILOG)
def outbox(
    account: AccountOption = None,
    state: Annotated[StartState, typer.Option("--state", help="Only those in this state.")] = StartState.WAITING,
    failed: Annotated[bool, typer.Option("--failed", help="Only those whose handing over has failed.")] = False,
    after: Annotated[str | None, typer.Option("--after", metavar="START", help="Continue after this one.")] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=LIMIT_MAX, help="The most to list.")] = 100,
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
) -> None:
    """List the runs whose start waits to be handed to your pipeline, next first, and what failed so far.

    Services hand them over with `ledger.deliver_outbox`; this command hands over nothing.
    """
    found = in_database(
        database_url,
        lambda session: list_outbox(session, account_id=account, state=state, failed=failed, after=after, limit=limit),
    )
    emit_list(found, starts_table, _NONE[state], as_json=as_json, limit=limit, id_name="start_id")


_NONE = {
    StartState.WAITING: "No start waits to be handed over.",
    StartState.DELIVERED: "No start that was delivered fits.",
    StartState.WITHDRAWN: "No start that was withdrawn fits.",
}
