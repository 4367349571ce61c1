"""Every value of every row, altered by a hair, every row removed, copied or swapped: the audit names the account."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

import ledger
from ledger.finance import close_period
from ledger.schema.tables import metadata
from ledger.schema.triggers import remove_triggers
from tests.drivers import create_engine
from tests.ledger.conftest import START, later
from tests.ledger.test_runs import launch

pytestmark = pytest.mark.external
"""Takes long; run by .ci/run."""

TABLES = [table.name for table in metadata.sorted_tables]
OF_DELIVERIES = {"ledger_outbox": {"attempts", "next_attempt_at", "ended_at", "error"}}
"""What no entry says: how far the delivery of a start is. Only that it has a shape that a delivery leaves is held."""


def write_book(session: Session, name: str) -> None:
    """Every verb once, and so every kind of entry and of row."""
    ledger.open_account(session, name, at=START)
    ledger.set_credit_line(session, name, 3, key="line", at=START)
    ledger.set_limit(session, name, "day", 500, label="project", at=START)
    ledger.set_limit(session, name, "concurrent", 50, at=START)
    ledger.grant_credits(session, name, 10, key="first", metadata={"a": [1]}, external_ref="in_1", at=later(1))
    ledger.grant_credits(session, name, 5, scope={"project": ["p"]}, kind="promotional", at=later(1))
    ledger.grant_credits(session, name, 4, recurrence=ledger.Recurrence("hour", rollover_max=2), at=later(2))
    ledger.grant_credits(session, name, 2, effective_at=later(30), expires_at=later(60), at=later(2))
    labels, lasts = {"project": "p"}, timedelta(seconds=500)
    hold = ledger.reserve(session, name, 9, expires_in=lasts, grace=lasts, labels=labels, key="h", at=later(3))
    ledger.capture(session, hold.reservation_id, 2, final=False, at=later(4))
    ledger.extend(session, hold.reservation_id, lasts, at=later(5))
    ledger.capture(session, hold.reservation_id, 8, over="if_available", at=later(6))
    ledger.refund(session, hold.reservation_id, 3, reason="empty", at=later(7))
    ledger.release(session, ledger.reserve(session, name, 1, at=later(8)).reservation_id, at=later(9))
    big = ledger.reserve(session, name, 50, at_most=True, expires_in=timedelta(seconds=5), at=later(10))
    ledger.capture(session, big.reservation_id, at=later(11))
    ledger.grant_credits(session, name, 100, at=later(12))  # repays the line
    ledger.reserve(session, name, 2, expires_in=timedelta(seconds=3), at=later(13))  # lapses
    ledger.adjust(session, name, -1, reason="x", at=later(40))
    ledger.adjust(session, name, 1, reason="x", at=later(41))
    unwanted = ledger.grant_credits(session, name, 1, at=later(42))
    ledger.revoke_grant(session, unwanted.grant_id, at=later(42))
    launch(session, account_id=name, at=later(43))
    ledger.expire_due(session, account_id=name, at=later(4000))
    ledger.reserve(session, name, 1, expires_in=timedelta(days=1), labels=labels, at=later(4001))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def book(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Two accounts, and nothing in the database that refuses a change any more."""
    postgres = request.getfixturevalue("postgres")
    folder = request.getfixturevalue("tmp_path_factory").mktemp("book")
    url = f"sqlite:///{folder / 'book.sqlite'}" if request.param == "sqlite" else postgres.create()
    engine = create_engine(url)
    ledger.upgrade(engine)
    with Session(engine) as session, session.begin():
        for name in ("acme", "beta"):
            write_book(session, name)
        close_period(session, "2026-02-28", zone="Etc/GMT+1", by="a test")  # up to an hour after the start
    with engine.begin() as connection:
        remove_triggers(connection)
        if request.param == "postgresql":
            for table, constraint in connection.execute(_CONSTRAINTS).all():
                connection.execute(text(f'ALTER TABLE {table} DROP CONSTRAINT "{constraint}" CASCADE'))
    yield engine
    engine.dispose()
    if request.param == "postgresql":
        postgres.drop(url)


_CONSTRAINTS = text(
    "SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE contype IN ('c', 'f')"
    " AND conrelid::regclass::text LIKE 'ledger_%' ORDER BY contype DESC"
)


@pytest.fixture
def connection(book: Engine) -> Iterator[Connection]:
    """A connection whose changes are undone."""
    with book.connect() as connection:
        if book.dialect.name == "sqlite":
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection
        connection.rollback()


def altered(value: Any) -> list[Any]:
    """A value changed by a hair, in one way or another."""
    if value is None:
        return [7, "x"]
    if isinstance(value, int):
        return [value + 1, value - 1]
    if isinstance(value, bytes):
        return [bytes([value[0] ^ 1]) + value[1:], value[:-1] + bytes([value[-1] ^ 128])]
    return [value + " ", chr(ord(value[0]) ^ 1) + value[1:] if value else "x"]


def audit(connection: Connection) -> list[ledger.Finding]:
    """The findings of the whole book."""
    with Session(connection) as session:
        return list(ledger.audit(session))


