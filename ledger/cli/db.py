"""The commands `db`: make the tables, print what would be done, and give roles their rights."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from estimator.cli.options import JsonOption
from estimator.cli.tables import code, line
from estimator.cli.terminal import EPILOG, CommandFailed, CommandGroup, ExitStatus, emit
from ledger.cli.arguments import duration_of
from ledger.cli.database import DatabaseOption, opened
from ledger.cli.tables import report_table
from ledger.documents import plain
from ledger.readiness import check_database
from ledger.schema.distribution import distribute
from ledger.schema.migrations import upgrade
from ledger.schema.roles import role_script
from ledger.schema.upgrade_scripts import upgrade_sql

app = typer.Typer(cls=CommandGroup)
database_app = typer.Typer(cls=CommandGroup, no_args_is_help=True, help="Prepare the database.", epilog=EPILOG)
app.add_typer(database_app, name="db")


class Distributor(Enum):
    """What spreads the tables over several servers."""

    CITUS = "citus"


@database_app.command("upgrade", epilog=EPILOG)
def upgrade_command(
    triggers: Annotated[
        bool | None,
        typer.Option(
            "--triggers/--no-triggers",
            help="Let the database itself refuse changes to entries. If left out, it does unless it is distributed.",
        ),
    ] = None,
    lock_timeout: Annotated[
        str | None,
        typer.Option(
            "--lock-timeout",
            metavar="DURATION",
            help="Give up when a table, or a SQLite file, is in use for longer, such as 0.5s. 5s if left out.",
        ),
    ] = None,
    distributed_by: Annotated[
        Distributor | None,
        typer.Option("--distribute", help="Then distribute the tables by account, by this extension of PostgreSQL."),
    ] = None,
    sql: Annotated[
        bool, typer.Option("--sql", help="Change nothing: print the SQL for PostgreSQL, for `psql -1 -f`.")
    ] = False,
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
) -> None:
    """Create the ledger's tables, or bring them up to date. Safe to repeat, and beside a host's own tables."""
    if distributed_by is not None and (sql or triggers):
        message = "--distribute goes with neither --sql nor --triggers. Leave those out."
        raise CommandFailed("options_exclude_each_other", message)
    timeout = None if lock_timeout is None else duration_of(lock_timeout, "--lock-timeout")
    if sql:
        with opened(database_url) as engine:
            script = upgrade_sql(engine, triggers=triggers, lock_timeout=timeout)
        emit({"sql": script}, *code(script), as_json=as_json)
        return
    with opened(database_url, create=True) as engine:
        revision = upgrade(engine, triggers=False if distributed_by else triggers, lock_timeout=timeout)
        newly = distribute(engine, lock_timeout=timeout) if distributed_by else None
    document: dict[str, object] = {"revision": revision}
    said = f"The ledger's tables are at revision {revision}."
    if newly is not None:
        document["distributed"] = newly
        said += f" {len(newly)} of them were distributed now." if newly else " All of them were distributed before."
    emit(document, line(said), as_json=as_json)


@database_app.command("check", epilog=EPILOG)
def check_command(
    reads_only: Annotated[
        bool, typer.Option("--read-only", help="For a role that writes nothing, such as that of finance.")
    ] = False,
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
) -> None:
    """Say what the database can do for the ledger and what is missing. Ends with status 1 where something is.

    Name the database as your service does, with its role: rights are those of the role.
    """
    with opened(database_url) as engine:
        report = check_database(engine, reads_only=reads_only)
    sentences = [line(f"Missing: {said}") for said in report.missing] + [line(f"Hint: {said}") for said in report.hints]
    if not report.missing:
        sentences.append(line("The database is ready."))
    emit(plain(report), report_table(report), "", *sentences, as_json=as_json)
    if report.missing:
        raise typer.Exit(ExitStatus.FOUND)


@database_app.command("roles", epilog=EPILOG)
def roles_command(
    application: Annotated[str, typer.Option("--app", metavar="ROLE", help="The service's role.")] = "ledger_app",
    readonly: Annotated[
        str, typer.Option("--readonly", metavar="ROLE", help="The role of finance and the audit.")
    ] = "ledger_readonly",
    worker: Annotated[
        str, typer.Option("--worker", metavar="ROLE", help="The role of workers: the outbox, and what comes due.")
    ] = "ledger_worker",
    row_level_security: Annotated[
        bool, typer.Option("--row-level-security", help="Show the service one account a transaction.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Print SQL for PostgreSQL that gives three roles what they need and no more. Run it as the tables' owner."""
    script = role_script(
        application=application, readonly=readonly, worker=worker, row_level_security=row_level_security
    )
    emit({"sql": script}, *code(script), as_json=as_json)
