"""The command `serve`: the reference server for the public client."""

from __future__ import annotations

import logging
import re
import signal
import socket
import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from estimator import format_credits, parse_credits
from estimator.cli.options import CARD_DEFAULT, read_book
from estimator.cli.tables import line
from estimator.cli.terminal import EPILOG, CommandFailed, CommandGroup, ExitStatus, emit
from ledger.accounts import open_account
from ledger.cli.database import opened
from ledger.cli.dataset_folder import read_folder
from ledger.errors import IdempotencyConflict, SchemaMismatch
from ledger.grants import grant_credits
from ledger.schema.migrations import check_schema, upgrade
from ledger.storage.transactions import run_transaction

if TYPE_CHECKING:
    from ledger.fastapi.reference_server import Reference

app = typer.Typer(cls=CommandGroup)

GRANT_KEY = "credits-serve"
"""The idempotency key of every `--grant`: it is granted once, however often the server starts."""

_IN_HEADER = re.compile(r"[!-~]+")
_RUN_SECONDS_MAX = 10 * 365 * 86_400
_SHUTDOWN_SECONDS = 10
_MISSING = "The server's packages are not installed. Run `pip install 'run-credits[serve]'`."


@app.command(epilog=EPILOG)
def serve(
    datasets: Annotated[
        Path,
        typer.Option(
            "--datasets", metavar="DIR", help="A folder; each file is a dataset named like it.", show_default=False
        ),
    ],
    token: Annotated[
        list[str],
        typer.Option(
            "--token",
            metavar="TOKEN=ACCOUNT",
            envvar="CREDITS_TOKENS",
            help="A client's key and its account; repeatable.",
            show_default=False,
        ),
    ],
    port: Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="0: any that is free.")] = 8000,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="The address to listen at.")] = "127.0.0.1",
    card: Annotated[
        str,
        typer.Option("--card", metavar="NAME|PATH", help="A shipped rate card, a .toml or .json file, or a folder."),
    ] = CARD_DEFAULT,
    grant: Annotated[
        list[str] | None,
        typer.Option("--grant", metavar="ACCOUNT=CREDITS", help="Granted once, however often the server starts."),
    ] = None,
    run_seconds: Annotated[
        float | None,
        typer.Option(
            "--run-seconds", metavar="N", min=0, help="Let runs succeed after so many seconds; else use `settle`."
        ),
    ] = None,
    database_url: Annotated[
        str,
        typer.Option("--database-url", envvar="CREDITS_DATABASE_URL", metavar="URL", help="Prepared where it is new."),
    ] = "sqlite:///credits.sqlite",
    as_json: Annotated[bool, typer.Option("--json", help="Print the start, and log, as JSON lines.")] = False,
) -> None:
    """Serve the augmentation API over a folder of datasets, until it is interrupted.

    Point the public client at it, or read /docs. /health and /ready are for supervisors. Give tokens in
    CREDITS_TOKENS, separated by spaces: other users of the machine can see options.
    """
    try:
        from ledger.fastapi.reference_server import Reference
    except ImportError:
        raise CommandFailed("server_missing", _MISSING, ExitStatus.UNAVAILABLE) from None
    if run_seconds is not None and not run_seconds <= _RUN_SECONDS_MAX:  # refuses NaN too
        message = f"--run-seconds: {run_seconds} is no number of seconds up to ten years. Give one such as 2.5."
        raise CommandFailed("run_seconds_invalid", message)
    tokens, grants, cards = _parse_tokens(token), _parse_grants(grant or []), read_book(card)
    profiles = read_folder(datasets)
    with opened(database_url, create=True) as engine:
        # The parameters of a failing statement are the clients' data, and belong in no log.
        engine.hide_parameters = True
        _prepare(engine, sorted({*tokens.values(), *grants}), grants)
        with _bind(host, port) as listener:
            address = f"http://{_in_url(host)}:{listener.getsockname()[1]}"
            said = {"url": address, "datasets": sorted(profiles), "accounts": sorted(set(tokens.values()))}
            emit(said, line(f"Serving {len(profiles)} dataset(s) at {address} until interrupted."), as_json=as_json)
            _run(Reference(engine, profiles, tokens, cards, run_seconds), listener, as_json)


