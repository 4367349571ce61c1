"""The router: the routes of the augmentation API's runs, and of the account's book, to be mounted by a host."""

# Without postponed annotations: the framework could not find what the functions within `create_router` name.

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request, Response
from pydantic import BeforeValidator
from sqlalchemy.exc import SQLAlchemyError

from estimator import RateCardBook
from estimator.credits import to_micro
from ledger.commands.runs import request_key
from ledger.fastapi import books, models
from ledger.fastapi.bodies import parse_body, read_body
from ledger.fastapi.delivery import StartDelivery
from ledger.fastapi.hosts import (
    AccountResolver,
    Host,
    LaunchHook,
    LaunchTerms,
    ProfileLookup,
    ProgressLookup,
    TermsLookup,
)
from ledger.fastapi.identity import authenticator
from ledger.fastapi.refusals import JSONBody, LaunchInFlight
from ledger.fastapi.routing import WireRoute, facts_of
from ledger.fastapi.runs import describe_dataset, launch_run
from ledger.fastapi.transactions import Transactions, delivering, opener
from ledger.model.values import ReservationState
from ledger.outbox import Handler
from ledger.storage.failures import is_waiting_over

BODY_BYTES_MAX = 256 * 1024
"""The largest body that is read by default."""

PAGE_MAX = 500
"""The most entries or reservations that one answer has."""

DatasetId = Annotated[str, Path(description="The dataset.", min_length=1, max_length=255, examples=["d1"])]
PageSize = Annotated[int, Query(description="The most to answer at once.", ge=1, le=PAGE_MAX)]

_BEGINS_WITH_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def _refuse_number(value: Any) -> Any:
    """Refuse a bare number, which the framework would read as seconds or milliseconds since 1970."""
    if isinstance(value, str) and not _BEGINS_WITH_DAY.match(value):
        raise ValueError("give a moment in ISO 8601 with a time zone, such as 2026-01-31T09:00:00Z")
    return value


Moment = Annotated[
    datetime | None,
    BeforeValidator(_refuse_number),
    Query(description="ISO 8601 with a time zone.", examples=["2026-01-31T09:00:00Z"]),
]


def create_router(
    database: Any,
    *,
    accounts: AccountResolver,
    profiles: ProfileLookup,
    cards: RateCardBook | Callable[[], RateCardBook],
    on_launch: LaunchHook | None = None,
    start: Handler | None = None,
    progress: ProgressLookup | None = None,
    terms: TermsLookup | None = None,
    outbox: bool = True,
    prefix: str = "/api/v1",
    body_bytes_max: int = BODY_BYTES_MAX,
    body_seconds: float = 30,
    statement_seconds: int = 5,
    threads: int = 12,
    delivery_interval: timedelta = timedelta(seconds=5),
) -> APIRouter:
    """Routes that the public client works against unchanged; include the router in your application.

    Args:
        database: your `Engine` (prepared with `ledger.prepare_engine`), your `AsyncEngine` (its `sync_engine`
            prepared), or your own dependency that yields a `Session` or `AsyncSession`; a session that it gives is
            committed by the route.
        accounts: the account of a bearer token.
        profiles: what is known of an account's dataset, looked up within the launch's transaction.
        cards: the rate cards, or a function that gives them.
        on_launch: writes what of yours belongs to a launch, within its transaction.
        start: called with each launched run after its commit, at least once, in a thread, by a task of the
            application's lifespan: see `ledger.deliver_outbox`. Needs an engine. Without it, deliver the outbox in a
            worker of your own.
        progress: how many rows a run has processed.
        terms: discount, voucher, labels and expiry of an account's launches.
        outbox: whether a launch writes its start to the outbox. False only where you start runs in another way.
        prefix: the path before `/datasets`.
        body_bytes_max: a larger body is refused with 413.
        body_seconds: a body that is not complete after this time is refused with 408.
        statement_seconds: the longest that one statement may take or wait on PostgreSQL.
        threads: the most transactions at once, on an engine or with plain sessions; no more than your pool has.
        delivery_interval: the time between two searches for starts that failed.

    Raises `ValueError` for `start` without an engine or without the outbox.
    """
    host = Host(profiles, cards, on_launch, progress, terms or _no_terms, outbox)
    delivery = None
    if start is not None:
        if not outbox:
            raise ValueError("start needs the outbox: leave outbox=False out, or start runs in another way.")
        delivery = StartDelivery(*delivering(database, start), delivery_interval)
    router = APIRouter(prefix=prefix, route_class=WireRoute, lifespan=None if delivery is None else _running(delivery))
    authenticated = authenticator(accounts)
    opened = opener(database, threads, statement_seconds)
    _add_runs(
        router,
        host,
        authenticated,
        opened,
        delivery,
        partial(read_body, bytes_max=body_bytes_max, seconds=body_seconds),
    )
    _add_status(router, host, authenticated, opened)
    _add_book(router, authenticated, opened)
    return router


_NO_TERMS = LaunchTerms()


def _no_terms(session: Any, account_id: str, dataset_id: str) -> LaunchTerms:
    return _NO_TERMS


def _running(delivery: StartDelivery) -> Any:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with delivery.running():
            yield

    return lifespan


async def _read(
    transactions: Transactions, work: Callable[..., dict[str, Any]], account_id: str, *, is_own: bool = True
) -> Response:
    """Answer with what `work` read of an account. It may be run twice: reading has no effect.

    `is_own`: the work calls nothing of the host's.
    """
    done = partial(work, account_id=account_id)
    return JSONBody(await transactions.run(done, account_id, keyed=True, reads=is_own))


