"""How often the routes wait for PostgreSQL, counted at a proxy: their limits of time and their account go along."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

import ledger
from tests.ledger.fastapi.conftest import BODY, Service, fill, host, keyed
from tests.round_trips import RoundTrips


@pytest.fixture
def trips(postgresql_url: str) -> Iterator[tuple[Service, RoundTrips]]:
    """A service behind the proxy, on one connection that has been used."""
    with RoundTrips.counted(postgresql_url) as proxy:
        engine = ledger.create_engine(proxy.url, pool_size=1, max_overflow=0)
        fill(engine)
        app = host(engine)
        with TestClient(app) as client:
            service = Service(client, engine, app)
            assert service.get("balance").status_code == 200
            yield service, proxy
        engine.dispose()


def test_a_balance_and_an_estimate_wait_once(trips: tuple[Service, RoundTrips]) -> None:
    service, proxy = trips
    before = proxy.count
    assert service.get("balance").json()["available"] == 100
    assert proxy.count - before == 1
    assert service.post(BODY | {"estimate": True}).status_code == 200
    assert proxy.count - before == 2


def test_a_launch_waits_to_read_to_write_and_for_the_commit(trips: tuple[Service, RoundTrips]) -> None:
    service, proxy = trips
    before = proxy.count
    assert service.post(keyed("once")).status_code == 200
    assert proxy.count - before == 3
