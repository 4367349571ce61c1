"""Reads of very many rows: what the driver gives, whole or in parts, and what becomes of a lost connection."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

import ledger
from ledger.storage.streams import fetch_raw, stream_raw
from tests.ledger.conftest import START


def test_rows_read_through_the_driver_are_what_was_written(session: Session) -> None:
    ledger.open_account(session, "é", at=START)
    ledger.grant_credits(session, "é", 2**40, key="k", at=START)
    statement = "SELECT account_id, e.sequence, key, hash, reservation FROM ledger_entry e WHERE account_id = {0}"
    (entry,) = ledger.get_statement(session, "é").entries
    assert fetch_raw(session.connection(), statement, ("é",)) == [("é", 1, "k", bytes.fromhex(entry.hash), None)]


def test_what_the_driver_raises_is_raised_as_sqlalchemy_does(session: Session) -> None:
    with pytest.raises(DBAPIError) as raised:
        fetch_raw(session.connection(), "SELECT nothing FROM ledger_account WHERE account_id = {0}", ("a",))
    assert not raised.value.connection_invalidated


def test_a_connection_lost_while_reading_is_not_used_again(postgresql_url: str) -> None:
    engine = ledger.create_engine(postgresql_url)
    with engine.connect() as reader, engine.connect() as other:
        pid = reader.execute(text("SELECT pg_backend_pid()")).scalar_one()
        other.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid})
        with pytest.raises(DBAPIError) as raised:
            fetch_raw(reader, "SELECT {0}", (1,))
        assert raised.value.connection_invalidated
        assert reader.invalidated
    engine.dispose()


_NUMBERED = "SELECT account_id, hash, sequence FROM ledger_entry WHERE account_id = {0} AND sequence > {1} ORDER BY 3"


def numbered(connection: Connection, size: int) -> list[list[Any]]:
    """Entries as they are streamed, part by part."""
    parts = stream_raw(connection, _NUMBERED, ["acme", 2], size=size)
    return [[(name, bytes(head), number) for name, head, number in part] for part in parts]


@pytest.mark.parametrize("size", [1, 4, 7, 100])
def test_rows_are_streamed_in_parts_by_every_driver(engine: Engine, size: int) -> None:
    with Session(engine) as session, session.begin():
        ledger.open_account(session, "acme")
        ledger.grant_credits(session, "acme", 10)
        ledger.execute(session, [ledger.Reserve("acme", 1) for _ in range(8)])
    with engine.connect() as connection:
        whole = fetch_raw(connection, _NUMBERED, ("acme", 2))
        parts = numbered(connection, size)
    assert [row for part in parts for row in part] == whole
    assert len(whole) == 7
    assert [len(part) for part in parts] == [size] * (7 // size) + [7 % size] * (7 % size > 0)
    assert [row for part in asyncio.run(numbered_async(engine, size)) for row in part] == whole


async def numbered_async(engine: Engine, size: int) -> list[list[Any]]:
    """The same by the database's driver for asyncio."""
    driver = "sqlite+aiosqlite" if engine.dialect.name == "sqlite" else "postgresql+psycopg"
    async_engine = create_async_engine(engine.url.set(drivername=driver))
    async with async_engine.connect() as connection:
        parts = await connection.run_sync(numbered, size)
    await async_engine.dispose()
    return parts


def test_a_stream_that_is_left_early_holds_up_nothing(session: Session) -> None:
    ledger.execute(session, [ledger.OpenAccount(f"a{number}", START) for number in range(9)])
    connection = session.connection()
    for _ in range(2):
        parts = stream_raw(connection, "SELECT account_id FROM ledger_account ORDER BY 1", size=2)
        assert [row[0] for _ in range(2) for row in next(parts)] == ["a0", "a1", "a2", "a3"]
        parts.close()
    ledger.grant_credits(session, "a0", 1)
    assert ledger.get_balance(session, "a0").available == 1
