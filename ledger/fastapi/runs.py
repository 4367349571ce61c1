"""Launches and the status of datasets: what the routes of runs do within their transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from estimator import DatasetProfile, RowCountUnknown, RunRequest
from ledger.fastapi.hosts import Host
from ledger.fastapi.refusals import DatasetNotFound
from ledger.model.checks import check_id
from ledger.model.values import Launch
from ledger.runs import RunStanding, RunState, find_last_run, find_launch, launch
from ledger.storage.history import require_account
from ledger.storage.own_sessions import read_alone_from_here

_STATUSES = {
    RunState.ACTIVE: "running",
    RunState.SUCCEEDED: "succeeded",
    RunState.FAILED: "failed",
    RunState.CANCELLED: "awaiting_input",
    RunState.RELEASED: "awaiting_input",
    RunState.EXPIRED: "failed",
}
_MESSAGES = {
    RunState.FAILED: ("run_failed", "The last run failed. What it processed was charged, the rest released."),
    RunState.EXPIRED: ("run_expired", "The last run did not end in time, and its credits were released. Run it again."),
}


def launch_run(session: Session, host: Host, account_id: str, dataset_id: str, request: RunRequest) -> Launch:
    """Launch a run, or answer its first answer or an estimate. Raises what `launch` does, and `DatasetNotFound`."""
    check_id(dataset_id, "dataset_id")
    profile = host.profiles(session, account_id, dataset_id)
    if profile is None:
        # A dataset may be deleted; the first answer to a key stays.
        first = None if request.estimate else find_launch(session, account_id, dataset_id, request)
        if first is None:
            raise DatasetNotFound(dataset_id)
        return first
    terms = host.terms(session, account_id, dataset_id)
    cards = host.book()
    if request.estimate:
        # From here on nothing of the host's is called.
        read_alone_from_here(session)
    launched = launch(
        session,
        account_id=account_id,
        dataset_id=dataset_id,
        profile=profile,
        request=request,
        cards=cards,
        expires_in=terms.expires_in,
        grace=terms.grace,
        labels=terms.labels,
        discount=terms.discount,
        voucher=terms.voucher,
        outbox=host.outbox,
    )
    if host.on_launch is not None and launched.run_id is not None and not launched.replayed:
        host.on_launch(session, launched, request)
    return launched


def describe_dataset(session: Session, host: Host, account_id: str, dataset_id: str) -> dict[str, Any]:
    """The status of a dataset, by its last run. Raises `DatasetNotFound`, `AccountNotFound`."""
    check_id(dataset_id, "dataset_id")
    require_account(session, account_id)
    profile = _profile(session, host, account_id, dataset_id)
    run = find_last_run(session, account_id, dataset_id)
    code, message = _MESSAGES.get(run.state, (None, None)) if run else (None, None)
    return {
        "dataset_id": dataset_id,
        "status": _status(profile, run),
        "row_count": profile.row_count,
        "progress": _progress(session, host, run) if run is not None and run.state is RunState.ACTIVE else None,
        "error_data": None if message is None else {"message": message, "code": code, "level": "error"},
        "error": None if message is None else {"message": message},
        "run_id": None if run is None else run.run_id,
    }


def _profile(session: Session, host: Host, account_id: str, dataset_id: str) -> DatasetProfile:
    try:
        profile = host.profiles(session, account_id, dataset_id)
    except RowCountUnknown:
        return DatasetProfile(None, ())
    if profile is None:
        raise DatasetNotFound(dataset_id)
    return profile


def _status(profile: DatasetProfile, run: RunStanding | None) -> str:
    if run is not None:
        return _STATUSES[run.state]
    return "pending" if profile.row_count is None else "awaiting_input"


def _progress(session: Session, host: Host, run: RunStanding) -> dict[str, int | None]:
    processed = None if host.progress is None else host.progress(session, run.account_id, run.run_id)
    # Exact division of whole rows; a run that has not ended is not at 100.
    percent = None if processed is None else min(99, processed * 100 // run.rows)
    return {"percent": percent, "processed_rows": processed, "total_rows": run.rows}
