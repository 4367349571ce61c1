"""A ledger in memory, which lasts until it is closed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, StaticPool

from ledger.schema.migrations import upgrade
from ledger.storage.engines import create_engine


@contextmanager
def memory_engine() -> Iterator[Engine]:
    """An engine on a new SQLite database in memory, with the ledger's tables.

    All threads share its one connection, so one transaction runs at a time. Use a file for concurrent transactions.
    """
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    try:
        upgrade(engine)
        yield engine
    finally:
        engine.dispose()
