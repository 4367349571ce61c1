"""Which databases and drivers the ledger works with, and what each can do: a table, and nothing outside it is taken."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection, Dialect, Engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import NoSuchModuleError
from sqlalchemy.util.concurrency import in_greenlet

from ledger.errors import DatabaseUnsupported, EngineUnusable


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a database can do, as far as the ledger does something else where it cannot."""

    locks_rows: bool
    """It locks rows (`FOR UPDATE`, `SKIP LOCKED`). Where it does not, a transaction that writes locks the file."""

    takes_advisory_locks: bool
    """It has locks that are named by a number and end with the transaction."""

    hides_rows: bool
    """It has row-level security, and settings that last for one transaction."""

    reads_snapshots: bool
    """A transaction can be made to see one moment while others write (`REPEATABLE READ`)."""

    alters_tables: bool
    """It changes constraints in place. Where it does not, a table is made anew."""

    trigger_functions: bool
    """One trigger stands for a statement and several kinds of change, and calls a function."""

    pipelines: bool
    """The driver sends several statements in one round trip."""

    distributes: bool
    """An extension can spread its tables over several servers."""

    waits_for_file: bool
    """A transaction has waited for the database as long as it may: trying it again is no use to a caller."""

    tells_connect_failures: bool = True
    """SQLAlchemy raises its own errors where the driver cannot connect, not the operating system's."""


_SQLITE = Capabilities(
    locks_rows=False,
    takes_advisory_locks=False,
    hides_rows=False,
    reads_snapshots=False,
    alters_tables=False,
    trigger_functions=False,
    pipelines=False,
    distributes=False,
    waits_for_file=True,
)
_POSTGRESQL = Capabilities(
    locks_rows=True,
    takes_advisory_locks=True,
    hides_rows=True,
    reads_snapshots=True,
    alters_tables=True,
    trigger_functions=True,
    pipelines=True,
    distributes=True,
    waits_for_file=False,
)


@dataclass(frozen=True, slots=True)
class Database:
    """A database with a driver that the ledger works with; `begin` is how a URL begins that names them.

    `is_async_only`: the driver has no synchronous connections, so its engines are made by `create_async_engine`.
    """

    begin: str
    can: Capabilities
    is_async_only: bool = False


SUPPORTED = {
    ("postgresql", "psycopg"): Database("postgresql+psycopg", _POSTGRESQL),
    ("postgresql", "asyncpg"): Database(
        "postgresql+asyncpg",
        replace(_POSTGRESQL, pipelines=False, tells_connect_failures=False),
        is_async_only=True,
    ),
    ("sqlite", "pysqlite"): Database("sqlite", _SQLITE),
    ("sqlite", "aiosqlite"): Database("sqlite+aiosqlite", _SQLITE, is_async_only=True),
}
"""By SQLAlchemy's names of the dialect and the driver. `psycopg` is for `Engine` and `AsyncEngine` alike."""


def capabilities_of(connection: Connection) -> Capabilities:
    """What the database of a connection can do. Raises `DatabaseUnsupported`."""
    return database_of(connection.dialect).can


def database_of(dialect: Dialect) -> Database:
    """The entry of a dialect and its driver. Raises `DatabaseUnsupported` where the ledger does not work with them."""
    found = SUPPORTED.get((dialect.name, dialect.driver))
    if found is None:
        raise DatabaseUnsupported(dialect.name, dialect.driver, _instead(dialect.name))
    return found


def check_engine(given: object) -> Engine:
    """The engine that was given. Raises `EngineUnusable` for anything else, and `DatabaseUnsupported`."""
    if isinstance(given, Engine):
        check_dialect(given.dialect)
        return given
    kind = type(given).__name__
    if isinstance(getattr(given, "sync_engine", None), Engine):
        remedy = "Pass its `sync_engine`, or call the function for async engines."
    else:
        remedy = "Make one: `engine = ledger.create_engine(url)`."
    raise EngineUnusable(f"is of type {kind}, and a sqlalchemy.Engine is expected. {remedy}")


def cannot_wait(bind: Engine | Connection) -> bool:
    """True for an async engine outside of SQLAlchemy's greenlets, where nothing waits for its connections."""
    return bind.dialect.is_async and not in_greenlet()


def check_blocking(given: object) -> Engine:
    """The engine that was given, for a call that waits for the database. Raises what `check_engine` does.

    Raises `EngineUnusable` for an async engine too, outside of greenlets.
    """
    inner = getattr(given, "sync_engine", given)
    if isinstance(inner, Engine) and cannot_wait(inner):
        raise EngineUnusable(
            f"is asynchronous, and this call is not. Call `run_transaction_async(async_engine, work)` or"
            f" `await connection.run_sync(...)`, or {_SYNCHRONOUS}"
        )
    return check_engine(given)


def check_synchronous(given: object) -> Engine:
    """The engine that was given, for work in threads or processes. Raises what `check_engine` does.

    Raises `EngineUnusable` for an async engine too.
    """
    inner = getattr(given, "sync_engine", given)
    if isinstance(inner, Engine) and inner.dialect.is_async:
        raise EngineUnusable(f"is asynchronous, and this works in threads or processes of its own: {_SYNCHRONOUS}")
    return check_engine(given)


_SYNCHRONOUS = (
    "pass one that `ledger.create_engine` makes of a URL that begins with postgresql+psycopg:// or sqlite://."
)


def check_dialect(dialect: Dialect) -> None:
    """Raise `DatabaseUnsupported` unless the ledger works with this dialect and driver."""
    database_of(dialect)


def check_url(url: URL) -> Database:
    """The database and driver that a URL names. Raises `DatabaseUnsupported` where the ledger does not work with them.

    The driver need not be installed for that.
    """
    dialect, _, driver = url.drivername.partition("+")
    if not driver:
        try:
            driver = url.get_driver_name()
        except NoSuchModuleError:
            raise DatabaseUnsupported(dialect, "", _instead(dialect)) from None
    found = SUPPORTED.get((dialect, driver))
    if found is None:
        raise DatabaseUnsupported(dialect, driver, _instead(dialect))
    return found


def _instead(dialect: str) -> str:
    """The beginnings of URLs to use: those of the same database, or all."""
    same = [known.begin for (name, _), known in SUPPORTED.items() if name == dialect]
    begins = dict.fromkeys(same or [known.begin for known in SUPPORTED.values()])
    return " or ".join(f"{begin}://" for begin in begins)
