"""Writes the year into a ledger by its own verbs, in batches of many customers' days, with the clock of the year."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

import ledger
from ledger.model.moments import to_moment
from tests.finance_year.customers import END, START, Customer, FinishedRun, Purchase

_BATCH = 1_500
_BURST = 5
"""Entries that a customer makes on a day on which it does something, about."""

_REFUSALS = frozenset(
    {
        "GrantEnded",
        "GrantNotFound",
        "InsufficientCredits",
        "LimitExceeded",
        "RefundExceedsCapture",
        "ReservationNotHeld",
        "RunAlreadyActive",
        "CaptureExceedsReservation",
    }
)
"""What customers are refused who ask for too much, or come too late."""


@dataclass(frozen=True)
class Settings:
    """One year; of its discrepancies a tenth is of each kind."""

    seed: int
    accounts: int
    entries: int
    discrepancies: int = 500

    def __post_init__(self) -> None:
        if self.accounts < self.of_a_kind:
            raise SystemExit(f"{self.discrepancies} discrepancies need {self.of_a_kind} accounts or more.")

    @property
    def of_a_kind(self) -> int:
        """Discrepancies of each kind."""
        return self.discrepancies // 10

    def is_booked_twice(self, number: int) -> bool:
        """True for as many customers as there are discrepancies of a kind."""
        step = self.accounts // max(1, self.of_a_kind)
        return number % step == step - 1 and number // step < self.of_a_kind


@dataclass
class Year:
    """What was written, as those know it who asked for it."""

    settings: Settings
    entries: int = 0
    verbs: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    purchases: list[Purchase] = field(default_factory=list)
    runs: list[FinishedRun] = field(default_factory=list)


def write_year(engine: Engine, settings: Settings, say: Callable[[str], None] | None = None) -> Year:
    """Write a year's entries, at least as many as asked for, into a ledger that is empty; it ends with nothing due."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _without_waiting)
    year = Year(settings)
    customers = [
        Customer(settings.seed, number, settings.is_booked_twice(number)) for number in range(settings.accounts)
    ]
    days = (END - START).days
    for number in range(days):
        day = START + timedelta(days=number)
        wanted = (settings.entries - year.entries) / (days - number)
        _write_day(engine, year, customers, day, wanted)
        if say is not None and number % 30 == 29:
            say(f"{day:%Y-%m-%d}: {year.entries:,} entries")
    last = END - timedelta(microseconds=1)
    _carry_out(engine, year, [(one, ledger.ExpireDue(one.account_id, last)) for one in customers], last)
    for one in customers:
        year.purchases += one.purchases
        year.runs += one.finished
    return year


def _write_day(engine: Engine, year: Year, customers: list[Customer], day: datetime, wanted: float) -> None:
    """Have those who open, and by chance some of those who have opened, do what they do on a day."""
    there = [one for one in customers if one.opens_on < day]
    burst = max(_BURST, wanted / max(1, len(there)))
    chance = wanted / max(1, len(there)) / burst
    asked: list[tuple[Customer, ledger.Command]] = []
    for one in customers:
        if one.opens_on == day:
            asked += [(one, command) for command in one.opening()]
        elif one.opens_on < day and one.random.random() < chance:
            asked += [(one, command) for command in one.commands(day, round(burst))]
        if len(asked) >= _BATCH:
            _carry_out(engine, year, asked, day)
            asked = []
    _carry_out(engine, year, asked, day)


def _carry_out(engine: Engine, year: Year, asked: list[tuple[Customer, ledger.Command]], recorded_at: datetime) -> None:
    """One batch, committed; what it was answered goes to those who asked."""
    with Session(engine) as session, session.begin(), _clock(recorded_at + timedelta(days=1)):
        results = ledger.execute(session, [command for _, command in asked])
        year.entries = session.execute(text("SELECT coalesce(sum(sequence), 0) FROM ledger_account")).scalar_one()
    for (one, command), result in zip(asked, results, strict=True):
        year.verbs[type(command).__name__] += 1
        if isinstance(result, Exception):
            name = type(result).__name__
            if name not in _REFUSALS:
                raise result
            year.refusals[name] += 1
        one.take(command, result)


@contextmanager
def _clock(moment: datetime) -> Iterator[None]:
    """Have entries recorded at a moment of the year, so that a book is the same whenever it is made."""
    with patch("ledger.storage.journal.clock", lambda: to_moment(moment)):
        yield


def _without_waiting(connection: Any, _record: object) -> None:
    """Leave it to the system when what was committed reaches the disk: nobody needs this book after a crash."""
    connection.execute("PRAGMA synchronous = OFF").close()
