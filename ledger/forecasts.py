"""Forecasts: a plan of future runs on an account. Which grants they burn, what expires, when the credits run out.

The account is read once, or made from given grants. Then the ledger's own rules are applied to it in memory: every
planned run is a hold that is captured at once, and what comes due in between is recorded. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy.orm import Session

from estimator.credits import from_micro
from ledger.book import answers
from ledger.book.answers import to_entry
from ledger.book.buckets import BALANCES, CONSUMED
from ledger.book.postings import genesis
from ledger.book.states import AccountState
from ledger.clock import clock
from ledger.commands import Capture, GrantCredits, Reserve, SetCreditLine, SetLimit
from ledger.errors import CommandInvalid, InsufficientCredits
from ledger.model.checks import check_id
from ledger.model.ids import format_grant_id
from ledger.model.moments import from_moment, to_moment
from ledger.model.values import Balance, Bucket, Entry, Reservation
from ledger.rules import Rejection, decide, record_due
from ledger.storage import snapshots
from ledger.storage.present import read_unlocked

RUNS_MAX = 100_000
"""The most runs that one plan may have."""


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A planned run: its moment, its cost in credits, and the labels that limits and scopes look at."""

    at: datetime
    credits: Decimal | int
    labels: Mapping[str, str] | None = None

    def to_command(self, account_id: str) -> Reserve:
        """The command that holds the run's credits. Raises `CommandInvalid` for a malformed value."""
        return Reserve(account_id, self.credits, at=self.at, labels=dict(self.labels or {}) or None)


@dataclass(frozen=True, slots=True)
class ForecastStep:
    """One planned run: the balance after it, and the refusal where it cannot be paid."""

    run: PlannedRun
    balance: Balance
    refusal: Rejection | None = None

    @property
    def is_accepted(self) -> bool:
        """True where the run can be paid."""
        return self.refusal is None


@dataclass(frozen=True, slots=True)
class Forecast:
    """An account under a plan.

    `steps` are the runs in the order of their moments. `entries` are those that the journal would have, lapses and
    renewals included. `consumed` is what is burnt of each grant, by its id. `dry_at` is the moment of the first run
    that the credits do not pay, and `shortfall` how many credits it lacks; both are None where all runs can be paid.
    """

    account_id: str
    opening: Balance
    steps: tuple[ForecastStep, ...]
    entries: tuple[Entry, ...]
    consumed: Mapping[str, Decimal]
    closing: Balance
    dry_at: datetime | None = None
    shortfall: Decimal | None = None

    @property
    def expired(self) -> tuple[Entry, ...]:
        """The entries in which credits expire unused: grants that lapse, and periods whose rest is not carried over."""
        return tuple(entry for entry in self.entries if any(move.target is Bucket.EXPIRED for move in entry.transfers))


def forecast(
    session: Session, account_id: str, planned: Iterable[PlannedRun], *, until: datetime | None = None
) -> Forecast:
    """Say what a plan of runs would do to an account, beginning with its state now.

    Args:
        session: read from, never written to; takes no lock.
        account_id: whose grants are to pay.
        planned: at most 100,000 runs, in any order; none before the account's latest entry.
        until: the end of the forecast, to include what expires after the last run. By default the last run's moment.

    Raises:
        AccountNotFound: the account is not open.
        CommandInvalid: a run with a malformed value, a moment in the account's past, or too many runs.
    """
    check_id(account_id, "account_id")
    runs, commands = _in_order(account_id, planned)
    now = clock()
    end = _end(runs, until, now)
    state = read_unlocked(session, account_id, lambda _: _needs(account_id, commands, now, end))
    return _told(_Future(state, now), runs, commands, end)


def forecast_grants(
    terms: Iterable[GrantCredits | SetCreditLine | SetLimit],
    planned: Iterable[PlannedRun],
    *,
    until: datetime | None = None,
) -> Forecast:
    """Say what a plan of runs would do to an account that had these grants and nothing else. Needs no database.

    Args:
        terms: the grants, credit line and limits that one account begins with, in order.
        planned: as for `forecast`; `entries` of the answer begin with the terms.
        until: as for `forecast`.

    Raises:
        CommandInvalid: there are no terms, or terms of two accounts, or as for `forecast`.
    """
    given = list(terms)
    if len({command.account_id for command in given}) != 1:
        raise CommandInvalid("terms", "must be those of one account. Give its grants, at least one.")
    account_id = given[0].account_id
    runs, commands = _in_order(account_id, planned)
    now = clock()
    opened_at = min(now if command.at is None else to_moment(command.at) for command in given)
    state = AccountState(account_id, opened_at, 0, opened_at, genesis(account_id, opened_at), [0] * len(BALANCES), None)
    future = _Future(state, now)
    for command in given:
        future.grant(command)
    return _told(future, runs, commands, _end(runs, until, now))


