"""Async engines: refused at once where a call would block on them, and as safe as others where they are used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

import ledger

pytestmark = pytest.mark.default_driver("on an event loop of their own")

DRIVERS = {"sqlite": ["aiosqlite"], "postgresql": ["psycopg", "asyncpg"]}


def urls_of(database_url: str) -> list[URL]:
    """A database's URL with each of its drivers for async engines."""
    url = make_url(database_url)
    name = url.get_backend_name()
    return [url.set(drivername=f"{name}+{driver}") for driver in DRIVERS[name]]


@pytest.mark.parametrize("url", ["postgresql+asyncpg://host/book", "sqlite+aiosqlite:///book.sqlite"])
def test_a_driver_for_async_engines_makes_no_synchronous_one(url: str) -> None:
    """The refusal says how to make an async one."""
    with pytest.raises(
        ledger.EngineUnusable, match=r"create_async_engine\(url\).*prepare_engine\(engine\.sync_engine\)"
    ):
        ledger.create_engine(url)


BLOCKING: dict[str, Callable[[Any], Any]] = {
    "run_transaction": lambda engine: ledger.run_transaction(engine, ledger.list_accounts),
    "sweep": ledger.sweep,
    "upgrade": ledger.upgrade,
    "current_revision": ledger.current_revision,
    "check_schema": ledger.check_schema,
    "audit_together": lambda engine: list(ledger.audit_together(engine)),
    "Batcher": ledger.Batcher,
}


@pytest.mark.parametrize("name", BLOCKING)
@pytest.mark.parametrize("url", ["postgresql+psycopg://h/b", "postgresql+asyncpg://h/b", "sqlite+aiosqlite:///b"])
def test_a_call_that_blocks_refuses_an_async_engine_outside_of_it(url: str, name: str) -> None:
    """The AsyncEngine and the engine in it, before a connection is made."""
    engine = create_async_engine(url)
    for given in (engine, engine.sync_engine):
        with pytest.raises(ledger.EngineUnusable, match=r"is asynchronous.*ledger\.create_engine"):
            BLOCKING[name](given)


def test_a_verb_refuses_a_session_of_an_async_engine_outside_of_it(database_url: str) -> None:
    """And says what to call from async code."""
    for url in urls_of(database_url):
        engine = create_async_engine(url)
        with Session(engine.sync_engine) as session, pytest.raises(ledger.SessionUnusable, match="run_sync"):
            ledger.list_accounts(session)


def test_within_it_the_same_calls_are_carried_out(database_url: str) -> None:
    """A synchronous library that a host calls by `run_sync` may use them."""

    def work(session: Session) -> list[str]:
        engine = session.get_bind()
        ledger.run_transaction(engine, lambda inner: ledger.open_account(inner, "acme"))  # type: ignore[arg-type]
        ledger.sweep(engine)  # type: ignore[arg-type]
        with Session(engine) as inner:
            return ledger.list_accounts(inner)

    async def scenario(url: URL) -> list[str]:
        engine = create_async_engine(url)
        ledger.prepare_engine(engine.sync_engine)
        async with engine.connect() as connection:
            found = await connection.run_sync(lambda given: work(Session(given.engine)))
        await engine.dispose()
        return found

    for url in urls_of(database_url):
        assert asyncio.run(scenario(url)) == ["acme"]


@pytest.mark.parametrize("statement", ["ROLLBACK", "COMMIT"])
def test_a_transaction_that_sql_of_the_works_own_ended_is_told(database_url: str, statement: str) -> None:
    """What it answered may not be in the book."""

    def work(session: Session) -> ledger.Account:
        opened = ledger.open_account(session, "acme")
        session.execute(text(statement))
        return opened

    async def scenario(url: URL) -> None:
        engine = create_async_engine(url)
        ledger.prepare_engine(engine.sync_engine)
        try:
            with pytest.raises(ledger.TransactionEnded):
                await ledger.run_transaction_async(engine, work)
        finally:
            await engine.dispose()

    for url in urls_of(database_url):
        asyncio.run(scenario(url))
