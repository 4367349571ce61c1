"""What becomes of an account under a plan of runs to come: which grants they burn, what expires, when it runs dry.

The account is read once and lives on in memory under the ledger's own rules: every planned run is a hold that is
captured at once, and everything that comes due on the way comes due. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy.orm import Session

from estimator.credits import from_micro
from ledger import answers, snapshots
from ledger.checks import check_id
from ledger.commands import Capture, ExpireDue, Reserve
from ledger.entries import to_entry
from ledger.errors import CommandInvalid, InsufficientCredits, LedgerError
from ledger.ids import format_grant_id, parse_reservation_id
from ledger.instants import clock, from_instant, to_instant
from ledger.present import read_unlocked
from ledger.rules import decide
from ledger.states import CONSUMED, AccountState
from ledger.values import Balance, Entry, EntryKind, Reservation

RUNS_MAX = 100_000
"""The most runs that one plan may have."""


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run to come: when, what it will cost in credits, and the labels that limits and scopes look at."""

    at: datetime
    credits: Decimal | int
    labels: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class ForecastStep:
    """What becomes of one planned run: the balance after it, or why it would be refused."""

    run: PlannedRun
    balance: Balance
    refusal: LedgerError | None = None

    @property
    def is_accepted(self) -> bool:
        """True where the run can be paid."""
        return self.refusal is None


@dataclass(frozen=True, slots=True)
class Forecast:
    """An account under a plan.

    `steps` are the runs in the order of their moments; `entries` what the journal would say, lapses and renewals
    included; `consumed` what is burnt of each grant by its id. `dry_at` is the moment of the first run that the
    credits do not pay, and `shortfall` how many more it would take; None where all can be paid.
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
        """The entries by which credits lapse unused."""
        return tuple(entry for entry in self.entries if entry.kind is EntryKind.EXPIRE)


def forecast(
    session: Session, account_id: str, planned: Iterable[PlannedRun], *, until: datetime | None = None
) -> Forecast:
    """Say what a plan of runs would do to an account as it stands now.

    Args:
        session: read from, never written to; takes no lock.
        account_id: whose grants are to pay.
        planned: at most 100,000 runs, in any order; none before the account's latest entry.
        until: look on to this moment, for what expires after the last run; until that run if left out.

    Raises:
        AccountNotFound: the account is not open.
        CommandInvalid: a run that could not be asked for, a moment in the account's past, or too many runs.
    """
    check_id(account_id, "account_id")
    runs = sorted(planned, key=lambda run: to_instant(run.at))
    if len(runs) > RUNS_MAX:
        raise CommandInvalid("planned", f"has {len(runs):,} runs. Give at most {RUNS_MAX:,} at once.")
    commands = [Reserve(account_id, run.credits, at=run.at, labels=dict(run.labels or {}) or None) for run in runs]
    now = clock()
    end = max([now, *(to_instant(run.at) for run in runs[-1:])]) if until is None else to_instant(until, "until")
    state = read_unlocked(session, account_id, lambda _: _needs(account_id, commands, now, end))
    _check_order(state, runs, end)
    future = _Future(state, now)
    future.pass_to(min([now, end, *(to_instant(run.at) for run in runs[:1])]))
    opening = future.balance()
    steps = [future.run(run, command) for run, command in zip(runs, commands, strict=True)]
    future.pass_to(end)
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
    latest = from_instant(state.at)
    if runs and to_instant(runs[0].at) < state.at:
        message = f"begins at {runs[0].at.isoformat()}, before the account's latest entry ({latest.isoformat()})."
        raise CommandInvalid("planned", f"{message} Plan runs to come.")
    if end < max([state.at, *(to_instant(run.at) for run in runs[-1:])]):
        raise CommandInvalid("until", "is before the last run, or the account's latest entry. Give a later moment.")


def _dry(steps: Sequence[ForecastStep]) -> tuple[datetime | None, Decimal | None]:
    """When the account is first short of credits, and by how many."""
    for step in steps:
        if isinstance(step.refusal, InsufficientCredits):
            return step.run.at, step.refusal.requested - step.refusal.available
    return None, None


class _Future:
    """The account as the plan goes on."""

    def __init__(self, state: AccountState, now: int) -> None:
        self._accounts = {state.account_id: state}
        self._id = state.account_id
        self._now = now
        self._at = state.at
        self.entries: list[Entry] = []
        self.consumed: dict[int, int] = {}

    def balance(self) -> Balance:
        """The credits by bucket."""
        return answers.balance(self._id, self._at, self._accounts[self._id].buckets)

    def pass_to(self, moment: int) -> None:
        """Let come due whatever does by a moment; one in the account's past is its present."""
        self._at = max(self._at, moment)
        self._decide(ExpireDue(self._id, from_instant(self._at)))

    def run(self, run: PlannedRun, command: Reserve) -> ForecastStep:
        """Pay for a run, if it can be paid."""
        self.pass_to(to_instant(run.at))
        held = self._decide(command)
        if not isinstance(held, Reservation):
            return ForecastStep(run, self.balance(), held)
        self._decide(Capture(held.reservation_id, at=run.at))
        state = self._accounts[self._id]
        # Nothing asks for it again, and every fork of the account would copy it.
        del state.reservations[parse_reservation_id(held.reservation_id)[1]]
        return ForecastStep(run, self.balance())

    def _decide(self, command: Reserve | Capture | ExpireDue) -> Reservation | LedgerError | None:
        (result,) = decide(self._accounts, [command], self._now)
        state = self._accounts[self._id]
        for posting in state.postings:
            self.entries.append(to_entry(posting))
            for grant, _, target, amount in posting.moves:
                if target == CONSUMED:
                    self.consumed[grant] = self.consumed.get(grant, 0) + amount
        state.postings.clear()
        if isinstance(result, LedgerError):
            return result
        return result if isinstance(result, Reservation) else None