def _in_order(account_id: str, planned: Iterable[PlannedRun]) -> tuple[list[PlannedRun], list[Reserve]]:
    runs = sorted(planned, key=lambda run: to_moment(run.at))
    if len(runs) > RUNS_MAX:
        raise CommandInvalid("planned", f"has {len(runs):,} runs. Give at most {RUNS_MAX:,} at once.")
    return runs, [run.to_command(account_id) for run in runs]


def _end(runs: Sequence[PlannedRun], until: datetime | None, now: int) -> int:
    return max([now, *(to_moment(run.at) for run in runs[-1:])]) if until is None else to_moment(until, "until")


def _told(future: _Future, runs: Sequence[PlannedRun], commands: Sequence[Reserve], end: int) -> Forecast:
    """Carry the plan out in memory and sum it up."""
    _check_order(future.state, runs, end)
    future.pass_to(min([future.now, end, *(to_moment(run.at) for run in runs[:1])]))
    opening = future.balance()
    steps = [future.run(run, command) for run, command in zip(runs, commands, strict=True)]
    future.pass_to(end)
    account_id = future.state.account_id
    return Forecast(
        account_id,
        opening,
        tuple(steps),
        tuple(future.entries),
        {format_grant_id(account_id, grant): from_micro(amount) for grant, amount in sorted(future.consumed.items())},
        future.balance(),
        *_dry(steps),
    )


def _needs(account_id: str, commands: Sequence[Reserve], now: int, end: int) -> snapshots.Needs:
    needs = snapshots.Needs.of(commands, now)
    needs.accounts.add(account_id)
    needs.all_grants.add(account_id)
    needs.horizon = max(needs.horizon, end)
    return needs


def _check_order(state: AccountState, runs: Sequence[PlannedRun], end: int) -> None:
    latest = from_moment(state.at)
    if runs and to_moment(runs[0].at) < state.at:
        message = f"begins at {runs[0].at.isoformat()}, before the account's latest entry ({latest.isoformat()})."
        raise CommandInvalid("planned", f"{message} Plan runs to come.")
    if end < max([state.at, *(to_moment(run.at) for run in runs[-1:])]):
        raise CommandInvalid("until", "is before the last run, or the account's latest entry. Give a later moment.")


def _dry(steps: Sequence[ForecastStep]) -> tuple[datetime | None, Decimal | None]:
    """The moment at which the account is first short of credits, and how many it lacks."""
    for step in steps:
        if isinstance(step.refusal, InsufficientCredits):
            return step.run.at, step.refusal.requested - step.refusal.available
    return None, None


class _Future:
    """The account while the plan is carried out. Only grants and holds that rules may still look at are kept."""

    def __init__(self, state: AccountState, now: int) -> None:
        self.state = state
        self.now = now
        self.entries: list[Entry] = []
        self.consumed: dict[int, int] = {}
        self._at = state.at

    def balance(self) -> Balance:
        """The credits by bucket."""
        return answers.balance(self.state.account_id, self._at, self.state.buckets)

    def pass_to(self, moment: int) -> None:
        """Record what comes due by a moment. A moment before the latest entry counts as that entry's."""
        self._at = max(self._at, self.state.at, moment)
        while (due := self.state.due_at) is not None and due <= self._at:
            record_due(self.state, max(due, self.state.at), self.now)
            assert self.state.due_at is None or self.state.due_at > due
            self._take_in()

    def grant(self, command: GrantCredits | SetCreditLine | SetLimit) -> None:
        """Carry out one of the terms that the account begins with. Raises its refusal."""
        refusal = self._decide(command)
        if isinstance(refusal, Exception):
            raise refusal

    def run(self, run: PlannedRun, command: Reserve) -> ForecastStep:
        """Hold and capture a run's credits, or note the refusal."""
        self.pass_to(to_moment(run.at))
        held = self._decide(command)
        if not isinstance(held, Reservation):
            return ForecastStep(run, self.balance(), held)
        self._decide(Capture(held.reservation_id, at=run.at))
        return ForecastStep(run, self.balance())

    def _decide(self, command: Reserve | Capture | GrantCredits | SetCreditLine | SetLimit) -> Any:
        accounts = {self.state.account_id: self.state}
        (result,) = decide(accounts, [command], self.now)
        self.state = accounts[self.state.account_id]
        self._take_in()
        return result

    def _take_in(self) -> None:
        """Collect what was posted, and drop ended grants and holds, because rules walk over all that an account has."""
        state = self.state
        for posting in state.postings:
            self.entries.append(to_entry(posting))
            for grant, _, target, amount in posting.transfers:
                if target == CONSUMED:
                    self.consumed[grant] = self.consumed.get(grant, 0) + amount
            if posting.reservation is not None and state.holds[posting.reservation].state != "held":
                del state.holds[posting.reservation]
        if state.postings:
            state.grants = {number: grant for number, grant in state.grants.items() if grant.is_live}
            state.postings.clear()
