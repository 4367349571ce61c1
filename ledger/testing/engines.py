"""A ledger in memory, gone when it is closed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, StaticPool

from ledger.schema.migrations import upgrade
from ledger.storage.engines import create_engine


@contextmanager
def memory_engine() -> Iterator[Engine]:
    """An engine on a new SQLite database in memory, with the ledger's tables.

    It has one connection, which threads share: one transaction at a time. For concurrent ones use a file.
    """
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    try:
        upgrade(engine)
        yield engine
    finally:
        engine.dispose()
