"""asyncpg: the whole ledger by a driver without pipelines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import Session

import ledger
from ledger.storage.stores import fetch, store_of, stream
from ledger.storage.stores.arrays import Bigints, Byteas, Smallints, Texts
from ledger.storage.stores.base import Request
from tests.ledger.auditing.test_every_value import write_book
from tests.ledger.conftest import START
from tests.ledger.storage.stores.test_literals import HARD
from tests.ledger.verbs import ON_ONE_ACCOUNT, OVER_ACCOUNTS, fill

pytestmark = pytest.mark.default_driver("on an event loop of their own")


def asyncpg_url(url: str) -> str:
    """The URL of the same database by asyncpg."""
    return url.replace("postgresql+psycopg:", "postgresql+asyncpg:").replace("postgresql:", "postgresql+asyncpg:")


def on_connection(url: str, work: Callable[[Connection], Any]) -> Any:
    """What some work answers on a connection."""

    async def scenario(engine: AsyncEngine) -> Any:
        async with engine.connect() as connection:
            return await connection.run_sync(work)

    return on_engine(url, scenario)


def on_engine(url: str, scenario: Callable[[AsyncEngine], Any]) -> Any:
    """What a scenario answers on an engine of its own."""

    async def whole() -> Any:
        engine = create_async_engine(asyncpg_url(url))
        ledger.prepare_engine(engine.sync_engine)
        try:
            return await scenario(engine)
        finally:
            await engine.dispose()

    return asyncio.run(whole())


def test_each_request_answers_its_rows_in_order(postgresql_url: str) -> None:
    asked = [
        Request("SELECT CAST($1 AS bigint), CAST($2 AS text)", (1, "x")),
        Request("SELECT CAST($1 AS text)", [("a",), ("b",)], is_each=True),
        Request("CREATE TEMPORARY TABLE seen (word text) ON COMMIT DROP", has_rows=False),
        Request("INSERT INTO seen VALUES ($1)", [("c",), ("d",)], is_each=True, has_rows=False),
    ]
    found = on_connection(postgresql_url, lambda connection: store_of(connection).run(connection, asked))
    assert found == [[(1, "x")], [("a",), ("b",)], [], []]


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (Texts([*HARD, None]), "text"),
        (Bigints([1, None, -(2**63)]), "bigint"),
        (Smallints([1, None]), "smallint"),
        (Byteas([b"", None, b"\x00\xff"]), "bytea"),
    ],
)
def test_an_array_is_unpacked_to_its_elements(postgresql_url: str, array: Any, kind: str) -> None:
    sql = f"SELECT v FROM unnest(CAST($1 AS {kind}[])) AS v"
    found = on_connection(postgresql_url, lambda connection: fetch(connection, sql, array))
    assert [value for (value,) in found] == list(array)


def test_every_verb_works_and_the_book_proves_itself(postgresql_url: str) -> None:
    """On one account and over all, and what psycopg then reads is sound."""

    def work(session: Session) -> None:
        of = fill(session, "acme")
        for name, verb in ON_ONE_ACCOUNT.items():
            with session.begin_nested() as undone:
                verb(session, of)
                undone.rollback()
            assert session.is_active, name
        for read in OVER_ACCOUNTS.values():
            read(session)
        write_book(session, "beta")
        assert ledger.deliver_outbox(session, lambda start: None, limit=1).count == 1

    on_engine(postgresql_url, lambda engine: ledger.run_transaction_async(engine, work))
    engine = ledger.create_engine(postgresql_url)
    with Session(engine) as session:
        assert list(ledger.audit(session)) == []
        assert ledger.list_accounts(session) == ["acme", "acme-plain", "beta"]
    engine.dispose()


def test_transactions_of_the_librarys_own_commit_or_refuse_like_any_other(postgresql_url: str) -> None:
    async def scenario(engine: AsyncEngine) -> Any:
        def fund(session: Session) -> None:
            ledger.open_account(session, "acme", at=START)
            ledger.grant_credits(session, "acme", 10, at=START)

        def reserve_too_much(session: Session) -> None:
            ledger.reserve(session, "acme", 4)
            ledger.reserve(session, "acme", 40)

        await ledger.run_transaction_async(engine, fund)
        with pytest.raises(ledger.InsufficientCredits):
            await ledger.run_transaction_async(engine, reserve_too_much)
        holds = await asyncio.gather(
            *(ledger.run_transaction_async(engine, lambda session: ledger.reserve(session, "acme", 1)) for _ in "abc")
        )
        balance = await ledger.run_transaction_async(engine, lambda session: ledger.get_balance(session, "acme"))
        return len({hold.reservation_id for hold in holds}), balance.available

    assert on_engine(postgresql_url, scenario) == (3, 7)


def test_what_the_server_refuses_is_raised_as_sqlalchemy_raises_it(postgresql_url: str) -> None:
    def refused(connection: Connection) -> Any:
        sql = "INSERT INTO ledger_card VALUES ($1, $2, $3)"
        with pytest.raises(IntegrityError) as raised:
            store_of(connection).run(connection, [Request(sql, ("nobody", "c", "{}"), has_rows=False)])
        connection.rollback()
        with pytest.raises(DBAPIError):
            fetch(connection, "SELECT nothing")
        connection.rollback()
        return getattr(raised.value.orig, "sqlstate", None), fetch(connection, "SELECT 1")

    assert on_connection(postgresql_url, refused) == ("23503", [(1,)])


def test_a_stream_that_the_server_refuses_is_raised_as_sqlalchemy_raises_it(postgresql_url: str) -> None:
    def refused(connection: Connection) -> Any:
        with pytest.raises(DBAPIError) as raised:
            next(stream(connection, "SELECT nothing"))
        return getattr(raised.value.orig, "sqlstate", None)

    assert on_connection(postgresql_url, refused) == "42703"


def test_a_stream_that_the_server_fails_in_is_raised_as_sqlalchemy_raises_it(postgresql_url: str) -> None:
    """In the rows that are fetched at once, and in later ones."""
    sql = "SELECT 1 / ($1 - v) FROM generate_series(1, 90) AS v"

    def read(connection: Connection) -> None:
        for zero in (1, 80):
            with pytest.raises(DBAPIError) as raised:
                list(stream(connection, sql, [zero], size=2))
            assert getattr(raised.value.orig, "sqlstate", None) == "22012"
            connection.rollback()

    on_connection(postgresql_url, read)
