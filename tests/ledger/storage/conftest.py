"""An engine whose one connection every transaction gets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

import ledger
from tests.ledger.shorthand import fund


@pytest.fixture
def one(postgresql_url: str) -> Iterator[Engine]:
    """An engine of one connection on a PostgreSQL database with a funded account, whose revision was looked at."""
    engine = ledger.create_engine(postgresql_url, pool_size=1, max_overflow=0)
    fund(engine)
    yield engine
    engine.dispose()