def _parse_tokens(pairs: list[str]) -> dict[str, str]:
    """Account by token. Messages do not repeat a token: it is a secret."""
    tokens: dict[str, str] = {}
    for pair in pairs:
        token, equals, account_id = pair.rpartition("=")
        if not (equals and token and account_id):
            raise CommandFailed("token_invalid", "--token: one has no account. Write each as TOKEN=ACCOUNT.")
        if not _IN_HEADER.fullmatch(token):
            message = f"--token: a token of {account_id!r} cannot be sent in a header. Use printable ASCII, no spaces."
            raise CommandFailed("token_invalid", message)
        if token in tokens:
            raise CommandFailed("token_invalid", f"--token: a token of {account_id!r} is given twice. Give each once.")
        tokens[token] = account_id
    return tokens


def _parse_grants(pairs: list[str]) -> dict[str, Decimal]:
    grants: dict[str, Decimal] = {}
    for pair in pairs:
        account_id, equals, amount = pair.rpartition("=")
        if not (equals and account_id) or account_id in grants:
            message = f"--grant: {pair!r} names no account, or one twice. Write each once, as ACCOUNT=CREDITS."
            raise CommandFailed("grant_invalid", message)
        grants[account_id] = parse_credits(amount)
    return grants


def _prepare(engine: Engine, accounts: list[str], grants: dict[str, Decimal]) -> None:
    """Bring the database up to date, open the accounts, and make the grants that were not made yet."""
    try:
        check_schema(engine)
    except SchemaMismatch:
        upgrade(engine)

    def work(session: Session) -> None:
        for account_id in accounts:
            open_account(session, account_id)
            if account_id in grants:
                _grant_once(session, account_id, grants[account_id])

    run_transaction(engine, work, keyed=True)


def _grant_once(session: Session, account_id: str, amount: Decimal) -> None:
    try:
        grant_credits(session, account_id, amount, key=GRANT_KEY)
    except IdempotencyConflict:
        message = (
            f"--grant: an earlier start granted {account_id!r} another amount than {format_credits(amount)}. Leave the"
            " option out, or grant more with `credits grant`."
        )
        raise CommandFailed("grant_conflict", message, ExitStatus.REFUSED) from None


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no name of a host"
        message = f"Nothing can listen at {host}, port {port} ({reason}). Choose another with --host or --port."
        raise CommandFailed("port_unavailable", message, ExitStatus.UNAVAILABLE) from None
    # Connections inherit it. Without it the second part of every answer waits 40 ms for the client's delayed
    # acknowledgement of the first. The event loop sets it only on sockets that name their protocol, unlike this one.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _run(reference: Reference, listener: socket.socket, as_json: bool) -> None:
    """Serve until a signal comes; then answer open requests, and end."""
    try:
        import uvicorn
    except ImportError:
        raise CommandFailed("server_missing", _MISSING, ExitStatus.UNAVAILABLE) from None
    from ledger.fastapi.reference_server import create_app

    _log_to_stderr(as_json)
    configuration = uvicorn.Config(
        create_app(reference),
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    server = uvicorn.Server(configuration)

    def stop(number: int, frame: Any) -> None:
        server.should_exit = True

    # When it is done, the server raises the signal that ended it again: with this handler that is no failure.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    server.run(sockets=[listener])
    if not server.started:
        raise CommandFailed("server_failed", "The server did not start. Its log says why.", ExitStatus.UNAVAILABLE)


def _log_to_stderr(as_json: bool) -> None:
    from ledger.fastapi.telemetry import NAME, JSONLines, TextLines

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JSONLines() if as_json else TextLines())
    for name in (NAME, "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
