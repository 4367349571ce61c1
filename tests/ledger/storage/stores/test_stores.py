"""Statements by every store alike: the rows that are read, in whole or in parts, and the rows that are written."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

import ledger
from ledger.schema.tables import CardRow, GrantRow
from ledger.storage import queries
from ledger.storage.shapes import RowShape, Write
from ledger.storage.stores import execute_writes, fetch, fetch_keys, fetch_one, store_of, stream
from ledger.storage.stores.asyncpg import AsyncpgStore
from ledger.storage.stores.psycopg import AsyncPsycopgStore, PsycopgStore
from ledger.storage.stores.sqlite import SqliteStore
from tests.ledger.conftest import START
from tests.ledger.statements import record_requests
from tests.ledger.storage.stores.test_literals import HARD

CARD, TERMS = RowShape.of(CardRow), RowShape.of(GrantRow, ("expires_at", "scope"))
CARDS = text("SELECT account_id, card_id, content FROM ledger_card ORDER BY 2")

DRIVERS = {
    "sqlite": ["sqlite+aiosqlite"],
    "postgresql": ["postgresql+psycopg", "postgresql+asyncpg"],
}
"""The drivers for asyncio of each database."""


@pytest.mark.default_driver("of the driver's own objects")
def test_a_connection_of_the_driver_has_one_store_which_is_of_its_driver(engine: Engine) -> None:
    expected = SqliteStore if engine.dialect.name == "sqlite" else PsycopgStore
    with engine.connect() as connection:
        first = store_of(connection)
        assert type(first) is expected
    with engine.connect() as again:
        assert store_of(again) is first
        with engine.connect() as other:
            assert store_of(other) is not first


def test_an_async_connection_has_the_store_of_its_driver(database_url: str) -> None:
    async def kind(url: str) -> type[Any]:
        engine = create_async_engine(url)
        async with engine.connect() as connection:
            found = type(await connection.run_sync(store_of))
        await engine.dispose()
        return found

    backend, _, rest = database_url.partition(":")
    drivers = DRIVERS[backend.partition("+")[0]]
    expected = [SqliteStore] if drivers == DRIVERS["sqlite"] else [AsyncPsycopgStore, AsyncpgStore]
    assert [asyncio.run(kind(f"{driver}:{rest}")) for driver in drivers] == expected


def test_rows_that_are_fetched_are_what_was_written(session: Session) -> None:
    ledger.open_account(session, "é", at=START)
    ledger.grant_credits(session, "é", 2**40, key="k", at=START)
    statement = "SELECT account_id, e.sequence, key, hash, reservation FROM ledger_entry e WHERE account_id = $1"
    (entry,) = ledger.get_statement(session, "é").entries
    connection, row = session.connection(), ("é", 1, "k", bytes.fromhex(entry.hash), None)
    assert fetch(connection, statement, "é") == [row]
    assert fetch_one(connection, statement, "é") == row
    assert fetch_one(connection, statement, "e") is None
    assert fetch(connection, statement, "e") == []


@pytest.mark.parametrize("value", [*HARD, "é"])
def test_a_value_stays_a_value_whatever_it_looks_like(session: Session, value: str) -> None:
    """Percent signs, dollars and colons mean nothing within values, nor in the statement's own texts."""
    found = fetch(session.connection(), "SELECT CAST($1 AS text), '%', 7 % 4, '%s', ':row', '%(a)s'", value)
    assert found == [(value, "%", 3, "%s", ":row", "%(a)s")]


@pytest.mark.parametrize("number", [0, -1, 2**15, 2**31, 2**63 - 1, -(2**63)])
def test_a_whole_number_of_64_bits_is_taken_for_what_it_is(session: Session, number: int) -> None:
    """Whatever its size: one statement is prepared for all of them."""
    connection = session.connection()
    for value in (number, 1, number):
        assert fetch(connection, "SELECT CAST($1 AS bigint)", value) == [(value,)]


def test_what_the_driver_raises_is_raised_as_sqlalchemy_does(session: Session) -> None:
    with pytest.raises(DBAPIError) as raised:
        fetch(session.connection(), "SELECT nothing FROM ledger_account WHERE account_id = $1", "a")
    assert not raised.value.connection_invalidated


