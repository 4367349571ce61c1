"""What begins a transaction of the library's own, and how a connection goes back to its pool."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine

import ledger
from ledger.storage.stores.opening import OPENED, OPENING, Opening, close_openings

SETTINGS = (("a", "1"), ("b", "two"))


def test_the_settings_are_one_statement_of_values() -> None:
    (request,) = Opening(SETTINGS).requests()
    assert request.sql == "SELECT set_config($1, $2, true), set_config($3, $4, true)"
    assert list(request.values) == ["a", "1", "b", "two"]
    assert Opening().requests() == []


def test_for_statements_of_the_host_it_is_one_transaction_with_the_same_settings() -> None:
    assert Opening(SETTINGS, is_each_alone=True).of_host() == Opening(SETTINGS)


@pytest.mark.parametrize("is_opened", [True, False])
def test_a_connection_goes_back_to_its_pool_as_the_driver_made_it(postgresql_url: str, is_opened: bool) -> None:
    """One that no store has begun a transaction on keeps the mode that the host gave it."""
    engine: Engine = ledger.create_engine(postgresql_url, pool_size=1, max_overflow=0)
    for _ in range(2):
        close_openings(engine.pool)
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        driver.autocommit = True
        connection.info[OPENING] = Opening(SETTINGS)
        if is_opened:
            connection.info[OPENED] = True
    with engine.connect() as connection:
        assert connection.connection.driver_connection is driver
        assert not {OPENING, OPENED} & connection.info.keys()
        assert driver.autocommit is not is_opened
    engine.dispose()


def test_a_connection_that_was_closed_or_lost_is_left_alone(postgresql_url: str) -> None:
    engine: Engine = ledger.create_engine(postgresql_url, pool_size=1, max_overflow=0)
    close_openings(engine.pool)
    for end in (lambda connection: connection.connection.driver_connection.close(), lambda found: found.invalidate()):
        with engine.connect() as connection:
            connection.info[OPENED] = True
            end(connection)
        with engine.connect() as connection:
            assert OPENED not in connection.info
            assert connection.exec_driver_sql("SELECT 1").scalar_one() == 1
    engine.dispose()
