"""The drivers that the tests run over, and the engines of the one that this run was told to use.

`tests/driver_option.py` makes a run of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import create_async_engine

import ledger


@dataclass(frozen=True, slots=True)
class Driver:
    """A driver for async engines, and the database whose tests run over it."""

    name: str
    database: str
    drivername: str


ASYNC_DRIVERS = {
    driver.name: driver
    for driver in (
        Driver("psycopg-async", "postgresql", "postgresql+psycopg"),
        Driver("asyncpg", "postgresql", "postgresql+asyncpg"),
        Driver("aiosqlite", "sqlite", "sqlite+aiosqlite"),
    )
}
"""By the name that `--driver` takes."""


class Run:
    """What this process was told to run over, and the connections that its engines have lent so far."""

    driver: Driver | None = None
    """None: psycopg and sqlite3, each by synchronous engines."""
    lent = 0


def create_engine(url: str | URL, **options: Any) -> Engine:
    """`ledger.create_engine`, but over the driver of the run where the URL is of its database."""
    url, driver = make_url(url), Run.driver
    if driver is None or url.get_backend_name() != driver.database:
        return ledger.create_engine(url, **options)
    engine = create_async_engine(over(url, driver.drivername), **options).sync_engine
    event.listen(engine, "checkout", _count)
    return ledger.prepare_engine(engine)


def over(url: str | URL, drivername: str) -> URL:
    """A URL with another driver of its database, and with that driver's words for a connection in the clear."""
    given = make_url(url).set(drivername=drivername)
    if drivername == "postgresql+asyncpg" and "sslmode" in given.query:
        given = given.difference_update_query(["sslmode", "gssencmode"]).update_query_dict({"ssl": "disable"})
    return given


def _count(*_: object) -> None:
    Run.lent += 1
