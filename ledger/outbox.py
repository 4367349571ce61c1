"""The outbox: the start of each launched run, handed to the host's pipeline at least once and never forgotten.

A launch writes the row of its run's start in the transaction that holds the credits, so there is never one without the
other. `deliver_outbox` hands rows over and records the delivery in the caller's transaction. When the process dies in
between, the row is as it was, and it is handed over again under the same id. By this id a pipeline recognises a start
that it already has.

These locks are held while a handler runs, until the caller's transaction ends:

    PostgreSQL   The rows handed over in this transaction, and nothing else. Other deliverers skip these rows; launches,
                 settlements and other operations on the same accounts do not wait. The transaction stays open: a
                 handler that takes longer than the server's idle_in_transaction_session_timeout loses its connection,
                 and its start is handed over again.
    SQLite       The file's one write lock, for which every writer waits. Keep handlers short (put the start on a
                 queue), and commit after few rows: `limit=1` commits after each.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from estimator import RunPlan, RunRequest, RunResponse
from ledger.book.lifecycle import state_at
from ledger.clock import clock
from ledger.errors import CommandInvalid
from ledger.model.checks import TEXT_MAX, check_duration, check_limit, is_storable
from ledger.model.ids import format_reservation_id, format_run_id, format_start_id, parse_start_id
from ledger.model.moments import MOMENT_MAX, MOMENT_MIN, from_moment, from_optional, to_moment
from ledger.model.values import ReservationState, StartState
from ledger.schema.tables import OutboxRow
from ledger.storage import queries
from ledger.storage.history import require_account
from ledger.storage.journal import OUTBOX_CHANGE
from ledger.storage.rows import reservation_of
from ledger.storage.sessions import check_writable, connection_over, connection_to_all
from ledger.storage.shapes import Write, table_of
from ledger.storage.stores import execute_writes, fetch, fetch_keys, fetch_one, store_of
from ledger.storage.stores.base import Request
from ledger.storage.stores.selects import Select

LIMIT_MAX = 1000
"""The most starts that one call delivers, and that one page lists."""

_DOUBLINGS_MAX = 50


@dataclass(frozen=True, slots=True)
class RunStart:
    """What a handler gets: a run to start, as it was launched.

    `start_id` identifies the run for the pipeline: it is unique among all accounts, and the same however often the
    start is handed over. `attempt` counts from 1, without attempts whose process died.
    """

    start_id: str
    account_id: str
    dataset_id: str
    run_id: str
    reservation_id: str
    attempt: int
    created_at: datetime
    request: RunRequest
    plan: RunPlan
    response: RunResponse
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class StartStanding:
    """The state of the delivery of a run's start.

    `next_attempt_at` is when the start is due, or was due last. `ended_at` is when it was delivered or withdrawn.
    `error` is the class of the exception that the handler raised last.
    """

    start_id: str
    account_id: str
    dataset_id: str
    run_id: str
    state: StartState
    created_at: datetime
    attempts: int
    next_attempt_at: datetime
    ended_at: datetime | None
    error: str | None


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """The ids of the starts that one call handed over, failed to hand over, and withdrew."""

    delivered: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many starts the call handled; 0 when none is due."""
        return len(self.delivered) + len(self.failed) + len(self.withdrawn)


Handler = Callable[[RunStart], object]
"""Starts a run, or passes it on to what starts it. Its return value is ignored."""


def deliver_outbox(
    session: Session,
    handler: Handler,
    *,
    limit: int = 10,
    at: datetime | None = None,
    pause: timedelta = timedelta(seconds=10),
    pause_max: timedelta = timedelta(hours=1),
) -> DeliveryReport:
    """Hand the starts of runs that are due to `handler`, oldest first, at most `limit` of them.

    It works in the caller's transaction and never commits. A start is delivered once you have committed; if you do not,
    it is handed over again under the same `start_id`. What the handler writes through the same session commits with the
    delivery, and so exactly once. Call it until the report's `count` is 0. Several deliverers may work at the same
    time: no two get the same start.

    When a handler raises, what it wrote in this session is rolled back, its start waits for another attempt, and the
    other starts go on. The next attempt is due after `pause`, after twice that when the second attempt fails, and so on
    up to `pause_max`, for as long as the run lasts. Only the class of the exception is stored, not its text. A failed
    start is queued by the moment of its next attempt, so it does not delay other starts. A run that ended before its
    start was delivered (settled, released, lapsed) is not started: its start is withdrawn. Where a run cannot be
    started at all, settle it as cancelled in the handler; this locks its account until you commit.

    The accounts' rows are not locked; the module's docstring says what is. `at` replaces the clock.

    Raises `CommandInvalid`, also for a handler that is a coroutine function or that ends the transaction. From async
    code: `await session.run_sync(ledger.deliver_outbox, handler)` with a plain function.
    """
    _check_handler(handler)
    delivery = _Delivery(
        session, handler, at, _micros(pause, "pause"), _micros(pause_max, "pause_max"), check_limit(limit, LIMIT_MAX)
    )
    connection = connection_to_all(session)
    check_writable(connection)
    store_of(connection).lock_database(connection)
    delivery.run(connection)
    return DeliveryReport(*(tuple(delivery.done[name]) for name in ("delivered", "failed", "withdrawn")))


