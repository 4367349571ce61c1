"""What the stores send: the ledger's statements, which SQLAlchemy's events do not show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import Connection

from ledger.storage.stores.asyncpg import AsyncpgStore
from ledger.storage.stores.base import Request, Store
from ledger.storage.stores.psycopg import AsyncPsycopgStore, PsycopgStore
from ledger.storage.stores.sqlite import SqliteStore

STORES: tuple[type[Store], ...] = (PsycopgStore, AsyncPsycopgStore, AsyncpgStore, SqliteStore)

Run = Callable[[Store, Connection, Sequence[Request]], list[list[tuple[Any, ...]]]]


def record_requests(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """The requests of every store from now on, as they are sent; those of streams too."""
    requests: list[Request] = []
    for kind in STORES:
        _record(monkeypatch, kind, requests)
    return requests


def _record(monkeypatch: pytest.MonkeyPatch, kind: type[Store], requests: list[Request]) -> None:
    run, stream = kind.run, kind.stream

    def run_and_note(store: Store, connection: Connection, given: Sequence[Request]) -> list[list[tuple[Any, ...]]]:
        requests.extend(given)
        return run(store, connection, given)

    def stream_and_note(store: Store, connection: Connection, sql: str, values: Sequence[Any], size: int) -> Any:
        requests.append(Request(sql, values))
        return stream(store, connection, sql, values, size)

    monkeypatch.setattr(kind, "run", run_and_note)
    monkeypatch.setattr(kind, "stream", stream_and_note)
