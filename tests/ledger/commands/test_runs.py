"""The commands of runs check their own values before anything is looked up."""

from __future__ import annotations

from typing import Any

import pytest

import ledger
from estimator import OutcomeRejected, RunOutcome
from ledger import (
    SettleRun,
)


@pytest.mark.parametrize(
    "run_id", ["", "dataset-", "dataset--5", "dataset-d", "d1-5", "dataset-d-05", "dataset-\ud800-5", 5]
)
def test_what_is_no_run_id_names_no_run(run_id: Any) -> None:
    with pytest.raises(ledger.RunNotFound):
        SettleRun("acme", run_id, None)  # type: ignore[arg-type]


def test_a_count_of_thousands_of_digits_is_refused() -> None:
    with pytest.raises(OutcomeRejected):
        RunOutcome("failed", 10**5000)
