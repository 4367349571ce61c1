"""Fixtures for pytest: `pytest_plugins = ["ledger.testing.fixtures"]` in your top `conftest.py`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from ledger.testing.engines import memory_engine


@pytest.fixture
def ledger_engine() -> Iterator[Engine]:
    """An engine on a new ledger in memory."""
    with memory_engine() as engine:
        yield engine


@pytest.fixture
def ledger_session(ledger_engine: Engine) -> Iterator[Session]:
    """A session on a new ledger in memory, rolled back at the end unless the test commits."""
    with Session(ledger_engine) as session:
        yield session
