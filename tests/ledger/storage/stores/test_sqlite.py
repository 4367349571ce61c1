"""SQLite's statements: many keys are one value, found by index, and many rows are one statement."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from sqlalchemy.orm import Session

import ledger
from ledger.schema.databases import capabilities_of
from ledger.schema.tables import CardRow
from ledger.storage import queries
from ledger.storage.shapes import RowShape, Write
from ledger.storage.stores import store_of
from ledger.storage.stores.base import Request
from ledger.storage.stores.sqlite import SqliteStore
from tests.ledger.conftest import START
from tests.ledger.statements import record_requests


@pytest.fixture
def store(sqlite_url: str) -> SqliteStore:
    """The store of a connection to SQLite."""
    engine = ledger.create_engine(sqlite_url)
    with engine.connect() as connection:
        found = SqliteStore(capabilities_of(connection))
    engine.dispose()
    return found


def test_one_key_is_plain_values_and_many_are_one_text(store: SqliteStore) -> None:
    one = store.select(queries.DUE_RESERVATIONS, [("a",)], (7,))
    many = store.select(queries.DUE_RESERVATIONS, [("a",), ('"b"',)], (7,))
    assert one is not None
    assert many is not None
    assert (one.sql, one.values) == (queries.DUE_RESERVATIONS.sql_of_one, (7, "a"))
    assert many.values == (7, '[["a"], ["\\"b\\""]]')
    assert store.select(queries.DUE_RESERVATIONS, [], (7,)) is None


def test_what_is_meant_for_each_key_is_a_statement_for_each(store: SqliteStore) -> None:
    found = store.select(queries.FIRST_GRANTS, [("a",), ("b",)])
    assert found == Request(queries.FIRST_GRANTS.sql_of_one, [("a",), ("b",)], is_each=True)


def test_no_row_is_locked(store: SqliteStore) -> None:
    """The transaction has the lock of the file."""
    for keys in ([("a",)], [("a",), ("b",)]):
        found = store.select(queries.LOCK_ACCOUNTS, keys)
        assert found is not None
        assert "FOR" not in found.sql.split()


def test_the_rows_of_a_table_are_one_statement_for_each_write(store: SqliteStore) -> None:
    rows = [("acme", f"c{number}", "{}") for number in range(3)]
    (request,) = store.writes([Write(RowShape.of(CardRow), rows)])
    assert (request.values, request.is_each, request.has_rows) == (rows, True, False)


def test_each_statement_of_a_request_answers_its_rows_in_order(sqlite_url: str) -> None:
    engine = ledger.create_engine(sqlite_url)
    asked = [
        Request("SELECT $1, $2", (1, "x")),
        Request("SELECT $1", [(1,), (2,)], is_each=True),
        Request("SELECT $2, $1, $2", (b"y", None)),
    ]
    with engine.connect() as connection:
        found: list[list[Any]] = store_of(connection).run(connection, asked)
    engine.dispose()
    assert found == [[(1, "x")], [(1,), (2,)], [(None, b"y", None)]]


def host_engine(url: str) -> Engine:
    """An engine that a host made itself, whose transactions begin late."""
    return sa.create_engine(url)


def test_the_lock_of_the_file_is_taken_where_a_transaction_did_not_begin_with_it(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared, plain = ledger.create_engine(sqlite_url), host_engine(sqlite_url)
    for engine in (prepared, plain):
        with Session(engine) as session:
            ledger.list_accounts(session)
    sent = record_requests(monkeypatch)
    for engine, count in ((prepared, 0), (plain, 1)):
        sent.clear()
        with engine.begin() as connection:
            store_of(connection).lock_database(connection)
            assert len(sent) == count
            driver: Any = connection.connection.driver_connection
            assert driver.in_transaction
    with Session(plain) as session, session.begin():
        assert ledger.open_account(session, "acme", at=START).account_id == "acme"
    for engine in (prepared, plain):
        engine.dispose()
