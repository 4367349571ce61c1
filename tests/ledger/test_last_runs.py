"""Where the last run of a dataset stands."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

import ledger
from estimator import RunOutcome
from ledger.runs import RunState, find_last_run
from tests.ledger.conftest import later
from tests.ledger.test_runs import launch, settle


def state(session: Session, seconds: float = 50) -> RunState | None:
    run = find_last_run(session, "acme", "d1", at=later(seconds))
    return None if run is None else run.state


def test_a_dataset_without_runs_has_none(session: Session, acme: str) -> None:
    assert state(session) is None
    launch(session, dataset_id="d2")
    assert state(session) is None


@pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled"])
def test_a_settled_run_stands_as_it_was_settled(session: Session, acme: str, status: str) -> None:
    launched = launch(session)
    assert state(session) is RunState.ACTIVE
    settle(session, launched.run_id, RunOutcome(status, 50 if status == "succeeded" else 0))
    assert state(session) == status


def test_a_run_whose_hold_ended_by_hand_or_lapsed_says_so(session: Session, acme: str) -> None:
    first = launch(session, expires_in=timedelta(seconds=60))
    assert (state(session, 59), state(session, 60)) == (RunState.ACTIVE, RunState.EXPIRED)
    assert first.reservation_id is not None
    ledger.release(session, first.reservation_id, at=later(1))
    assert state(session) is RunState.RELEASED
    second = launch(session, at=later(2))
    assert second.reservation_id is not None
    ledger.capture(session, second.reservation_id, at=later(3))
    assert state(session) is RunState.SUCCEEDED


def test_the_last_run_is_told_with_its_rows(session: Session, acme: str) -> None:
    settle(session, launch(session).run_id, RunOutcome("succeeded", 50))
    body = {"column_mapping": {"prompt": "prompt"}, "job_specification": {"max_rows": 7}}
    second = launch(session, body, at=later(1))
    run = find_last_run(session, "acme", "d1", at=later(2))
    assert run is not None
    assert (run.run_id, run.rows, run.rows_output, run.launched_at) == (second.run_id, 7, 7, later(1))
