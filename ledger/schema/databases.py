"""Which databases and drivers the ledger works with, decided once: what is not in the table is refused by name."""

from __future__ import annotations

from sqlalchemy import Dialect, Engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import NoSuchModuleError

from ledger.errors import DatabaseUnsupported, EngineUnusable

SUPPORTED = {
    ("postgresql", "psycopg"): "postgresql+psycopg",
    ("sqlite", "pysqlite"): "sqlite",
    ("sqlite", "aiosqlite"): "sqlite+aiosqlite",
}
"""By dialect and driver, how a URL begins that names them. `psycopg` is for `Engine` and `AsyncEngine` alike."""


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


def check_dialect(dialect: Dialect) -> None:
    """Raise `DatabaseUnsupported` unless the ledger works with this dialect and driver."""
    if (dialect.name, dialect.driver) not in SUPPORTED:
        raise DatabaseUnsupported(dialect.name, dialect.driver, _instead(dialect.name))


def check_url(url: URL) -> None:
    """Raise `DatabaseUnsupported` unless the ledger works with the database and driver that a URL names.

    The driver need not be installed for that.
    """
    dialect, _, driver = url.drivername.partition("+")
    if not driver:
        try:
            driver = url.get_driver_name()
        except NoSuchModuleError:
            raise DatabaseUnsupported(dialect, "", _instead(dialect)) from None
    if (dialect, driver) not in SUPPORTED:
        raise DatabaseUnsupported(dialect, driver, _instead(dialect))


def _instead(dialect: str) -> str:
    """The beginnings of URLs to use: those of the same database, or all."""
    same = [begin for (name, _), begin in SUPPORTED.items() if name == dialect]
    return " or ".join(f"{begin}://" for begin in same or SUPPORTED.values())
