"""Databases without tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

import ledger
from tests.postgres import Databases


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, postgres: Databases, tmp_path: Path) -> Iterator[Engine]:
    """An engine on a database without tables."""
    url = f"sqlite:///{tmp_path / 'old.sqlite'}" if request.param == "sqlite" else postgres.create()
    engine = ledger.create_engine(url)
    yield engine
    engine.dispose()
    if request.param == "postgresql":
        postgres.drop(url)