def _add_runs(
    router: APIRouter,
    host: Host,
    authenticated: Callable[..., Any],
    opened: Callable[..., Any],
    delivery: StartDelivery | None,
    read: Callable[[Request], Awaitable[bytes]],
) -> None:
    async def sent(request: Request, account_id: Annotated[str, Depends(authenticated)]) -> bytes:
        return await read(request)

    # The body is read before the session is opened: a dependency that opens a transaction at once must not hold it
    # while a slow client sends.
    async def launch(
        request: Request,
        dataset_id: DatasetId,
        account_id: Annotated[str, Depends(authenticated)],
        body: Annotated[bytes, Depends(sent)],
        transactions: Annotated[Transactions, Depends(opened)],
    ) -> Response:
        """Validate a request and answer its price, or hold the credits and start the run.

        The same idempotency key with the same request gets the first answer again, however often it is sent.
        """
        facts = facts_of(request)
        facts.dataset_id = dataset_id
        asked = await parse_body(body)
        facts.key = key = request_key(asked)
        facts.operation = "estimate" if asked.estimate else "launch"
        work = partial(launch_run, host=host, account_id=account_id, dataset_id=dataset_id, request=asked)
        try:
            launched = await transactions.run(work, account_id, keyed=key is not None or asked.estimate is True)
        except SQLAlchemyError as error:
            if key is not None and is_waiting_over(error):
                raise LaunchInFlight(key) from error
            raise
        facts.launched(launched, to_micro(launched.response.credits))
        if delivery is not None and launched.run_id is not None and not launched.replayed:
            delivery.wake()
        return JSONBody(launched.response.to_wire())

    body = {"application/json": {"schema": models.request_schema(), "examples": models.REQUEST_EXAMPLES}}
    for name, summary in (("run", "Start a run, or estimate it"), ("adapt", "The newer name of run")):
        router.add_api_route(
            f"/datasets/{{dataset_id}}/{name}",
            launch,
            methods=["POST"],
            name=name,
            summary=summary,
            responses=models.run_responses(models.RunAnswer),
            openapi_extra={"requestBody": {"required": True, "content": body}},
            tags=["runs"],
        )


def _add_status(router: APIRouter, host: Host, authenticated: Callable[..., Any], opened: Callable[..., Any]) -> None:
    async def status(
        request: Request,
        dataset_id: DatasetId,
        account_id: Annotated[str, Depends(authenticated)],
        transactions: Annotated[Transactions, Depends(opened)],
    ) -> Response:
        """Tell where a dataset and its last run stand."""
        facts_of(request).dataset_id = dataset_id
        work = partial(describe_dataset, host=host, dataset_id=dataset_id)
        return await _read(transactions, work, account_id, is_own=False)

    router.add_api_route(
        "/datasets/{dataset_id}/status",
        status,
        methods=["GET"],
        name="status",
        responses=models.read_responses(models.StatusAnswer),
        tags=["runs"],
    )


def _add_book(router: APIRouter, authenticated: Callable[..., Any], opened: Callable[..., Any]) -> None:
    async def balance(
        account_id: Annotated[str, Depends(authenticated)],
        transactions: Annotated[Transactions, Depends(opened)],
        at: Moment = None,
    ) -> Response:
        """Tell the account's credits at a moment, now by default."""
        return await _read(transactions, partial(books.describe_balance, at=at), account_id)

    async def statement(
        account_id: Annotated[str, Depends(authenticated)],
        transactions: Annotated[Transactions, Depends(opened)],
        since: Moment = None,
        until: Moment = None,
        after: Annotated[int, Query(description="Continue behind this entry.", ge=0, lt=2**62)] = 0,
        limit: PageSize = 100,
    ) -> Response:
        """List the account's entries of a period, first ones first, a page at a time."""
        work = partial(books.describe_statement, since=since, until=until, after=after, limit=limit)
        return await _read(transactions, work, account_id)

    async def reservations(
        account_id: Annotated[str, Depends(authenticated)],
        transactions: Annotated[Transactions, Depends(opened)],
        state: Annotated[ReservationState | None, Query(description="Only those in this state.")] = None,
        after: Annotated[str | None, Query(description="Continue behind this reservation.", max_length=300)] = None,
        limit: PageSize = 100,
    ) -> Response:
        """List the account's holds, oldest first, a page at a time."""
        work = partial(books.describe_reservations, state=state, after=after, limit=limit)
        return await _read(transactions, work, account_id)

    async def reservation(
        reservation_id: Annotated[str, Path(description="Such as acme/r2.", examples=["acme/r2"])],
        account_id: Annotated[str, Depends(authenticated)],
        transactions: Annotated[Transactions, Depends(opened)],
    ) -> Response:
        """Look up one hold of the account."""
        found = partial(books.describe_reservation, reservation_id=reservation_id)
        return await _read(transactions, found, account_id)

    for path, endpoint, model in (
        ("/balance", balance, models.BalanceAnswer),
        ("/statement", statement, models.StatementAnswer),
        ("/reservations", reservations, models.ReservationsAnswer),
        ("/reservations/{reservation_id:path}", reservation, models.ReservationAnswer),
    ):
        router.add_api_route(
            path,
            endpoint,
            methods=["GET"],
            responses=models.read_responses(model),
            tags=["book"],
        )
