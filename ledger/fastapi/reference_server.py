"""The reference server: the routes over a folder of datasets, with everything that a host supplies at its simplest.

It is a host like any other, and shows what one does: who asks, which datasets there are, what of its own it writes
with a launch (the language expansion that a dataset keeps), and how runs start and end.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from typing import Any

import anyio
from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Request, Response
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from starlette.exceptions import HTTPException

from estimator import DatasetProfile, LanguageExpansion, RateCardBook, RunOutcome, RunRequest
from ledger.errors import LedgerError
from ledger.fastapi.identity import Tokens
from ledger.fastapi.refusals import JSONBody, Refusal, RequestRefused, Unavailable, answer_error, cause_of
from ledger.fastapi.router import create_router
from ledger.fastapi.telemetry import told, warn
from ledger.model.values import Launch, ReservationState
from ledger.outbox import RunStart
from ledger.reservations import list_reservations
from ledger.runs import RunState, find_last_run, settle_run
from ledger.schema.migrations import check_schema, take_turn
from ledger.storage.transactions import run_transaction

_CREATE = text(
    "CREATE TABLE IF NOT EXISTS served_expansion (account_id TEXT NOT NULL, dataset_id TEXT NOT NULL,"
    " expansion TEXT NOT NULL, PRIMARY KEY (account_id, dataset_id))"
)
_OF_DATASET = "account_id = :account_id AND dataset_id = :dataset_id"
_READ = text(f"SELECT expansion FROM served_expansion WHERE {_OF_DATASET}")
_CLEAR = text(f"DELETE FROM served_expansion WHERE {_OF_DATASET}")
_SAVE = text("INSERT INTO served_expansion VALUES (:account_id, :dataset_id, :expansion)")

_LOOK_SECONDS = 0.25
_READY_SECONDS = 5
_PROBES_MAX = 2
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Reference:
    """What the reference server serves. Tokens are by account; `run_seconds` lets runs succeed after that long."""

    engine: Engine
    datasets: Mapping[str, DatasetProfile]
    tokens: Mapping[str, str]
    cards: RateCardBook
    run_seconds: float | None = None

    @property
    def accounts(self) -> list[str]:
        """The accounts that tokens name."""
        return sorted(set(self.tokens.values()))


def create_app(reference: Reference) -> FastAPI:
    """The application; its database has the ledger's tables already."""
    with reference.engine.begin() as connection:
        # PostgreSQL fails one of two that create a table at once, though each asks whether it exists.
        take_turn(connection)
        connection.execute(_CREATE)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if reference.run_seconds is not None:
                await stack.enter_async_context(_finishing(reference, timedelta(seconds=reference.run_seconds)))
            yield

    app = FastAPI(
        title="run-credits",
        version=version("run-credits"),
        summary="Prices augmentation runs, holds their credits, and shows the account's book.",
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.include_router(
        create_router(
            reference.engine,
            accounts=Tokens(reference.tokens),
            profiles=lambda session, account_id, dataset_id: _profile(reference, session, account_id, dataset_id),
            cards=reference.cards,
            on_launch=keep_expansion,
            start=_start,
        )
    )
    app.add_exception_handler(RequestRefused, answer_error)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(Exception, _answer_defect)
    _add_health(app, reference.engine)
    return app


def _profile(reference: Reference, session: Session, account_id: str, dataset_id: str) -> DatasetProfile | None:
    """Every account has every dataset; the language expansion that each keeps is its own."""
    profile = reference.datasets.get(dataset_id)
    if profile is None:
        return None
    kept = session.execute(_READ, {"account_id": account_id, "dataset_id": dataset_id}).scalar_one_or_none()
    if kept is None:
        return profile
    return replace(profile, language_expansion=LanguageExpansion.model_validate(json.loads(kept)))


def keep_expansion(session: Session, launch: Launch, request: RunRequest) -> None:
    """Keep the language expansion of a run for later ones, or clear it; left out of the request, it stays."""
    expansion = request.to_wire().get("language_expansion")
    if expansion is None and not request.expansion_cleared:
        return
    names = {"account_id": launch.account_id, "dataset_id": launch.dataset_id}
    session.execute(_CLEAR, names)
    if expansion is not None:
        session.execute(_SAVE, names | {"expansion": json.dumps(expansion)})


def _start(run: RunStart) -> None:
    """Where a host would start its pipeline."""
    told("start", account_id=run.account_id, run_id=run.run_id, start_id=run.start_id)


@asynccontextmanager
async def _finishing(reference: Reference, after: timedelta) -> AsyncIterator[None]:
    """Let runs succeed in the background, once they have lasted long enough."""

    async def look() -> None:
        while True:
            try:
                await to_thread.run_sync(finish_runs, reference.engine, reference.accounts, after)
            except (SQLAlchemyError, LedgerError) as error:
                warn("settle", "settle_failed", cause=cause_of(error))
            await anyio.sleep(_LOOK_SECONDS)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look)
        yield
        tasks.cancel_scope.cancel()


def finish_runs(engine: Engine, accounts: Iterable[str], after: timedelta) -> None:
    """Settle as succeeded, every row delivered, each run that was launched so long ago."""
    for account_id in accounts:
        run_transaction(engine, partial(_finish_runs, account_id=account_id, after=after))


def _finish_runs(session: Session, account_id: str, after: timedelta) -> None:
    before = datetime.now(UTC) - after
    held = list_reservations(session, account_id, state=ReservationState.HELD, limit=_PAGE)
    for dataset_id in {hold.dataset_id for hold in held if hold.dataset_id and hold.reserved_at <= before}:
        run = find_last_run(session, account_id, dataset_id)
        if run is not None and run.state is RunState.ACTIVE:
            outcome = RunOutcome("succeeded", run.rows, run.rows_output)
            settle_run(session, account_id=account_id, run_id=run.run_id, outcome=outcome)


def _add_health(app: FastAPI, engine: Engine) -> None:
    @app.get("/health", tags=["health"], summary="Is the process alive?")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    limiter = CapacityLimiter(_PROBES_MAX)

    @app.get("/ready", tags=["health"], summary="Can it answer: is the database there, with this version's tables?")
    async def ready() -> Response:
        try:
            with anyio.fail_after(_READY_SECONDS):
                await to_thread.run_sync(check_schema, engine, limiter=limiter, abandon_on_cancel=True)
        except (SQLAlchemyError, LedgerError, TimeoutError) as error:
            warn("ready", Unavailable.code, cause=cause_of(error))
            raise Unavailable(cause_of(error)) from None
        return JSONBody({"status": "ready"})

    for path, probe in (("/health", health), ("/ready", ready)):
        app.add_api_route(path, probe, methods=["HEAD"], include_in_schema=False)


async def _answer_http(request: Request, error: Any) -> Response:
    """What the framework itself refuses, such as a path that does not exist, in the wire's form."""
    message = f"{error.detail}. See /docs for the paths and methods that there are."
    refusal = Refusal(error.status_code, "no_such_route", message, {})
    refusal.headers |= dict(error.headers or {})
    return refusal.to_response()


async def _answer_defect(request: Request, error: Exception) -> Response:
    """A defect says nothing of itself to a client; the server's log has it."""
    message = "This is a defect of the server. Send the request again later, unchanged."
    return Refusal(500, "defect", message, {}).to_response()
