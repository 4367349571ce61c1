"""What the clients of a simulation ask for: each batch is a pure function of the seed, the client and what it knows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from random import Random

import ledger
from estimator import (
    DatasetProfile,
    Estimate,
    RateCard,
    RunOutcome,
    RunPlan,
    RunRequest,
    estimate,
    plan_run,
    shipped_card,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
SECONDS_A_BATCH = 20
_SIZES = [1, 1, 2, 10, 50, 100, 200]


@dataclass(frozen=True)
class Settings:
    """One simulation."""

    seed: int
    clients: int
    accounts: int
    operations: int

    def account(self, number: int) -> str:
        """An account's id."""
        return f"account-{number % self.accounts}"


@dataclass(frozen=True)
class Known:
    """What a client remembers of its acknowledged batches: its latest holds, grants and runs."""

    holds: tuple[str, ...] = ()
    grants: tuple[str, ...] = ()
    runs: tuple[tuple[str, str], ...] = ()

    def with_answers(self, results: list[object]) -> Known:
        """What it knows after one more."""
        holds, grants, runs = list(self.holds), list(self.grants), list(self.runs)
        for result in results:
            if isinstance(result, ledger.Reservation) and result.state == "held":
                holds.append(result.reservation_id)
            elif isinstance(result, ledger.Grant):
                grants.append(result.grant_id)
            elif isinstance(result, ledger.Launch) and result.run_id is not None:
                runs.append((result.account_id, result.run_id))
        return Known(tuple(holds[-300:]), tuple(grants[-20:]), tuple(runs[-40:]))


def opening(settings: Settings) -> list[ledger.Command]:
    """Open the accounts; some may owe, some are limited."""
    commands: list[ledger.Command] = []
    for number in range(settings.accounts):
        name = settings.account(number)
        commands.append(ledger.OpenAccount(name, START))
        commands.append(ledger.GrantCredits(name, 5000, f"first/{name}", at=START))
        if number % 3 == 0:
            commands.append(ledger.SetCreditLine(name, 500, f"line/{name}", START))
        if number % 4 == 0:
            commands.append(ledger.SetLimit(name, "day", 20_000, "project", key=f"day/{name}", at=START))
            commands.append(ledger.SetLimit(name, "concurrent", 5_000, key=f"open/{name}", at=START))
    return commands


def batch(settings: Settings, client: int, number: int, known: Known) -> list[ledger.Command]:
    """A client's batch of a number: each command has a key that says whose it is."""
    random = Random(f"{settings.seed}/{client}/{number}")
    back = random.choice([0, 0, 0, 0, 300])  # a clock that was set back
    at = START + timedelta(seconds=max(0, number * SECONDS_A_BATCH - back))
    draw = _Draw(settings, random, known, at)
    return [draw.command(f"{client}/{number}/{part}") for part in range(random.choice(_SIZES))]


@dataclass
class _Draw:
    """Draws the commands of one batch."""

    settings: Settings
    random: Random
    known: Known
    at: datetime

    def command(self, key: str) -> ledger.Command:
        """One command with its key."""
        random, chance = self.random, self.random.random()
        account = self.settings.account(random.randrange(self.settings.accounts))
        hold = random.choice(self.known.holds) if self.known.holds else f"{account}/r1"
        if chance < 0.14:
            return self.grant(account, key)
        if chance < 0.50:
            return self.reserve(account, key)
        if chance < 0.72:
            amount = random.choice([None, Decimal(random.randint(0, 9)), Decimal("0.25")])
            over = random.choice(list(ledger.OverCapture))
            return ledger.Capture(hold, amount, key, at=self.at, final=random.random() < 0.6, over=over)
        if chance < 0.80:
            return ledger.Release(hold, key, at=self.at)
        return self.rarer(chance, account, hold, key)

    def rarer(self, chance: float, account: str, hold: str, key: str) -> ledger.Command:
        """The verbs that are asked for less often."""
        random = self.random
        if chance < 0.83:
            return ledger.Extend(hold, timedelta(seconds=random.choice([60, 3600])), key, at=self.at)
        if chance < 0.88:
            return ledger.Refund(hold, random.choice([None, Decimal(1)]), key, at=self.at)
        if chance < 0.90:
            return ledger.Adjust(account, random.choice([3, -2]), "counted again", key, self.at)
        if chance < 0.91 and self.known.grants:
            return ledger.RevokeGrant(random.choice(self.known.grants), key, at=self.at)
        if chance < 0.92:
            return ledger.SetCreditLine(account, random.choice([0, 300, 900]), key, self.at)
        return self.rarest(chance, account, key)

    def rarest(self, chance: float, account: str, key: str) -> ledger.Command:
        """What is about the account as a whole, and runs."""
        random = self.random
        if chance < 0.93:
            return ledger.SetLimit(account, "day", random.choice([20_000, None, 900]), "project", key=key, at=self.at)
        if chance < 0.95:
            return ledger.ExpireDue(account, self.at)
        if chance < 0.96:
            return ledger.GetBalance(account, self.at)
        if chance < 0.97:
            return ledger.OpenAccount(account, self.at)
        if chance < 0.985 and self.known.runs:
            owner, run_id = random.choice(self.known.runs)
            rows = random.choice([0, 40, 164])
            return ledger.SettleRun(owner, run_id, RunOutcome("succeeded", rows, rows), self.at)
        return self.launch(account, key)

    def grant(self, account: str, key: str) -> ledger.Command:
        """A grant of any kind."""
        random = self.random
        lasts, begins = random.choice([None, 300, 4000, 90_000]), random.choice([None, None, None, 600])
        often = ledger.Recurrence("day", rollover_max=10) if random.random() < 0.003 else None
        return ledger.GrantCredits(
            account,
            Decimal(random.randint(1, 400)) / 4,
            key,
            random.choice([50, 100, 100, 150]),
            None if lasts is None else self.at + timedelta(seconds=lasts + (begins or 0)),
            self.at,
            random.choice(["paid", "promotional"]),
            None if begins is None else self.at + timedelta(seconds=begins),
            scope=random.choice([None, None, None, {"project": ["p1"]}]),
            recurrence=often,
        )

    def reserve(self, account: str, key: str) -> ledger.Command:
        """A hold of any kind."""
        random = self.random
        lasts = random.choice([timedelta(seconds=60), timedelta(hours=1), timedelta(days=1)])
        return ledger.Reserve(
            account,
            Decimal(random.randint(1, 40)) / 2,
            key,
            lasts,
            self.at,
            random.choice([None, timedelta(seconds=90)]),
            random.choice([None, {"project": "p1"}, {"project": "p2"}]),
            random.random() < 0.1,
        )

    def launch(self, account: str, key: str) -> ledger.Command:
        """A run of one of the account's datasets."""
        request, plan, card, quote = priced(key)
        dataset = f"d{self.random.randrange(5)}"
        return ledger.LaunchRun(account, dataset, request, plan, card, quote, timedelta(hours=6), self.at)


@cache
def _priced() -> tuple[RunPlan, RateCard, Estimate]:
    card = shipped_card("example")
    request = RunRequest.from_wire({"column_mapping": {"prompt": "prompt"}})
    plan = plan_run(request, DatasetProfile(row_count=164, columns=("prompt",)), card)
    return plan, card, estimate(plan, card)


def priced(key: str) -> tuple[RunRequest, RunPlan, RateCard, Estimate]:
    """A request with a key of its own, its plan, and its price."""
    plan, card, quote = _priced()
    body = {"column_mapping": {"prompt": "prompt"}, "job_specification": {"idempotency_key": key}}
    return RunRequest.from_wire(body), plan, card, quote
