"""The driver past SQLAlchemy: what it raises is raised as SQLAlchemy raises it, and a lost connection is let go."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, InvalidRequestError, OperationalError, ProgrammingError

import ledger
from ledger.storage.driver import driver_cursor, raised_as_sqlalchemy, transaction_begun


def test_an_error_of_the_driver_is_raised_as_sqlalchemys_with_the_drivers_behind_it(engine: Engine) -> None:
    """By the class that SQLAlchemy has for it, and the connection stays."""
    expected = OperationalError if engine.dialect.name == "sqlite" else ProgrammingError
    with engine.connect() as connection:
        connection.begin()
        with pytest.raises(expected) as raised, driver_cursor(connection) as cursor:
            cursor.execute("SELECT nothing")
        assert isinstance(raised.value.orig, engine.dialect.loaded_dbapi.Error)
        connection.rollback()
        connection.begin()
        with pytest.raises(expected), raised_as_sqlalchemy(connection):
            connection.connection.cursor().execute("SELECT nothing")
        connection.rollback()
        assert not connection.invalidated
        assert connection.execute(text("SELECT 1")).scalar_one() == 1


def test_any_other_error_is_raised_as_it_is(engine: Engine) -> None:
    with engine.connect() as connection:
        with pytest.raises(KeyError), driver_cursor(connection):
            raise KeyError
        with pytest.raises(KeyError), raised_as_sqlalchemy(connection):
            raise KeyError


def test_what_the_database_refuses_is_raised_with_its_state(postgresql_url: str) -> None:
    engine = ledger.create_engine(postgresql_url)
    with engine.connect() as connection:
        with pytest.raises(DBAPIError) as raised, driver_cursor(connection) as cursor:
            cursor.execute("UPDATE ledger_account SET sequence = %s", ("x",))
        assert getattr(raised.value.orig, "sqlstate", None) == "22P02"
    engine.dispose()


def test_a_connection_that_was_closed_is_lost_as_one_that_breaks(postgresql_url: str) -> None:
    """SQLAlchemy finds it lost, so that the pool replaces it."""
    engine = ledger.create_engine(postgresql_url)
    with engine.connect() as connection:
        connection.begin()
        connection.connection.dbapi_connection.close()  # type: ignore[union-attr]
        with pytest.raises(DBAPIError) as raised, driver_cursor(connection):
            pass
        assert raised.value.connection_invalidated
        assert connection.invalidated
        connection.rollback()
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
    engine.dispose()


def test_a_transaction_begins_as_with_a_first_statement_or_is_refused_where_it_ended(engine: Engine) -> None:
    with engine.connect() as connection:
        transaction_begun(connection)
        assert connection.in_transaction()
        connection.rollback()
        with connection.begin() as transaction:
            transaction.rollback()
            with pytest.raises(InvalidRequestError):
                transaction_begun(connection)