def _check_handler(handler: object) -> None:
    if not callable(handler):
        raise CommandInvalid("handler", f"must be a function of one start, not {type(handler).__name__}.")
    if inspect.iscoroutinefunction(handler):
        raise CommandInvalid("handler", _NOT_AWAITED)


_NOT_AWAITED = (
    "is a coroutine function, which is not awaited here. Give a plain function that puts the start on a queue or runs"
    " the coroutine to its end."
)


def _micros(value: timedelta, name: str) -> int:
    micros = check_duration(value, name)
    if micros is None:
        raise CommandInvalid(name, "must be a timedelta, not None.")
    return micros


@dataclass(frozen=True, slots=True)
class _Row:
    """A start that this transaction has taken, with the state of its run's hold."""

    account_id: str
    number: int
    created_at: int
    attempts: int
    next_attempt_at: int
    error: str | None
    hold_state: str
    lapses_at: int | None
    details: str

    def has_ended(self, moment: int) -> bool:
        """True when the run's credits are no longer held, whether or not that has been recorded."""
        return state_at(self.hold_state, self.lapses_at, moment) != ReservationState.HELD

    def to_start(self) -> RunStart:
        """What the handler gets, read from the launch's entry."""
        details = json.loads(self.details)
        dataset_id = details["dataset_id"]
        return RunStart(
            start_id=format_start_id(self.account_id, self.number),
            account_id=self.account_id,
            dataset_id=dataset_id,
            run_id=format_run_id(dataset_id, details["started_ms"]),
            reservation_id=format_reservation_id(self.account_id, self.number),
            attempt=self.attempts + 1,
            created_at=from_moment(self.created_at),
            request=RunRequest.from_wire(details["request"]),
            plan=RunPlan.from_dict(details["plan"]),
            response=RunResponse.from_wire(details["response"]),
            labels=details.get("labels", {}),
        )

    def changed(self, state: StartState, *, ended_at: int | None = None) -> tuple[Any, ...]:
        """The row of the columns that a delivery changes."""
        return (
            self.account_id, self.number, state.value, self.attempts, self.next_attempt_at, ended_at, self.error,
        )  # fmt: skip


@dataclass(slots=True)
class _Delivery:
    """One call of `deliver_outbox`: its options, and what it has done so far."""

    session: Session
    handler: Handler
    at: datetime | None
    pause: int
    pause_max: int
    left: int
    done: dict[str, list[str]] = field(default_factory=lambda: {"delivered": [], "failed": [], "withdrawn": []})

    def run(self, connection: Connection) -> None:
        """Handle what is due, a page at a time, until the limit is reached or nothing is due."""
        moment = self._now()
        place: tuple[Any, ...] = (MOMENT_MIN, "", 0)
        while self.left:
            page = fetch(connection, _DUE, moment, self.left, *place)
            if not page:
                return
            for _, account_id, number in page:
                # Each start is locked just before it is handed over, so slow deliverers do not keep it from others.
                found = _take(connection, account_id, number, moment)
                if found is not None:
                    self._deal_with(connection, found)
            place = page[-1]

    def _now(self) -> int:
        return clock() if self.at is None else to_moment(self.at)

    def _deal_with(self, connection: Connection, row: _Row) -> None:
        self.left -= 1
        moment = self._now()
        if row.has_ended(moment):
            self._note(connection, "withdrawn", row.changed(StartState.WITHDRAWN, ended_at=moment))
            return
        error = self._hand_over(connection, row)
        # The handler may have taken long, so the clock is read again.
        moment, tried = self._now(), replace(row, attempts=row.attempts + 1)
        if error is None:
            self._note(connection, "delivered", tried.changed(StartState.DELIVERED, ended_at=moment))
            return
        pause = min(self.pause_max, self.pause * 2 ** min(row.attempts, _DOUBLINGS_MAX))
        later = min(moment + pause, MOMENT_MAX)
        failed = replace(tried, error=class_of(error), next_attempt_at=later)
        self._note(connection, "failed", failed.changed(StartState.WAITING))

    def _hand_over(self, connection: Connection, row: _Row) -> Exception | None:
        """Call the handler in its own savepoint. Answers the exception that it raised, if any."""
        transaction = self.session.get_transaction()
        result: object = None
        error: Exception | None = None
        try:
            with self.session.begin_nested():
                result = self.handler(row.to_start())
        except Exception as raised:  # noqa: BLE001  # this start waits for another attempt, the others go on
            error = raised
        if error is not None and connection.invalidated:
            raise error  # the transaction was lost with the connection
        if self.session.get_transaction() is not transaction:
            raise CommandInvalid("handler", _ENDED) from error
        if inspect.isawaitable(result):
            if inspect.iscoroutine(result):
                result.close()
            raise CommandInvalid("handler", _NOT_AWAITED)
        return error

    def _note(self, connection: Connection, what: str, changed: tuple[Any, ...]) -> None:
        execute_writes(connection, [Write(OUTBOX_CHANGE, [changed], is_update=True)])
        self.done[what].append(format_start_id(changed[0], changed[1]))


