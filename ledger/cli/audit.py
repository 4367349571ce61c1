"""The command that proves the book, writes down where it stands, and proves that it extends what was written down."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from estimator.cli.options import JsonOption, parse_moment
from estimator.cli.tables import line
from estimator.cli.terminal import EPILOG, CommandFailed, CommandGroup, ExitStatus, emit
from ledger.auditing.book import audit
from ledger.auditing.checkpoints import Checkpoint, take_checkpoint, verify_checkpoint
from ledger.auditing.workers import audit_together
from ledger.cli.arguments import AccountOption, AtOption
from ledger.cli.database import DatabaseOption, opened
from ledger.cli.tables import findings_table, plain
from ledger.errors import Finding
from ledger.schema.migrations import check_schema
from ledger.storage.history import require_account
from ledger.storage.transactions import run_transaction

app = typer.Typer(cls=CommandGroup)

MANY_ENTRIES = 20_000
"""From so many entries on, the audit takes more than a second: it is shared by two processes, with a progress bar."""


@app.command("audit", epilog=EPILOG)
def audit_command(
    account: AccountOption = None,
    at: AtOption = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", metavar="FILE", help="Write where every account stands, if all is well."),
    ] = None,
    extends: Annotated[
        Path | None,
        typer.Option("--extends", metavar="FILE", help="Prove too that the book extends this checkpoint."),
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
        with _progress(entries, is_shown=not as_json and account is None) as advance:
            if account is None and entries >= MANY_ENTRIES:
                findings = list(audit_together(engine, at=moment, progress=advance))
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
        said += f" The book extends the checkpoint of {plain(before.taken_at)}."
    emit(document, line(said), as_json=as_json)


def _size(engine: Engine, account: str | None) -> tuple[int, int]:
    """How many accounts there are to audit, and how many entries they say they have."""
    if account is not None:
        return 1, 0
    with Session(engine) as session:
        statement = text("SELECT count(*), coalesce(sum(sequence), 0) FROM ledger_account")
        accounts, entries = session.execute(statement).one()
    return int(accounts), int(entries)


@contextmanager
def _progress(entries: int, *, is_shown: bool) -> Iterator[Callable[[int], None]]:
    """A bar on stderr for an audit of many entries, where a person watches."""
    if not is_shown or entries < MANY_ENTRIES or not sys.stderr.isatty():
        yield lambda _count: None
        return
    columns = (TextColumn("Auditing"), BarColumn(), MofNCompleteColumn(), TextColumn("entries"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Auditing", total=entries)
        yield lambda count: bar.advance(task, count)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise CommandFailed("file_unreadable", f"{str(path)!r} cannot be read ({reason}). Name another file.") from None


def _write(path: Path, checkpoint: Checkpoint) -> None:
    """Write beside, then rename: a file of that name is a whole one."""
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_text(checkpoint.to_json(), encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        message = f"{str(path)!r} cannot be written ({error.strerror}). Name another file."
        raise CommandFailed("file_unwritable", message) from None
