"""Where the last run of a dataset stands, by its hold and by what it was settled with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import text
from sqlalchemy.orm import Session

from estimator import RunPlan
from ledger.clock import clock
from ledger.model.checks import check_id
from ledger.model.ids import format_reservation_id, format_run_id
from ledger.model.moments import from_moment, to_moment
from ledger.model.values import ReservationState
from ledger.storage import snapshots


class RunState(StrEnum):
    """A run is active until it is settled by its outcome, or its hold is released or expires without one."""

    ACTIVE = "active"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RELEASED = "released"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class RunStanding:
    """A launched run at a moment. `rows` is how many rows it is to process, `rows_output` how many come out."""

    run_id: str
    reservation_id: str
    account_id: str
    dataset_id: str
    state: RunState
    launched_at: datetime
    rows: int
    rows_output: int


_LAST = text(
    "SELECT r.number, r.state, r.lapses_at, r.reserved_at, r.started_ms FROM ledger_reservation r"
    " WHERE r.account_id = :account_id AND r.dataset_id = :dataset_id AND r.started_ms IS NOT NULL"
    " ORDER BY r.started_ms DESC LIMIT 1"
)


def find_last_run(
    session: Session, account_id: str, dataset_id: str, *, at: datetime | None = None
) -> RunStanding | None:
    """The run of a dataset that was launched last, as it stands at a moment (now by default); None without any.

    Takes no lock. Raises `CommandInvalid`.
    """
    check_id(account_id, "account_id")
    check_id(dataset_id, "dataset_id")
    moment = clock() if at is None else to_moment(at)
    connection = session.connection()
    row = connection.execute(_LAST, {"account_id": account_id, "dataset_id": dataset_id}).one_or_none()
    if row is None:
        return None
    number, state, lapses_at, reserved_at, started_ms = row
    run_id = format_run_id(dataset_id, started_ms)
    (launched,) = snapshots.read_postings(connection, [(account_id, number)])
    if state != ReservationState.HELD:
        state = _ended(session, account_id, run_id, state)
    elif lapses_at is not None and lapses_at <= moment:
        state = RunState.EXPIRED
    else:
        state = RunState.ACTIVE
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
    """How a run ended whose hold holds nothing any more."""
    settled = snapshots.read_keyed(session.connection(), account_id, "settle", run_id)
    if settled is not None:
        return RunState(settled.parsed_details()["outcome"]["status"])
    # Captured by hand, without an outcome, it did what was charged.
    return RunState.SUCCEEDED if state == ReservationState.CAPTURED else RunState(state)
