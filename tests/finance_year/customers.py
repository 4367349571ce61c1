"""One customer of the year: what it asks the ledger for on a day, by its own chance and by what it was answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from random import Random
from typing import NamedTuple

import ledger
from estimator import RunOutcome
from tests.finance_year.cards import YEAR, priced_run

START = datetime(YEAR, 1, 1, tzinfo=UTC)
END = datetime(YEAR + 1, 1, 1, tzinfo=UTC)
DAY_MICROS = 86_400_000_000
SUBSCRIPTION_PRICE = Decimal("0.009375")
_LOW = Decimal(400)
_PACKAGES = {
    "EUR": ((1_000, "0.012"), (5_000, "0.011"), (400, "0.0125")),
    "USD": ((1_000, "0.0131"), (4_000, "0.012"), (250, "0.014")),
}
"""Credits, and money per credit: each package costs whole cents."""


class Purchase(NamedTuple):
    """Credits that a customer paid for: the grant, and the charge that paid it."""

    account_id: str
    grant_id: str
    external_ref: str
    credits: Decimal
    amount: Decimal
    currency: str
    at: datetime


class FinishedRun(NamedTuple):
    """A run that was settled: what the pipeline did, and what was charged for it."""

    account_id: str
    run_id: str
    status: str
    rows_processed: int
    rows_delivered: int
    credits: Decimal
    at: datetime


@dataclass(slots=True)
class _Hold:
    reservation_id: str
    amount: Decimal
    fate: str


@dataclass(slots=True)
class _Run:
    run_id: str
    dataset_id: str
    rows: int
    rows_output: int


@dataclass
class Customer:
    """One account's holder. `commands` and `take` go in turn, a day at a time.

    `is_booked_twice`: by a mistake that no key prevents, its first charge is granted under two of them.
    """

    seed: int
    number: int
    is_booked_twice: bool = False
    purchases: list[Purchase] = field(default_factory=list)
    finished: list[FinishedRun] = field(default_factory=list)
    random: Random = field(init=False)
    _last_purchase: ledger.GrantCredits = field(init=False)
    _holds: list[_Hold] = field(default_factory=list)
    _runs: list[_Run] = field(default_factory=list)
    _captured: list[str] = field(default_factory=list)
    _grants: list[str] = field(default_factory=list)
    _available: Decimal = Decimal(0)
    _sent: int = 0

    def __post_init__(self) -> None:
        self.random = Random(f"{self.seed}/{self.number}")

    @cached_property
    def account_id(self) -> str:
        """The account's id."""
        return f"customer-{self.number:04d}"

    @cached_property
    def opens_on(self) -> datetime:
        """The day of its opening: most are there from the first day on, every fifth one comes in the first quarter."""
        return START + timedelta(days=self.number * 7 % 90 if self.number % 5 == 0 else 0)

    def opening(self) -> list[ledger.Command]:
        """Open the account, and agree on what it gets, may owe and may spend."""
        day = _Day(self, self.opens_on, 12)
        name, number = self.account_id, self.number
        day.add(ledger.OpenAccount(name, day.next()))
        ends = self.opens_on + timedelta(days=90)
        day.add(ledger.GrantCredits(name, 200, self._key(), 50, ends, day.next(), "promotional"))
        day.add(self._purchase(day.next()))
        if self.is_booked_twice:
            day.add(replace(self._last_purchase, key=self._key(), at=day.next()))
        if number % 2 == 0:
            day.add(self._subscription(day.next()))
        if number % 3 == 0:
            day.add(ledger.SetCreditLine(name, 500, self._key(), day.next()))
        if number % 4 == 0:
            day.add(ledger.SetLimit(name, "month", 60_000, "project", key=self._key(), at=day.next()))
        if number % 8 == 0:
            day.add(ledger.SetLimit(name, "concurrent", 40, key=self._key(), at=day.next()))
        return day.commands

    def commands(self, day: datetime, count: int) -> list[ledger.Command]:
        """About so many commands of a day: what is open is settled first, and the balance looked at last."""
        ordered = _Day(self, day, count + 2 * len(self._holds) + len(self._runs) + 4)
        runs, self._runs = self._runs, []
        for run in runs:
            self._end_run(ordered, run)
        holds, self._holds = self._holds, []
        for hold in holds:
            self._end_hold(ordered, hold)
        if self._available < _LOW:
            ordered.add(self._purchase(ordered.next()))
        while len(ordered.commands) < count:
            ordered.add(self._new(ordered))
        ordered.add(ledger.GetBalance(self.account_id, ordered.next()))
        return ordered.commands

    def take(self, command: ledger.Command, result: object) -> None:
        """Remember what a command was answered."""
        if isinstance(result, ledger.Balance):
            self._available = result.available
        elif isinstance(result, ledger.Grant):
            self._take_grant(result)
        elif isinstance(result, ledger.Launch):
            self._take_launch(command, result)
        elif isinstance(result, ledger.RunSettlement):
            self._take_settlement(command, result)
        elif isinstance(result, ledger.Reservation):
            if isinstance(command, ledger.Reserve) and result.amount:
                fate = self.random.choice(_FATES)
                is_endless = result.expires_at is None and fate == "extended"
                self._holds.append(_Hold(result.reservation_id, result.amount, "whole" if is_endless else fate))
            elif isinstance(command, ledger.Capture) and result.captured:
                self._captured = [*self._captured[-5:], result.reservation_id]

    def _key(self) -> str:
        self._sent += 1
        return f"{self.number}/{self._sent}"

    def _purchase(self, at: datetime) -> ledger.GrantCredits:
        random = self.random
        currency = "EUR" if self.number % 2 else "USD"
        if self.number % 7 == 0:
            currency = random.choice(["EUR", "USD"])
        amount, price = random.choice(_PACKAGES[currency])
        amount *= random.choice([1, 1, 1, 2])
        ends = at + timedelta(days=random.choice([60, 180, 365])) if random.random() < 0.6 else None
        self._last_purchase = ledger.GrantCredits(
            self.account_id,
            amount,
            self._key(),
            expires_at=ends,
            at=at,
            cost_basis=ledger.CostBasis(Decimal(price), currency),
            external_ref=f"ch_{self.number:04d}x{self._sent:05d}",
        )
        return self._last_purchase

    def _subscription(self, at: datetime) -> ledger.GrantCredits:
        """Credits that come again: promotional ones, or ones that are billed elsewhere; some of what is left stays."""
        every = "week" if self.number % 10 == 0 else "month"
        is_paid = self.number % 4 == 0
        return ledger.GrantCredits(
            self.account_id,
            120,
            self._key(),
            80,
            at=at,
            kind="paid" if is_paid else "promotional",
            cost_basis=ledger.CostBasis(SUBSCRIPTION_PRICE, "EUR" if self.number % 8 else "USD") if is_paid else None,
            recurrence=ledger.Recurrence(every, rollover_min=10, rollover_max=40),
        )

    def _new(self, day: _Day) -> ledger.Command:
        """A command that nothing before made necessary."""
        chance = self.random.random()
        if chance < 0.80:
            return self._reserve(day.next())
        if chance < 0.90:
            return self._launch(day.next())
        return _RARE[self.random.randrange(len(_RARE))](self, day.next())

    def _reserve(self, at: datetime) -> ledger.Reserve:
        random = self.random
        lasts = random.choice([timedelta(hours=5), timedelta(days=10), *[timedelta(days=40)] * 6, None])
        return ledger.Reserve(
            self.account_id,
            Decimal(random.randint(1, 9_000_000)) / 10**6,
            self._key(),
            lasts,
            at,
            timedelta(hours=12) if lasts is not None and random.random() < 0.2 else None,
            random.choice([None, {"project": "p1"}, {"project": "p2"}]),
            random.random() < 0.1,
        )

    def _launch(self, at: datetime) -> ledger.LaunchRun:
        random = self.random
        run = priced_run(random, self._key(), at)
        dataset = f"{self.number}-{random.randrange(6)}"
        labels = random.choice([None, {"project": "p1"}])
        return ledger.LaunchRun(
            self.account_id, dataset, *run, timedelta(days=30), at, labels=labels, outbox=random.random() < 0.2
        )

    def _end_run(self, day: _Day, run: _Run) -> None:
        """Settle a run, mostly; one in twenty is never heard of again and lapses."""
        random, chance = self.random, self.random.random()
        if chance < 0.05:
            return
        if chance < 0.80:
            rows = run.rows if chance < 0.6 else random.randint(run.rows // 2, run.rows)
            delivered = min(run.rows_output, rows if chance < 0.5 else random.randint(0, rows))
            outcome = RunOutcome("succeeded", rows, delivered)
        elif chance < 0.92:
            rows = random.choice([0, random.randint(1, run.rows)])
            outcome = RunOutcome("failed", rows, random.randint(0, min(rows, run.rows_output)))
        else:
            rows = random.choice([0, random.randint(1, run.rows)])
            outcome = RunOutcome("cancelled", rows, min(rows, run.rows_output))
        day.add(ledger.SettleRun(self.account_id, run.run_id, outcome, day.next()))

    def _end_hold(self, day: _Day, hold: _Hold) -> None:
        name, fate, random = hold.reservation_id, hold.fate, self.random
        part = (hold.amount * random.randint(1, 99) / 100).quantize(Decimal("0.000001"))
        if fate == "forgotten":
            return
        if fate == "extended":
            day.add(ledger.Extend(name, timedelta(days=2), self._key(), at=day.next()))
            self._holds.append(_Hold(name, hold.amount, "whole"))
        elif fate == "released":
            day.add(ledger.Release(name, self._key(), at=day.next()))
        elif fate == "partial":
            day.add(ledger.Capture(name, part, self._key(), at=day.next()))
        elif fate == "several":
            day.add(ledger.Capture(name, part, self._key(), at=day.next(), final=False))
            self._holds.append(_Hold(name, hold.amount, random.choice(["whole", "released", "forgotten"])))
        elif fate == "above":
            over = random.choice(["if_available", "credit_line"])
            day.add(ledger.Capture(name, hold.amount + 1, self._key(), at=day.next(), over=over))
        else:
            day.add(ledger.Capture(name, None, self._key(), at=day.next()))

    def _take_grant(self, grant: ledger.Grant) -> None:
        self._grants = [*self._grants[-9:], grant.grant_id]
        self._available += grant.amount
        if grant.external_ref is None or grant.cost_basis is None:
            return
        amount = grant.amount * Decimal(grant.cost_basis["per_credit"])
        self.purchases.append(
            Purchase(
                self.account_id,
                grant.grant_id,
                grant.external_ref,
                grant.amount,
                amount,
                grant.cost_basis["currency"],
                grant.granted_at,
            )
        )

    def _take_launch(self, command: ledger.Command, result: ledger.Launch) -> None:
        assert isinstance(command, ledger.LaunchRun)
        assert result.run_id is not None
        plan = command.plan
        self._runs.append(_Run(result.run_id, command.dataset_id, plan.rows, plan.rows_output))

    def _take_settlement(self, command: ledger.Command, result: ledger.RunSettlement) -> None:
        assert isinstance(command, ledger.SettleRun)
        assert command.at is not None
        outcome = command.outcome
        rows = (outcome.rows_processed, outcome.rows_delivered or 0)
        self.finished.append(
            FinishedRun(self.account_id, result.run_id, result.status, *rows, result.captured, command.at)
        )


class _Day:
    """The commands of one day in the order of their moments, which are drawn beforehand."""

    def __init__(self, customer: Customer, day: datetime, most: int) -> None:
        drawn = sorted(customer.random.sample(range(DAY_MICROS), most))
        self._moments = iter([day + timedelta(microseconds=moment) for moment in drawn])
        self.commands: list[ledger.Command] = []

    def next(self) -> datetime:
        """The next moment."""
        return next(self._moments)

    def add(self, command: ledger.Command) -> None:
        """Put a command behind the others."""
        self.commands.append(command)


_FATES = (
    *["whole"] * 9,
    *["partial"] * 4,
    *["several"] * 2,
    *["above"] * 2,
    *["released"] * 2,
    "extended",
    "forgotten",
)
"""What becomes of holds."""


def _promotion(one: Customer, at: datetime) -> ledger.Command:
    """A gift: at once or from next week on, for anything or for one project, with an end."""
    random = one.random
    begins = at + timedelta(days=7) if random.random() < 0.4 else None
    return ledger.GrantCredits(
        one.account_id,
        Decimal(random.randint(1, 400)) / 4,
        one._key(),
        random.choice([50, 100, 150]),
        at + timedelta(days=random.choice([10, 40])),
        at,
        "promotional",
        begins,
        scope=random.choice([None, None, {"project": ["p1"]}]),
        metadata={"campaign": "spring"} if random.random() < 0.1 else None,
    )


def _revocation(one: Customer, at: datetime) -> ledger.Command:
    if not one._grants or one.random.random() < 0.5:
        return _promotion(one, at)
    return ledger.RevokeGrant(one.random.choice(one._grants), one._key(), "taken back", at=at)


def _refund(one: Customer, at: datetime) -> ledger.Command:
    if not one._captured:
        return _correction(one, at)
    name = one.random.choice(one._captured)
    return ledger.Refund(name, one.random.choice([None, Decimal("0.05")]), one._key(), "not as wanted", at=at)


def _correction(one: Customer, at: datetime) -> ledger.Command:
    amount = one.random.choice([Decimal(3), Decimal("-0.75"), Decimal("0.000001")])
    return ledger.Adjust(one.account_id, amount, "counted again", one._key(), at)


def _credit_line(one: Customer, at: datetime) -> ledger.Command:
    if one.number % 3:
        return _refund(one, at)
    return ledger.SetCreditLine(one.account_id, one.random.choice([300, 500, 900]), one._key(), at)


def _limit(one: Customer, at: datetime) -> ledger.Command:
    if one.number % 4:
        return _refund(one, at)
    maximum = one.random.choice([60_000, 50_000, None])
    return ledger.SetLimit(one.account_id, "month", maximum, "project", key=one._key(), at=at)


def _upkeep(one: Customer, at: datetime) -> ledger.Command:
    return ledger.ExpireDue(one.account_id, at)


_RARE: tuple[Callable[[Customer, datetime], ledger.Command], ...] = (
    _promotion,
    _promotion,
    _revocation,
    _refund,
    _refund,
    _refund,
    _correction,
    _credit_line,
    _limit,
    _upkeep,
)