def test_without_keys_or_rows_nothing_is_sent(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = session.connection()
    sent = record_requests(monkeypatch)
    assert fetch_keys(connection, queries.CARDS, []) == []
    execute_writes(connection, [])
    execute_writes(connection, [Write(CARD, []), Write(TERMS, [], is_update=True)])
    assert sent == []


@pytest.mark.parametrize("count", [1, 2, 40])
def test_rows_are_inserted_as_they_are_given(session: Session, acme: str, count: int) -> None:
    rows = [(acme, f"card-{number:02}", f"'{{}}\\\" {number}") for number in range(count)]
    execute_writes(session.connection(), [Write(CARD, rows)])
    assert [tuple(row) for row in session.execute(CARDS)] == rows


@pytest.mark.parametrize("count", [1, 3, 40])
def test_rows_are_updated_by_their_keys_and_no_others(session: Session, acme: str, count: int) -> None:
    """The columns of the shape change, the others do not; a null is written as one."""
    ledger.execute(session, [ledger.GrantCredits(acme, 1) for _ in range(count)])
    changed = [(acme, number, number or None, f"s{number}") for number in range(2, count + 2)]
    execute_writes(session.connection(), [Write(TERMS, [(*row[:2], None, row[3]) for row in changed], is_update=True)])
    execute_writes(session.connection(), [Write(TERMS, changed, is_update=True)])
    found = session.execute(text("SELECT account_id, number, expires_at, scope FROM ledger_grant ORDER BY 2")).all()
    assert [tuple(row) for row in found] == [(acme, 1, None, None), *changed]
    assert session.execute(text("SELECT DISTINCT priority FROM ledger_grant")).scalars().all() == [100]


def test_writes_of_several_tables_are_carried_out_together(session: Session, acme: str) -> None:
    execute_writes(
        session.connection(),
        [Write(CARD, [(acme, "c", "{}")]), Write(CARD, []), Write(TERMS, [(acme, 1, 5, "s")], is_update=True)],
    )
    assert session.execute(CARDS).all() == [(acme, "c", "{}")]
    assert session.execute(text("SELECT expires_at, scope FROM ledger_grant")).one() == (5, "s")


@pytest.mark.parametrize("count", [2, 40])
def test_rows_that_are_the_same_in_everything_are_for_the_table_to_refuse(
    session: Session, acme: str, count: int
) -> None:
    with pytest.raises(IntegrityError):
        execute_writes(session.connection(), [Write(CARD, [(acme, "c", "{}")] * count)])


@pytest.mark.parametrize("size", [1, len(HARD)])
def test_texts_that_mean_something_to_arrays_come_back_as_they_were(session: Session, size: int) -> None:
    ledger.execute(session, [ledger.OpenAccount(name, START) for name in HARD])
    grants = [ledger.GrantCredits(name, 5, key=name, metadata={name: name}, at=START) for name in HARD]
    for first in range(0, len(grants), size):
        ledger.execute(session, grants[first : first + size])
    for name in HARD:
        (entry,) = ledger.get_statement(session, name).entries
        assert (entry.account_id, entry.key, entry.details["metadata"]) == (name, name, {name: name})
    again = ledger.execute(session, grants)
    assert all(isinstance(grant, ledger.Grant) and grant.replayed for grant in again)
    assert list(ledger.audit(session)) == []


def test_errors_of_the_sqlite_driver_are_raised_as_sqlalchemy_raises_them(sqlite_url: str) -> None:
    engine = ledger.create_engine(sqlite_url)
    with Session(engine) as session:
        session.execute(text("DROP TABLE ledger_transfer"))
        ledger.open_account(session, "acme")
        with pytest.raises(OperationalError, match="no such table"):
            ledger.grant_credits(session, "acme", 1)
    engine.dispose()


_NUMBERED = "SELECT account_id, hash, sequence FROM ledger_entry WHERE account_id = $1 AND sequence > $2 ORDER BY 3"


def numbered(connection: Connection, size: int) -> list[list[Any]]:
    """Entries as they are streamed, part by part."""
    return [list(part) for part in stream(connection, _NUMBERED, ["acme", 2], size=size)]


@pytest.mark.parametrize("size", [1, 4, 7, 100])
def test_rows_are_streamed_in_parts_by_every_driver(engine: Engine, size: int) -> None:
    with Session(engine) as session, session.begin():
        ledger.open_account(session, "acme")
        ledger.grant_credits(session, "acme", 10)
        ledger.execute(session, [ledger.Reserve("acme", 1) for _ in range(8)])
    with engine.connect() as connection:
        whole = fetch(connection, _NUMBERED, "acme", 2)
        parts = numbered(connection, size)
    assert [row for part in parts for row in part] == whole
    assert len(whole) == 7
    assert [len(part) for part in parts] == [size] * (7 // size) + [7 % size] * (7 % size > 0)
    for driver in DRIVERS[engine.dialect.name]:
        assert [row for part in asyncio.run(numbered_async(engine, driver, size)) for row in part] == whole


async def numbered_async(engine: Engine, driver: str, size: int) -> list[list[Any]]:
    """The same by a driver for asyncio."""
    async_engine = create_async_engine(engine.url.set(drivername=driver))
    async with async_engine.connect() as connection:
        parts = await connection.run_sync(numbered, size)
    await async_engine.dispose()
    return parts


def test_a_stream_that_is_left_early_holds_up_nothing(session: Session) -> None:
    ledger.execute(session, [ledger.OpenAccount(f"a{number}", START) for number in range(9)])
    connection = session.connection()
    for _ in range(2):
        parts = stream(connection, "SELECT account_id FROM ledger_account ORDER BY 1", size=2)
        assert [row[0] for _ in range(2) for row in next(parts)] == ["a0", "a1", "a2", "a3"]
        parts.close()  # type: ignore[attr-defined]
    ledger.grant_credits(session, "a0", 1)
    assert ledger.get_balance(session, "a0").available == 1
