"""The commands of runs check their own values before anything is looked up."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

import ledger
from estimator import OutcomeRejected, RunOutcome, RunRequest
from ledger import SettleRun
from ledger.commands import request_key
from tests.ledger.test_runs import KEYED
from tests.ledger.verbs import launch_command


@pytest.mark.parametrize(
    "run_id", ["", "dataset-", "dataset--5", "dataset-d", "d1-5", "dataset-d-05", "dataset-\ud800-5", 5]
)
def test_what_is_no_run_id_names_no_run(run_id: Any) -> None:
    with pytest.raises(ledger.RunNotFound):
        SettleRun("acme", run_id, None)  # type: ignore[arg-type]


def test_a_count_of_thousands_of_digits_is_refused() -> None:
    with pytest.raises(OutcomeRejected):
        RunOutcome("failed", 10**5000)


@pytest.mark.parametrize("label", ["dataset", "run"])
def test_a_launch_labels_its_hold_itself(label: str) -> None:
    with pytest.raises(ledger.CommandInvalid, match=r"^labels: "):
        replace(launch_command("acme"), labels={label: "x"})
    assert replace(launch_command("acme"), labels={"b": "2", "a": "1"}).labels == {"a": "1", "b": "2"}


def test_the_grace_of_a_launch_follows_an_expiry() -> None:
    with pytest.raises(ledger.CommandInvalid, match=r"^grace: "):
        replace(launch_command("acme"), grace=timedelta(seconds=1))


def test_the_key_of_a_launch_is_its_requests_and_that_of_a_settlement_is_its_run() -> None:
    request = RunRequest.from_wire(KEYED)
    assert replace(launch_command("acme"), request=request).key == request_key(request) == "once"
    assert launch_command("acme").key is None
    settle = SettleRun("acme", "dataset-d-1-17", RunOutcome("failed", 0))
    assert (settle.key, settle.dataset_id, settle.started_ms) == ("dataset-d-1-17", "d-1", 17)
