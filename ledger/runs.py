"""Runs: launch a request and answer it on the wire, settle an outcome, look up a dataset's last run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy.orm import Session

from estimator import (
    DatasetProfile,
    Estimate,
    RateCardBook,
    RunOutcome,
    RunPlan,
    RunRequest,
    RunResponse,
    estimate,
    plan_run,
)
from estimator.credits import from_micro
from estimator.errors import EstimatorError
from ledger.book.lifecycle import state_at
from ledger.clock import clock
from ledger.commands import LaunchRun, SettleRun, launch_scope, request_key
from ledger.model.checks import check_id
from ledger.model.digests import Digest
from ledger.model.ids import format_reservation_id, format_run_id
from ledger.model.moments import from_moment, to_moment
from ledger.model.values import Launch, ReservationState, RunSettlement
from ledger.rules.keys import first_answer
from ledger.rules.spending import spendable
from ledger.storage import history
from ledger.storage.journal import carry_out
from ledger.storage.present import read_present
from ledger.storage.sessions import connection_of
from ledger.storage.stores import fetch_one


def launch(
    session: Session,
    *,
    account_id: str,
    dataset_id: str,
    profile: DatasetProfile,
    request: RunRequest,
    cards: RateCardBook,
    at: datetime | None = None,
    expires_in: timedelta | None = None,
    grace: timedelta | None = None,
    labels: dict[str, str] | None = None,
    discount: str | None = None,
    voucher: str | None = None,
    outbox: bool = True,
) -> Launch:
    """Price a request under the rate card in force at a moment and hold the credits, or only answer the estimate.

    A request whose key has launched a run of the same dataset before gets the first answer again, `replayed`, whatever
    has happened to prices, profile or balance since. An estimate binds no key and replays none. The hold lasts for
    `expires_in` (and `grace` after it, for a late settlement), or until the run is settled. Its labels are `dataset`,
    `run` and the given ones; spend limits and scopes of grants look at them.

    The start of the run is written in the same transaction, for `deliver_outbox` to hand to your pipeline, so there is
    never one without the other. A replay writes no start. Pass `outbox=False` where you start runs in another way.

    Raises `IdempotencyConflict`, `AccountNotFound`, `RunAlreadyActive`, `LimitExceeded`, `InsufficientCredits`
    (which says how many rows the balance pays), and what planning refuses: `RequestRejected`, `RowCountUnknown`,
    `RateCardNotFound`.
    """
    check_id(account_id, "account_id")
    check_id(dataset_id, "dataset_id")
    moment = from_moment(clock()) if at is None else at
    to_moment(moment)
    try:
        card = cards.at(moment)
        plan = plan_run(request, profile, card, discount=discount, voucher=voucher)
        quote = estimate(plan, card)
    except EstimatorError:
        first = None if request.estimate else find_launch(session, account_id, dataset_id, request)
        if first is None:
            raise
        return first
    if request.estimate:
        return _answer_estimate(session, account_id, dataset_id, quote, moment, labels)
    command = LaunchRun(account_id, dataset_id, request, plan, card, quote, expires_in, moment, grace, labels, outbox)
    return carry_out(session, command, Launch)


def find_launch(session: Session, account_id: str, dataset_id: str, request: RunRequest) -> Launch | None:
    """The first answer to a request with this request's key, or None when the key is free or absent.

    Raises `IdempotencyConflict` when the key was bound by a different request.
    """
    key = request_key(request)
    if key is None:
        return None
    bound = history.read_keyed(connection_of(session), account_id, launch_scope(dataset_id), key)
    first = first_answer(bound, key, Digest.made(bytes.fromhex(request.digest())))
    return first if isinstance(first, Launch) else None


def _answer_estimate(
    session: Session,
    account_id: str,
    dataset_id: str,
    quote: Estimate,
    moment: datetime,
    labels: dict[str, str] | None,
) -> Launch:
    until = to_moment(moment)
    state = read_present(session, account_id, until)
    if state.scoped_count:
        state = read_present(session, account_id, until, grants=True)
    available = from_micro(spendable(state, {"dataset": dataset_id} | (labels or {})))
    response = RunResponse.of(quote, available_credits=available, itemised=True)
    return Launch(account_id, dataset_id, None, None, response)


def settle_run(
    session: Session,
    *,
    account_id: str,
    run_id: str,
    outcome: RunOutcome,
    at: datetime | None = None,
) -> RunSettlement:
    """Charge a finished run for its outcome, under the card and plan it was launched with, and free the rest.

    A run that processed no rows costs nothing. The same outcome again gets the first answer, `replayed`; another
    outcome is a conflict. Raises `RunNotFound`, `ReservationNotHeld`, `IdempotencyConflict`,
    `AccountNotFound`, `OutcomeRejected`, and `CaptureExceedsReservation` where captures in parts of the run's hold have
    left less than the outcome costs.
    """
    return carry_out(session, SettleRun(account_id, run_id, outcome, at), RunSettlement)


class RunState(StrEnum):
    """A run is active until its outcome settles it, or its hold is released or expires."""

    ACTIVE = "active"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RELEASED = "released"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class RunStanding:
    """A launched run at a moment. Its plan processes `rows` rows and delivers `rows_output`."""

    run_id: str
    reservation_id: str
    account_id: str
    dataset_id: str
    state: RunState
    launched_at: datetime
    rows: int
    rows_output: int


_LAST = (
    "SELECT r.number, r.state, r.lapses_at, r.reserved_at, r.started_ms FROM ledger_reservation r"
    " WHERE r.account_id = $1 AND r.dataset_id = $2 AND r.started_ms IS NOT NULL ORDER BY r.started_ms DESC LIMIT 1"
)


def find_last_run(
    session: Session, account_id: str, dataset_id: str, *, at: datetime | None = None
) -> RunStanding | None:
    """The dataset's last launched run at a moment, now by default; None where it has no run.

    Takes no lock. Raises `CommandInvalid`.
    """
    check_id(account_id, "account_id")
    check_id(dataset_id, "dataset_id")
    moment = clock() if at is None else to_moment(at)
    connection = connection_of(session)
    row = fetch_one(connection, _LAST, account_id, dataset_id)
    if row is None:
        return None
    number, state, lapses_at, reserved_at, started_ms = row
    run_id = format_run_id(dataset_id, started_ms)
    (launched,) = history.read_postings(connection, [(account_id, number)])
    if state != ReservationState.HELD:
        state = _ended(session, account_id, run_id, state)
    else:
        is_held = state_at(state, lapses_at, moment) == ReservationState.HELD
        state = RunState.ACTIVE if is_held else RunState.EXPIRED
    plan = RunPlan.from_dict(launched.parsed_details()["plan"])
    return RunStanding(
        run_id=run_id,
        reservation_id=format_reservation_id(account_id, number),
        account_id=account_id,
        dataset_id=dataset_id,
        state=state,
        launched_at=from_moment(reserved_at),
        rows=plan.rows,
        rows_output=plan.rows_output,
    )


def _ended(session: Session, account_id: str, run_id: str, state: str) -> RunState:
    """How a run ended whose hold is no longer held."""
    settled = history.read_keyed(connection_of(session), account_id, "settle", run_id)
    if settled is not None:
        return RunState(settled.parsed_details()["outcome"]["status"])
    # A hold that was captured without an outcome paid for a run that was done.
    return RunState.SUCCEEDED if state == ReservationState.CAPTURED else RunState(state)
