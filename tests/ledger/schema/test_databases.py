"""Databases and drivers: the ledger works with those of the table, and refuses every other by its name."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, oracle, postgresql, sqlite
from sqlalchemy.dialects.postgresql import asyncpg, pg8000, psycopg, psycopg2
from sqlalchemy.dialects.sqlite import aiosqlite
from sqlalchemy.engine import Dialect, make_url

import ledger
from ledger.schema.databases import check_dialect, check_url

KEPT = ["postgresql+psycopg://", "postgresql+asyncpg://", "sqlite://", "sqlite+pysqlite://", "sqlite+aiosqlite://"]
REFUSED = {
    "postgresql+psycopg2://": "psycopg2",
    "postgresql+pg8000://": "pg8000",
    "postgresql+psycopg2cffi://": "psycopg2cffi",
    "sqlite+pysqlcipher://": "pysqlcipher",
    "mysql+pymysql://": "pymysql",
    "mysql://": "mysql",
    "oracle://": "oracle",
    "cockroachdb://": "cockroachdb",
    "cockroachdb+psycopg://": "cockroachdb",
    "duckdb:///x": "duckdb",
}


@pytest.mark.parametrize("url", KEPT)
def test_the_drivers_of_the_table_are_accepted(url: str) -> None:
    """By URL, whether or not they are installed."""
    check_url(make_url(url))


@pytest.mark.parametrize(("url", "name"), REFUSED.items())
def test_any_other_driver_is_refused_by_name_before_an_engine_is_made(url: str, name: str) -> None:
    """The refusal names what was given, and what to write instead."""
    with pytest.raises(ledger.DatabaseUnsupported, match=name) as refused:
        ledger.create_engine(url)
    assert "Use a URL that begins with " in str(refused.value)
    remedy = str(refused.value).rpartition("begins with ")[2]
    for begin in remedy.rstrip(".").split(" or "):
        check_url(make_url(begin))


DIALECTS = {
    psycopg.PGDialect_psycopg: True,
    psycopg.PGDialectAsync_psycopg: True,
    sqlite.dialect: True,
    aiosqlite.dialect: True,
    psycopg2.dialect: False,
    pg8000.dialect: False,
    asyncpg.dialect: True,
    mysql.dialect: False,
    oracle.dialect: False,
    postgresql.psycopg2.dialect: False,
}


@pytest.mark.parametrize(("dialect", "is_kept"), DIALECTS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_dialect_is_kept_or_refused_as_its_url_is(dialect: type[Dialect], is_kept: bool) -> None:
    """The same table decides for engines that a host made itself."""
    made = dialect()
    if is_kept:
        check_dialect(made)
        return
    with pytest.raises(ledger.DatabaseUnsupported, match=made.driver):
        check_dialect(made)


def test_an_engine_of_the_hosts_own_is_refused_when_it_is_prepared_upgraded_or_used() -> None:
    """At each entrance before anything is sent: this engine could not connect."""
    engine = sa.create_engine("postgresql+psycopg://localhost:1/none", module=__import__("psycopg"))
    engine.dialect.driver = "something"
    for entrance in (ledger.prepare_engine, ledger.upgrade):
        with pytest.raises(ledger.DatabaseUnsupported, match="something"):
            entrance(engine)
