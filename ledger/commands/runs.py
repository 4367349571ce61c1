"""Commands of runs: launch one, and settle it by what it delivered."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ledger.commands.holds import check_grace
from ledger.errors import CommandInvalid
from ledger.model.checks import check_common, check_duration, check_id, check_labels
from ledger.model.digests import Digest
from ledger.model.ids import parse_run_id

if TYPE_CHECKING:
    from estimator import Estimate, RateCard, RunOutcome, RunPlan, RunRequest

OWN_LABELS = frozenset({"dataset", "run"})
"""The labels that the hold of every launch has; a caller may not give them."""


@dataclass(frozen=True, slots=True)
class LaunchRun:
    """Hold what a run is estimated to cost and bind its key. A dataset has at most one active run.

    The hold's labels are `dataset`, `run` and those of `labels`. With `outbox`, the start of the run is written for
    `deliver_outbox` in the same transaction.
    """

    account_id: str
    dataset_id: str
    request: RunRequest
    plan: RunPlan
    card: RateCard
    estimate: Estimate
    expires_in: timedelta | None = None
    at: datetime | None = None
    grace: timedelta | None = None
    labels: dict[str, str] | None = None
    outbox: bool = True
    expires_micros: int | None = field(init=False, repr=False, compare=False)
    grace_micros: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_id(self.account_id, "account_id")
        check_id(self.dataset_id, "dataset_id")
        check_common(self.key, self.at)
        object.__setattr__(self, "expires_micros", check_duration(self.expires_in, "expires_in"))
        object.__setattr__(self, "grace_micros", check_grace(self.grace, self.expires_in))
        if self.labels is not None:
            object.__setattr__(self, "labels", check_labels(self.labels))
            if not OWN_LABELS.isdisjoint(self.labels):
                raise CommandInvalid("labels", "may not say dataset or run: a launch gives both itself.")

    @property
    def key(self) -> str | None:
        """The request's own idempotency key."""
        return request_key(self.request)

    def digest(self) -> Digest:
        """What the key binds: the request, but not its price."""
        return Digest.made(bytes.fromhex(self.request.digest()))


def request_key(request: RunRequest) -> str | None:
    """The idempotency key that a request carries."""
    job = request.job_specification
    return None if job is None else job.idempotency_key


@dataclass(frozen=True, slots=True)
class SettleRun:
    """Charge a finished run for its outcome and free the rest of its hold. The same outcome again is a replay."""

    account_id: str
    run_id: str
    outcome: RunOutcome
    at: datetime | None = None
    dataset_id: str = field(init=False, repr=False, compare=False)
    started_ms: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_id(self.account_id, "account_id")
        check_common(None, self.at)
        dataset_id, started_ms = parse_run_id(self.run_id)
        object.__setattr__(self, "dataset_id", dataset_id)
        object.__setattr__(self, "started_ms", started_ms)

    @property
    def key(self) -> str:
        """The run's id: a run ends once."""
        return self.run_id

    def digest(self) -> Digest:
        """What the key binds."""
        outcome = self.outcome
        return Digest("settle", str(outcome.status), outcome.rows_processed, outcome.rows_delivered)


def launch_scope(dataset_id: str) -> str:
    """The name space of the keys that launches of a dataset bind."""
    return f"launch:{dataset_id}"
