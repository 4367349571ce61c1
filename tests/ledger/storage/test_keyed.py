"""Set-wise statements: what they make of hard values, and how PostgreSQL carries them out on a new database."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

import ledger
from ledger.storage import array_literals
from ledger.storage import keyed as bulk
from tests.ledger.conftest import START

HARD = ['"', "\\", '","', "{}", "NULL", "null", " ", "a,b", "é\u2028", "'", "\t\n", "%s", ":row", "$1"]
_SCANS = text("SELECT relname, seq_scan FROM pg_stat_xact_user_tables WHERE relname LIKE 'ledger%'")


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


COLUMNS = [("text", HARD), ("bigint", [0, -1, 2**63 - 1]), ("bytea", [b"", b"\x00\xff", b'"\\'])]


@pytest.mark.parametrize(("kind", "values"), COLUMNS)
def test_a_column_says_what_its_values_say_one_by_one(kind: str, values: list[object]) -> None:
    for column in (values, values[:1], [None, *values], [*values, None], [None], [None, None]):
        assert array_literals.items(kind, column) == ",".join(array_literals.item(kind, value) for value in column)


def test_a_new_database_looks_keys_up_by_index_before_it_has_statistics(postgresql_url: str) -> None:
    engine: Engine = ledger.create_engine(postgresql_url)
    with Session(engine) as session, session.begin():
        session.execute(text("SET plan_cache_mode = force_generic_plan"))
        ledger.open_account(session, "acme")
        ledger.grant_credits(session, "acme", 10_000)
        for batch in range(3):
            holds = ledger.execute(session, [ledger.Reserve("acme", 1, f"{batch}-{n}") for n in range(300)])
        before = dict(session.execute(_SCANS).all())
        reservations = [hold.reservation_id for hold in holds if isinstance(hold, ledger.Reservation)]
        ledger.execute(session, [ledger.Capture(name, key=f"c{name}") for name in reservations])
        after = dict(session.execute(_SCANS).all())
    engine.dispose()
    assert len(reservations) == 300
    assert after["ledger_entry"] == before["ledger_entry"]


def test_rows_read_through_the_driver_are_what_was_written(session: Session) -> None:
    ledger.open_account(session, "é", at=START)
    ledger.grant_credits(session, "é", 2**40, key="k", at=START)
    statement = "SELECT account_id, e.sequence, key, hash, reservation FROM ledger_entry e WHERE account_id = {0}"
    (entry,) = ledger.get_statement(session, "é").entries
    assert bulk.fetch_raw(session.connection(), statement, ("é",)) == [("é", 1, "k", bytes.fromhex(entry.hash), None)]


def test_what_the_driver_raises_is_raised_as_sqlalchemy_does(session: Session) -> None:
    with pytest.raises(DBAPIError) as raised:
        bulk.fetch_raw(session.connection(), "SELECT nothing FROM ledger_account WHERE account_id = {0}", ("a",))
    assert not raised.value.connection_invalidated


def test_a_connection_lost_while_reading_is_not_used_again(postgresql_url: str) -> None:
    engine = ledger.create_engine(postgresql_url)
    with engine.connect() as reader, engine.connect() as other:
        pid = reader.execute(text("SELECT pg_backend_pid()")).scalar_one()
        other.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid})
        with pytest.raises(DBAPIError) as raised:
            bulk.fetch_raw(reader, "SELECT {0}", (1,))
        assert raised.value.connection_invalidated
        assert reader.invalidated
    engine.dispose()


_NUMBERED = "SELECT account_id, hash, sequence FROM ledger_entry WHERE account_id = {0} AND sequence > {1} ORDER BY 3"


def numbered(connection: Connection, size: int) -> list[list[Any]]:
    """Entries as they are streamed, part by part."""
    parts = bulk.stream_raw(connection, _NUMBERED, ["acme", 2], size=size)
    return [[(name, bytes(head), number) for name, head, number in part] for part in parts]


@pytest.mark.parametrize("size", [1, 4, 7, 100])
def test_rows_are_streamed_in_parts_by_every_driver(engine: Engine, size: int) -> None:
    with Session(engine) as session, session.begin():
        ledger.open_account(session, "acme")
        ledger.grant_credits(session, "acme", 10)
        ledger.execute(session, [ledger.Reserve("acme", 1) for _ in range(8)])
    with engine.connect() as connection:
        whole = bulk.fetch_raw(connection, _NUMBERED, ("acme", 2))
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
        parts = bulk.stream_raw(connection, "SELECT account_id FROM ledger_account ORDER BY 1", size=2)
        assert [row[0] for _ in range(2) for row in next(parts)] == ["a0", "a1", "a2", "a3"]
        parts.close()
    ledger.grant_credits(session, "a0", 1)
    assert ledger.get_balance(session, "a0").available == 1
