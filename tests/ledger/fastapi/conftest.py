"""A service over two accounts, mounted in each way that a host can mount it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

import ledger
from estimator import DatasetProfile, RateCardBook, shipped_card
from ledger.fastapi import create_router, install_error_handlers

COLUMNS = ("question", "answer", "topic", "picture")
DATASETS = {
    ("acme", "d1"): DatasetProfile(1640, COLUMNS),
    ("acme", "huge"): DatasetProfile(99_000, COLUMNS),
    ("acme", "uncounted"): DatasetProfile(None, COLUMNS),
    ("beta", "d2"): DatasetProfile(100, COLUMNS),
}
TOKENS = {"token-of-acme": "acme", "token-of-beta": "beta"}
BODY: dict[str, Any] = {"column_mapping": {"prompt": "question"}}


def keyed(key: str, **body: Any) -> dict[str, Any]:
    """A run that may be sent again."""
    return BODY | {"job_specification": {"idempotency_key": key}} | body


def fill(engine: Engine) -> None:
    """Two accounts, each with 100 credits."""
    ledger.upgrade(engine)
    with Session(engine) as session, session.begin():
        for name in ("acme", "beta"):
            ledger.open_account(session, name)
            ledger.grant_credits(session, name, 100)


@dataclass(slots=True)
class Service:
    """A running service, and the engine by which a test looks behind it."""

    client: TestClient
    engine: Engine
    app: FastAPI
    started: list[str] = field(default_factory=list)

    def post(self, body: Any = None, dataset: str = "d1", *, path: str = "run", **options: Any) -> httpx.Response:
        """Send a run of acme's."""
        options.setdefault("headers", {"Authorization": "Bearer token-of-acme"})
        content = {"content": body} if isinstance(body, bytes) else {"json": BODY if body is None else body}
        return self.client.post(f"/api/v1/datasets/{dataset}/{path}", **content, **options)

    def get(self, path: str, token: str = "token-of-acme", **options: Any) -> httpx.Response:
        """Read something of an account's."""
        return self.client.get(f"/api/v1/{path}", headers={"Authorization": f"Bearer {token}"}, **options)

    def held(self, account_id: str = "acme") -> int:
        """The whole credits that an account has on hold."""
        with Session(self.engine) as session:
            return int(ledger.get_balance(session, account_id).held)


def host(database: Any, **options: Any) -> FastAPI:
    """An application with the routes, and with the defaults of these tests."""
    app = FastAPI()
    defaults: dict[str, Any] = {
        "accounts": TOKENS.get,
        "profiles": lambda session, account_id, dataset_id: DATASETS.get((account_id, dataset_id)),
        "cards": RateCardBook([shipped_card("observed")]),
    }
    app.include_router(create_router(database, **(defaults | options)))
    install_error_handlers(app)
    return app


Mount = Callable[..., Service]


@pytest.fixture
def mount(engine: Engine) -> Iterator[Mount]:
    """Makes a service on SQLite and on PostgreSQL, given what differs from the defaults."""
    fill(engine)
    with ExitStack() as stack:

        def make(**options: Any) -> Service:
            app = host(engine, **options)
            return Service(stack.enter_context(TestClient(app, raise_server_exceptions=False)), engine, app)

        yield make


@pytest.fixture
def service(mount: Mount) -> Service:
    """A service on SQLite and on PostgreSQL."""
    return mount()


@pytest.fixture(params=["engine", "async engine", "session", "async session"])
def any_service(request: pytest.FixtureRequest, engine: Engine) -> Iterator[Service]:
    """A service on each kind of database, given to the router in each way that there is, over each driver for it."""
    fill(engine)
    of_postgresql = "postgresql+asyncpg" if request.param == "async session" else "postgresql+psycopg"
    driver = of_postgresql if engine.dialect.name == "postgresql" else "sqlite+aiosqlite"
    async_engine = create_async_engine(engine.url.set(drivername=driver))
    ledger.prepare_engine(async_engine.sync_engine)

    def of_host() -> Iterator[Session]:
        with Session(engine) as session:
            yield session

    async def of_async_host() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(async_engine) as session:
            yield session

    given = {"engine": engine, "async engine": async_engine, "session": of_host, "async session": of_async_host}
    app = host(given[request.param])
    with TestClient(app) as client:
        yield Service(client, engine, app)
        assert client.portal is not None
        client.portal.call(async_engine.dispose)
