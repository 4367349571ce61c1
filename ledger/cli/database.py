"""The database of a command: an engine from a URL, and a sentence for whatever can be wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import Engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.orm import Session

from estimator.cli.terminal import CommandFailed, ExitStatus
from ledger.schema.databases import SUPPORTED, database_of
from ledger.schema.migrations import check_schema
from ledger.storage.engines import create_engine
from ledger.storage.failures import Failure, code_of, kind_of_code
from ledger.storage.transactions import Answer, run_transaction

DatabaseOption = Annotated[
    str,
    typer.Option(
        "--database-url",
        envvar="CREDITS_DATABASE_URL",
        metavar="URL",
        help="Such as sqlite:///credits.sqlite or postgresql+psycopg://user@host/name.",
        show_default=False,
    ),
]

LOCK_SECONDS = 5
"""How long a command waits for another process to unlock a SQLite file."""

_EXAMPLES = "Give one such as sqlite:///credits.sqlite or postgresql+psycopg://user@host/name"
_DRIVERS = frozenset({"sqlite", "sqlite+pysqlite", "postgresql", "postgres", "postgresql+psycopg"})
_ASYNC = frozenset(known.begin for known in SUPPORTED.values() if known.is_async_only)
_SHOWN = frozenset(
    {
        "host",
        "hostaddr",
        "port",
        "sslmode",
        "sslrootcert",
        "application_name",
        "connect_timeout",
        "target_session_attrs",
    }
)
"""Parts of a URL's query that hold no secret."""

_SENTENCES_OF_SQLITE = {
    Failure.LOCKED: "is locked by another process. Try again when that process is done",
    Failure.NO_DATABASE: "is not a SQLite database. Name another file",
    Failure.DAMAGED: "is damaged. Restore it from a backup",
    Failure.UNOPENED: "cannot be opened. Check that its folder exists and that you may write there",
    Failure.READ_ONLY: "cannot be written. Check your rights to it",
    Failure.FULL: "has no room to grow. Free some disk space",
}


def parse_url(text: str) -> URL:
    """The URL of a text. Raises `CommandFailed` for an empty one, and for one that no driver understands."""
    if not text.strip():
        message = f"No database is named. {_EXAMPLES} with --database-url, or set CREDITS_DATABASE_URL."
        raise CommandFailed("database_url_missing", message)
    try:
        url = make_url(text.strip())
    except (ArgumentError, ValueError):
        # The text is not repeated: it may hold a password.
        raise CommandFailed("database_url_invalid", f"The database URL cannot be read. {_EXAMPLES}.") from None
    if "@" in (url.host or ""):
        message = "The database URL has two @. Write an @ of the user or the password as %40."
        raise CommandFailed("database_url_invalid", message)
    if url.drivername not in _DRIVERS:
        is_async = url.drivername in _ASYNC
        why = "is for async engines, which no command has" if is_async else "is no database of the ledger's"
        message = f"{url.drivername!r} {why}. {_EXAMPLES}."
        raise CommandFailed("database_url_invalid", message)
    if url.drivername.startswith("sqlite") and url.database in (None, "", ":memory:"):
        message = f"A SQLite database in memory is gone when this command ends. {_EXAMPLES}."
        raise CommandFailed("database_url_invalid", message)
    return url


def shown_url(url: URL) -> str:
    """A URL as it may be shown: its password is starred, and of its query all but what is known to be no secret."""
    starred = {name: "***" for name in url.query if name not in _SHOWN}
    text = url.update_query_dict(starred).render_as_string(hide_password=True)
    return text.replace("%2A%2A%2A", "***")


@contextmanager
def opened(address: str | URL, *, create: bool = False) -> Iterator[Engine]:
    """An engine on a database. Raises `CommandFailed` for a SQLite file that does not exist yet."""
    url = parse_url(address) if isinstance(address, str) else address
    file = _file_of(url)
    if file is not None and not create and not file.exists():
        message = f"No database exists at {str(file)!r}. Check the URL, or make it with `credits db upgrade`."
        raise CommandFailed("database_missing", message, ExitStatus.UNAVAILABLE)
    try:
        engine = create_engine(url)
    except ImportError:
        message = f"The driver of {url.drivername} is not installed. Run `pip install 'run-credits[postgres]'`."
        raise CommandFailed("driver_missing", message, ExitStatus.UNAVAILABLE) from None
    if file is not None:
        event.listen(engine, "connect", _wait_less)
    try:
        yield engine
    except SQLAlchemyError as error:
        raise explain_database(error, url) from None
    finally:
        engine.dispose()


def _file_of(url: URL) -> Path | None:
    if not url.drivername.startswith("sqlite") or url.database is None or url.database.startswith("file:"):
        return None
    return Path(url.database)


def _wait_less(connection: Any, _record: Any) -> None:
    """Wait for a lock as long as a person at a terminal does, which is less than a service waits."""
    cursor = connection.cursor()
    try:
        cursor.execute(f"PRAGMA busy_timeout = {int(LOCK_SECONDS * 1000)}")
    finally:
        cursor.close()


def in_database(text: str, work: Callable[[Session], Answer]) -> Answer:
    """Do `work` in a transaction on the database of a URL, after checking that its tables are up to date."""
    with opened(text) as engine:
        check_schema(engine)
        # SQLite has waited for its lock already; another attempt would only make a person wait longer.
        return run_transaction(engine, work, attempts=1 if database_of(engine.dialect).can.waits_for_file else 5)


def explain_database(error: SQLAlchemyError, url: URL) -> CommandFailed:
    """The failure for a database error."""
    original = getattr(error, "orig", None) or error
    name = f"The database {shown_url(url)}"
    code = code_of(error)
    if code is not None and code.startswith("SQLITE") and (kind := kind_of_code(code)) in _SENTENCES_OF_SQLITE:
        return CommandFailed("database_unavailable", f"{name} {_SENTENCES_OF_SQLITE[kind]}.", ExitStatus.UNAVAILABLE)
    said = " ".join(str(original).split()).rstrip(".") or type(original).__name__
    if code is None:
        message = f"{name} cannot be reached ({said}). Check that it is running and that the URL is right."
    else:
        message = f"{name} refused the command ({said}). Check your rights to it, then try again."
    return CommandFailed("database_unavailable", message, ExitStatus.UNAVAILABLE)
