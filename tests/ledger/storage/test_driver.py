"""Statements through the driver: what it is given, and that drivers which mark parameters otherwise do the same."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

import ledger
from ledger.storage.driver import DriverStatement
from tests.ledger.conftest import START

ODD = "SELECT CAST(:k0 AS text) AS a, '%' AS b, CAST(:a1 AS bigint) % 4 AS c, 'x'::text AS d"


def test_parameters_are_marked_as_the_driver_wants_them() -> None:
    statement = DriverStatement.of(ODD)
    assert statement.pyformat == (
        "SELECT CAST(%(k0)s AS text) AS a, '%%' AS b, CAST(%(a1)s AS bigint) %% 4 AS c, 'x'::text AS d"
    )


@pytest.mark.parametrize("paramstyle", ["pyformat", "format"])
def test_a_book_is_the_same_past_sqlalchemy_and_through_it(postgresql_url: str, paramstyle: str) -> None:
    engine = ledger.create_engine(postgresql_url, paramstyle=paramstyle)
    with Session(engine) as session, session.begin():
        found = DriverStatement.of(ODD).fetch(session.connection(), {"k0": ":k0 %s", "a1": "7"})
        assert [tuple(row) for row in found] == [(":k0 %s", "%", 3, "x")]
        ledger.open_account(session, "acme", at=START)
        ledger.grant_credits(session, "acme", 100, at=START)
        holds = ledger.execute(session, [ledger.Reserve("acme", 1, f"k{number}", at=START) for number in range(40)])
        again = ledger.execute(session, [ledger.Reserve("acme", 1, f"k{number}", at=START) for number in range(40)])
        assert [isinstance(hold, ledger.Reservation) and hold.replayed for hold in (*holds, *again)] == (
            [False] * 40 + [True] * 40
        )
        assert list(ledger.audit(session)) == []
    engine.dispose()


@pytest.mark.parametrize("paramstyle", ["pyformat", "format"])
def test_what_the_database_refuses_is_raised_with_its_state(postgresql_url: str, paramstyle: str) -> None:
    engine = ledger.create_engine(postgresql_url, paramstyle=paramstyle)
    with engine.connect() as connection:
        with pytest.raises(DBAPIError) as raised:
            DriverStatement.of("UPDATE ledger_account SET sequence = :a0").carry_out(connection, {"a0": "x"})
        assert getattr(raised.value.orig, "sqlstate", None) in ("22P02", "42804")
        connection.rollback()
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
    engine.dispose()


def test_a_connection_that_was_closed_is_lost_as_one_that_breaks(postgresql_url: str) -> None:
    engine = ledger.create_engine(postgresql_url)
    with engine.connect() as connection:
        connection.begin()
        connection.connection.dbapi_connection.close()  # type: ignore[union-attr]
        with pytest.raises(DBAPIError) as raised:
            DriverStatement.of("SELECT 1").fetch(connection, {})
        assert raised.value.connection_invalidated
        assert connection.invalidated
    engine.dispose()


def test_errors_of_the_sqlite_driver_are_raised_as_sqlalchemy_raises_them(sqlite_url: str) -> None:
    engine = ledger.create_engine(sqlite_url)
    with Session(engine) as session:
        session.execute(text("DROP TABLE ledger_transfer"))
        ledger.open_account(session, "acme")
        with pytest.raises(OperationalError, match="no such table"):
            ledger.grant_credits(session, "acme", 1)
    engine.dispose()
