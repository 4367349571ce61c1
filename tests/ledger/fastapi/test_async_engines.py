"""A service on an async engine of PostgreSQL answers alike over each driver when its database does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

import ledger
from tests.ledger.fastapi.conftest import BODY, Service, fill, host, keyed

DRIVERS = ["psycopg", "asyncpg"]


@pytest.fixture
def plain(postgresql_url: str) -> Iterator[Engine]:
    """A synchronous engine on a book."""
    engine = ledger.create_engine(postgresql_url)
    fill(engine)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_run_is_held_up_for_as_long_as_a_statement_may_take(plain: Engine, driver: str) -> None:
    """With a key it may be sent again, without one it waits for the database; neither holds anything."""
    async_engine = create_async_engine(plain.url.set(drivername=f"postgresql+{driver}"))
    app = host(async_engine, statement_seconds=1)
    with TestClient(app, raise_server_exceptions=False) as client, plain.connect() as other:
        service = Service(client, plain, app)
        other.execute(text("SELECT 1 FROM ledger_account WHERE account_id = 'acme' FOR UPDATE"))
        with_key, without = service.post(keyed("k")), service.post(BODY)
        other.rollback()
        assert (with_key.status_code, with_key.json()["code"]) == (409, "launch_in_flight")
        assert (without.status_code, without.json()["code"]) == (503, "database_unavailable")
        assert service.held() == 0
        assert service.post(keyed("k")).status_code == 200
        assert client.portal is not None
        client.portal.call(async_engine.dispose)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_database_that_is_not_there_is_unavailable(plain: Engine, driver: str) -> None:
    """Whatever the driver raises when it cannot connect."""
    nowhere = make_url("postgresql://nobody@127.0.0.1:1/none").set(drivername=f"postgresql+{driver}")
    app = host(create_async_engine(nowhere))
    with TestClient(app, raise_server_exceptions=False) as client:
        service = Service(client, plain, app)
        for answer in (service.post(keyed("k")), service.post(BODY), service.get("balance")):
            assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