def attempt(connection: Connection, statement: str, values: dict[str, Any]) -> bool:
    """Change something in a savepoint that is undone; True where the audit finds it, or the database refuses it."""
    with connection.begin_nested() as savepoint:
        try:
            with connection.begin_nested():
                connection.execute(text(statement), values)
        except DBAPIError:
            return True  # a key, a type: the change cannot even be made
        findings = audit(connection)
        savepoint.rollback()
    return bool(findings) and {finding.account_id for finding in findings} <= {"acme", "acmf", "bcme", "`cme", "acme "}


def rows_of(connection: Connection, table: str) -> list[dict[str, Any]]:
    """An account's rows of a table, a few of each kind."""
    rows = [
        dict(row) for row in connection.execute(text(f"SELECT * FROM {table} WHERE account_id = 'acme'")).mappings()
    ]
    chosen = rows if len(rows) <= 8 else random.Random(table).sample(rows, 8)
    return [{name: bytes(v) if isinstance(v, memoryview) else v for name, v in row.items()} for row in chosen]


def where(table: str) -> str:
    """The condition that names a row by its key."""
    keys = [column.name for column in metadata.tables[table].primary_key.columns]
    return " AND ".join(f"{name} = :key_{name}" for name in keys)


def key_of(table: str, row: dict[str, Any]) -> dict[str, Any]:
    """The values of that condition."""
    return {f"key_{column.name}": row[column.name] for column in metadata.tables[table].primary_key.columns}


def test_the_book_is_clean_and_has_rows_of_every_kind(connection: Connection) -> None:
    assert audit(connection) == []
    kinds = set(connection.execute(text("SELECT DISTINCT kind FROM ledger_entry")).scalars())
    assert kinds >= {str(kind) for kind in ledger.EntryKind}
    assert all(rows_of(connection, table) for table in TABLES)


@pytest.mark.parametrize("table", TABLES)
def test_any_value_that_is_altered_is_found(connection: Connection, table: str) -> None:
    missed = []
    for row in rows_of(connection, table):
        for name, value in row.items():
            if name in OF_DELIVERIES.get(table, ()):
                continue
            for other in altered(value):
                statement = f"UPDATE {table} SET {name} = :other WHERE {where(table)}"
                if not attempt(connection, statement, {"other": other, **key_of(table, row)}):
                    missed.append((name, value, other))
    assert missed == []


@pytest.mark.parametrize("table", TABLES)
def test_any_row_that_is_removed_is_found(connection: Connection, table: str) -> None:
    for row in rows_of(connection, table):
        assert attempt(connection, f"DELETE FROM {table} WHERE {where(table)}", key_of(table, row)), row


@pytest.mark.parametrize("table", [name for name in TABLES if name != "ledger_account"])
def test_any_row_that_is_copied_under_another_key_is_found(connection: Connection, table: str) -> None:
    columns = [column.name for column in metadata.tables[table].columns]
    last = list(metadata.tables[table].primary_key.columns)[-1]
    other = "'zzz'" if isinstance(last.type, sa.Text) else "999999"
    unset = {"key": "NULL", "digest": "NULL", "dataset_id": "NULL", "started_ms": "NULL", "value": "'zzz'"}
    chosen = ", ".join(other if name == last.name else unset.get(name, name) for name in columns)
    for row in rows_of(connection, table):
        statement = f"INSERT INTO {table} ({', '.join(columns)}) SELECT {chosen} FROM {table} WHERE {where(table)}"
        assert attempt(connection, statement, key_of(table, row)), row


@pytest.mark.parametrize("table", [name for name in TABLES if name != "ledger_account"])
def test_a_row_of_an_account_that_does_not_exist_is_found_as_such(connection: Connection, table: str) -> None:
    columns = [column.name for column in metadata.tables[table].columns]
    chosen = ", ".join("'amid'" if name == "account_id" else name for name in columns)
    connection.execute(
        text(f"INSERT INTO {table} ({', '.join(columns)}) SELECT {chosen} FROM {table} WHERE account_id = 'acme'")
    )
    assert {(finding.account_id, finding.code) for finding in audit(connection)} == {("amid", "account_missing")}


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_tail_that_is_cut_off_is_found_at_its_first_missing_entry(connection: Connection, count: int) -> None:
    last = connection.execute(text("SELECT sequence FROM ledger_account WHERE account_id = 'acme'")).scalar_one()
    for table in ("ledger_transfer", "ledger_entry"):
        connection.execute(text(f"DELETE FROM {table} WHERE account_id = 'acme' AND sequence > {last - count}"))
    found = audit(connection)
    assert {finding.account_id for finding in found} == {"acme"}
    assert found[0].sequence == last - count + 1


def test_an_entry_that_is_altered_is_named_as_the_first_bad_one(connection: Connection) -> None:
    last = connection.execute(text("SELECT sequence FROM ledger_account WHERE account_id = 'acme'")).scalar_one()
    for sequence in range(1, last + 1):
        with connection.begin_nested() as savepoint:
            connection.execute(
                text(
                    "UPDATE ledger_entry SET recorded_at = recorded_at + 1 WHERE account_id = 'acme'"
                    f" AND sequence = {sequence}"
                )
            )
            found = audit(connection)
            savepoint.rollback()
        assert (found[0].account_id, found[0].sequence, found[0].code) == ("acme", sequence, "entry_altered")
