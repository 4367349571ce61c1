"""The terminal: the command `credits`, with every command of both packages and the exit status of each failure.

Imports everything; nothing imports it.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from estimator import cli as estimator_cli
from estimator.cli.terminal import EPILOG, CommandFailed, CommandGroup, ExitStatus
from ledger.cli import accounts, db, forecast, grants, holds, limits, outbox, runs, serve, tour
from ledger.cli.finance import accuracy, audit, exports, reconcile, revenue, statements
from ledger.errors import (
    AuditFailed,
    CheckpointInvalid,
    CommandInvalid,
    DistributionUnavailable,
    LedgerError,
    SchemaMismatch,
    UpgradeBlocked,
)
from ledger.finance.reconciliation import MappingInvalid, RecordsUnreadable

_STATUSES = {
    CommandInvalid: ExitStatus.BAD_INPUT,
    CheckpointInvalid: ExitStatus.BAD_INPUT,
    MappingInvalid: ExitStatus.BAD_INPUT,
    RecordsUnreadable: ExitStatus.BAD_INPUT,
    SchemaMismatch: ExitStatus.UNAVAILABLE,
    UpgradeBlocked: ExitStatus.UNAVAILABLE,
    DistributionUnavailable: ExitStatus.UNAVAILABLE,
    AuditFailed: ExitStatus.FOUND,
}


class CreditsGroup(CommandGroup):
    """Adds the failures of the ledger."""

    def explain(self, error: Exception) -> CommandFailed | None:
        """The failure that an exception stands for."""
        if isinstance(error, LedgerError):
            status = _STATUSES.get(type(error), ExitStatus.REFUSED)
            return CommandFailed(error.code, error.message, status, error.to_dict())
        return super().explain(error)


app = typer.Typer(
    name="credits",
    cls=CreditsGroup,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)
# The order of the help.
for module in (
    *(tour, estimator_cli, db, accounts, audit, grants, holds, limits, runs, forecast, outbox, serve),
    *(exports, revenue, statements, accuracy, reconcile),
):
    app.add_typer(module.app)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(version("run-credits"))
        raise typer.Exit


@app.callback()
def credits(  # noqa: A001  # the name of the command
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Say what a run will cost, hold the credits, settle them, and prove every figure afterwards.

    Start with `credits tour`.
    """


def main() -> None:
    """Run the command line; what the installed script calls."""
    app(prog_name="credits")


__all__ = ["app", "main"]
