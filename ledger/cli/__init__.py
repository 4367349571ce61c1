"""The command `credits`: every command of both packages, and what each kind of failure ends with."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from estimator import cli as estimator_cli
from estimator.cli.terminal import EPILOG, CommandFailed, CommandGroup, ExitStatus
from ledger.cli import accounts as cli_ledger
from ledger.cli import accuracy as cli_accuracy
from ledger.cli import audit as cli_audit
from ledger.cli import exports as cli_finance
from ledger.cli import forecast as cli_forecast
from ledger.cli import grants as cli_grants
from ledger.cli import holds as cli_holds
from ledger.cli import limits as cli_limits
from ledger.cli import outbox as cli_outbox
from ledger.cli import reconcile as cli_reconcile
from ledger.cli import revenue as cli_revenue
from ledger.cli import runs as cli_runs
from ledger.cli import serve as cli_serve
from ledger.cli import statements as cli_statements
from ledger.cli import tour as cli_tour
from ledger.errors import AuditFailed, CheckpointInvalid, CommandInvalid, LedgerError, SchemaMismatch
from ledger.finance.reconciliation import MappingInvalid, RecordsUnreadable


class CreditsGroup(CommandGroup):
    """Adds what the ledger refuses."""

    def explain(self, error: Exception) -> CommandFailed | None:
        """The failure that an exception stands for."""
        if isinstance(error, LedgerError):
            return CommandFailed(error.code, error.message, _status_of(error), error.to_dict())
        return super().explain(error)


def _status_of(error: LedgerError) -> ExitStatus:
    statuses = {
        CommandInvalid: ExitStatus.BAD_INPUT,
        CheckpointInvalid: ExitStatus.BAD_INPUT,
        MappingInvalid: ExitStatus.BAD_INPUT,
        RecordsUnreadable: ExitStatus.BAD_INPUT,
        SchemaMismatch: ExitStatus.UNAVAILABLE,
        AuditFailed: ExitStatus.FOUND,
    }
    return statuses.get(type(error), ExitStatus.REFUSED)


app = typer.Typer(
    name="credits",
    cls=CreditsGroup,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)
app.add_typer(cli_tour.app)
app.add_typer(estimator_cli.app)
app.add_typer(cli_ledger.app)
app.add_typer(cli_audit.app)
app.add_typer(cli_grants.app)
app.add_typer(cli_holds.app)
app.add_typer(cli_limits.app)
app.add_typer(cli_runs.app)
app.add_typer(cli_forecast.app)
app.add_typer(cli_outbox.app)
app.add_typer(cli_serve.app)
app.add_typer(cli_finance.app)
app.add_typer(cli_revenue.app)
app.add_typer(cli_statements.app)
app.add_typer(cli_accuracy.app)
app.add_typer(cli_reconcile.app)


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
