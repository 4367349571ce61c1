"""The command `audit`: proves the book, writes a checkpoint of it, and proves that it extends an earlier one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from estimator.cli.options import JsonOption, parse_moment
from estimator.cli.tables import line
from estimator.cli.terminal import EPILOG, CommandFailed, CommandGroup, ExitStatus, emit
from estimator.files.writing import written_whole
from ledger.auditing.book import audit
from ledger.auditing.checkpoints import Checkpoint, take_checkpoint, verify_checkpoint
from ledger.auditing.workers import audit_together
from ledger.cli.arguments import AccountOption, AtOption
from ledger.cli.database import DatabaseOption, opened
from ledger.cli.frame import progress_bar
from ledger.cli.tables import findings_table
from ledger.documents import moment_text, plain
from ledger.errors import Finding
from ledger.schema.migrations import check_schema
from ledger.storage.history import require_account
from ledger.storage.transactions import run_transaction

app = typer.Typer(cls=CommandGroup)

MANY_ENTRIES = 20_000
"""From so many entries on the audit takes more than a second, and is shared by two processes."""

_BAR = (TextColumn("Auditing"), BarColumn(), MofNCompleteColumn(), TextColumn("entries"), TimeRemainingColumn())


@app.command("audit", epilog=EPILOG)
def audit_command(
    account: AccountOption = None,
    at: AtOption = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint", metavar="FILE", help="Write the last entry of every account, if nothing is found."
        ),
    ] = None,
    extends: Annotated[
        Path | None, typer.Option("--extends", metavar="FILE", help="Also prove that the book extends this checkpoint.")
    ] = None,
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
) -> None:
    """Prove the book from its own entries. Ends with status 1 when anything does not add up."""
    moment = parse_moment(at)
    if account is not None and (checkpoint or extends):
        raise CommandFailed("option_invalid", "A checkpoint is of every account. Leave --account out.")
    before = None if extends is None else Checkpoint.from_json(_read(extends))
    with opened(database_url) as engine:
        check_schema(engine)
        if account is not None:
            run_transaction(engine, lambda session: require_account(session, account), attempts=1)
        accounts, entries = _size(engine, account)
        with progress_bar(*_BAR, total=entries, quiet=as_json or account is not None) as update:
            if account is None and entries >= MANY_ENTRIES:
                findings = list(audit_together(engine, at=moment, progress=lambda count: update(advance=count)))
            else:
                findings = run_transaction(
                    engine, lambda session: list(audit(session, account_id=account, at=moment)), attempts=1
                )
        if before is not None:
            findings += run_transaction(engine, lambda session: list(verify_checkpoint(session, before)), attempts=1)
        if checkpoint is not None and not findings:
            _write(checkpoint, run_transaction(engine, take_checkpoint, attempts=1))
    _report(accounts, findings, before, as_json=as_json)


def _report(accounts: int, findings: list[Finding], before: Checkpoint | None, *, as_json: bool) -> None:
    document = {"clean": not findings, "accounts": accounts, "findings": plain(findings)}
    if findings:
        message = "The book does not prove itself. Stop writing to these accounts and compare them with a backup."
        emit(document, findings_table(findings), line(message, style="red"), as_json=as_json)
        raise typer.Exit(ExitStatus.FOUND)
    counted = f"{accounts:,} account{'' if accounts == 1 else 's'}"
    said = f"{counted} audited: every credit is somewhere, and every entry is as it was."
    if before is not None:
        said += f" The book extends the checkpoint of {moment_text(before.taken_at)}."
    emit(document, line(said), as_json=as_json)


def _size(engine: Engine, account: str | None) -> tuple[int, int]:
    """How many accounts there are to audit, and how many entries they say they have."""
    if account is not None:
        return 1, 0
    with Session(engine) as session:
        statement = text("SELECT count(*), coalesce(sum(sequence), 0) FROM ledger_account")
        accounts, entries = session.execute(statement).one()
    return int(accounts), int(entries)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise CommandFailed("file_unreadable", f"{str(path)!r} cannot be read ({reason}). Name another file.") from None


def _write(path: Path, checkpoint: Checkpoint) -> None:
    try:
        with written_whole(path) as out:
            out.write(checkpoint.to_json())
    except OSError as error:
        message = f"{str(path)!r} cannot be written ({error.strerror}). Name another file."
        raise CommandFailed("file_unwritable", message) from None