_ENDED = (
    "ended the transaction in which its start is delivered. Let it use the session without committing or rolling back;"
    " the start will be handed over again."
)


def class_of(error: BaseException) -> str:
    """The full name of an exception's class. Its text is not stored, because it may contain anything."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return name[:TEXT_MAX] if is_storable(name) else "Exception"


_DUE = (
    "SELECT o.next_attempt_at, o.account_id, o.number FROM ledger_outbox o WHERE o.state = 'waiting'"
    " AND o.next_attempt_at <= $1 AND (o.next_attempt_at, o.account_id, o.number) > ($3, $4, $5)"
    " ORDER BY o.next_attempt_at, o.account_id, o.number LIMIT $2"
)
_OUTBOX = table_of(OutboxRow).columns
_TAKE = Select.of(
    "ledger_outbox",
    (_OUTBOX.account_id, _OUTBOX.number),
    "t.created_at, t.attempts, t.next_attempt_at, t.error",
    where="t.state = 'waiting' AND t.next_attempt_at <= $1",
    extras=1,
    lock="FOR UPDATE SKIP LOCKED",
)
_HOLD = "SELECT state, lapses_at FROM ledger_reservation WHERE account_id = $1 AND number = $2"
_LAUNCH = "SELECT details FROM ledger_entry WHERE account_id = $1 AND sequence = $2"


def _take(connection: Connection, account_id: str, number: int, moment: int) -> _Row | None:
    """Lock a start that is due; None where another deliverer has it, or has had it."""
    store, key = store_of(connection), (account_id, number)
    taken = store.select(_TAKE, [key], (moment,))
    requests = [*([taken] if taken else []), Request(_HOLD, key), Request(_LAUNCH, key)]
    starts, holds, launches = store.run(connection, requests)
    return _Row(*key, *starts[0], *holds[0], *launches[0]) if starts and holds and launches else None


def list_outbox(
    session: Session,
    *,
    account_id: str | None = None,
    state: StartState | str | None = StartState.WAITING,
    failed: bool = False,
    after: str | None = None,
    limit: int = 100,
) -> list[StartStanding]:
    """The starts of runs in one state, or with `state=None` in any, in the order in which they are or were last due.

    `failed` lists only those whose handler has raised. For a page at a time pass the last id as `after`. Waiting
    starts are found by an index; others are searched for among all starts ever made. Raises
    `AccountNotFound`, `CommandInvalid`.
    """
    connection = connection_over(session, account_id)
    conditions: list[str] = []
    values: list[Any] = [check_limit(limit, LIMIT_MAX)]
    if account_id is not None:
        require_account(session, account_id)
        values.append(account_id)
        conditions.append("o.account_id = $2")
    if state is not None:
        conditions.append(f"o.state = '{_state_of(state)}'")
    if failed:
        conditions.append("o.error IS NOT NULL")
    if after is not None:
        place = fetch_one(connection, _PLACE, *parse_start_id(after, "after"))
        if place is None:
            raise CommandInvalid("after", f"is {after!r}, which no start has. Give the last one listed.")
        places = ", ".join(f"${len(values) + index}" for index in (1, 2, 3))
        conditions.append(f"(o.next_attempt_at, o.account_id, o.number) > ({places})")
        values += place
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    statement = f"SELECT {_LISTED} FROM ledger_outbox o {where} {_BY_TURN}"
    rows = fetch(connection, statement, *values)
    holds = {row[:2]: row for row in fetch_keys(connection, queries.RESERVATIONS, [row[:2] for row in rows])}
    return [_standing(row, holds[row[:2]]) for row in rows]


_LISTED = "o.account_id, o.number, o.state, o.created_at, o.attempts, o.next_attempt_at, o.ended_at, o.error"
_BY_TURN = "ORDER BY o.next_attempt_at, o.account_id, o.number LIMIT $1"
_PLACE = "SELECT next_attempt_at, account_id, number FROM ledger_outbox WHERE account_id = $1 AND number = $2"


def _state_of(state: StartState | str) -> StartState:
    try:
        return StartState(state)
    except ValueError:
        known = ", ".join(StartState)
        raise CommandInvalid("state", f"is {state!r}; give one of {known}, or None for all.") from None


def _standing(row: Any, hold_row: Any) -> StartStanding:
    account_id, number, state, created_at, attempts, next_attempt_at, ended_at, error = row
    hold = reservation_of(hold_row[1:])
    dataset_id, started_ms = hold.dataset_id or "", hold.started_ms or 0
    return StartStanding(
        start_id=format_start_id(account_id, number),
        account_id=account_id,
        dataset_id=dataset_id,
        run_id=format_run_id(dataset_id, started_ms),
        state=StartState(state),
        created_at=from_moment(created_at),
        attempts=attempts,
        next_attempt_at=from_moment(next_attempt_at),
        ended_at=from_optional(ended_at),
        error=error,
    )
