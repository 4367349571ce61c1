"""A forecast of any account and any plan is what then happens on a database, entry by entry, and writes nothing."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import ledger
from ledger.book.buckets import BALANCES
from ledger.book.postings import genesis
from ledger.book.states import AccountState
from ledger.model.moments import to_moment
from ledger.rules import decide
from ledger.storage.history import read_sequence
from tests.laws.commands import START, Chance

_names: Iterator[int] = itertools.count()
WRITTEN = text("SELECT total_changes()")


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """A database in memory."""
    engine = ledger.create_engine("sqlite://")
    ledger.upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture(autouse=True)
def plans_are_of_the_future(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.forecasts.clock", lambda: to_moment(START))


def live(session: Session, chance: Chance) -> None:
    """Carry out commands that may well succeed, in memory too: what is drawn next depends on what came of them."""
    name, now = chance.account_id, to_moment(START)
    ledger.open_account(session, name, at=START)
    accounts = {name: AccountState(name, now, 0, now, genesis(name, now), [0] * len(BALANCES), None)}
    rich = ledger.GrantCredits(name, chance.random.choice([5, 200]), at=START)
    for number in range(chance.random.randint(1, 60)):
        command = chance.next_command(accounts[name]) if number else rich
        if command is not None:
            decide(accounts, [command], now)
            ledger.execute(session, [command])


def plan(chance: Chance) -> list[ledger.PlannedRun]:
    """Runs of the next hours and days, some of them at one moment."""
    draw, second = chance.random, chance.second
    runs = []
    for _ in range(draw.randint(0, 15)):
        second += draw.choice([0, 1, 600, 3600, 40_000, 90_000])
        runs.append(ledger.PlannedRun(START + timedelta(seconds=second), chance.amount(), chance.labels()))
    return runs


def happen(session: Session, name: str, runs: list[ledger.PlannedRun], until: datetime) -> list[Any]:
    """Carry the plan out: the balance after each run that was paid, the code of what refused the others."""
    found: list[Any] = []
    for run in runs:
        ledger.expire_due(session, account_id=name, at=run.at)
        (held,) = ledger.execute(session, [run.to_command(name)])
        if isinstance(held, ledger.Reservation):
            ledger.capture(session, held.reservation_id, at=run.at)
            found.append(ledger.get_balance(session, name, at=run.at))
        else:
            found.append(held.code)
    ledger.expire_due(session, account_id=name, at=until)
    return found


def told_of(entry: ledger.Entry) -> tuple[Any, ...]:
    """All of an entry but when it was recorded, and what builds on that."""
    return (entry.sequence, entry.kind, entry.at, entry.reservation_id, entry.transfers, entry.details, entry.balance)


def burnt(entries: Sequence[ledger.Entry]) -> dict[str, Any]:
    """What entries consume of each grant."""
    found: dict[str, Any] = {}
    for move in (move for entry in entries for move in entry.transfers if move.target == "consumed"):
        found[move.grant_id] = found.get(move.grant_id, 0) + move.amount
    return found


@given(seed=st.integers(0, 10**9))
def test_a_forecast_is_what_happens(engine: Engine, seed: int) -> None:
    name = f"forecast-{next(_names)}"
    chance = Chance(seed, name)
    with Session(engine) as session:
        live(session, chance)
        runs = plan(chance)
        last = max([START + timedelta(seconds=chance.second), *(run.at for run in runs)])
        until = last + timedelta(days=chance.random.choice([0, 1, 5, 40]))
        written = session.connection().scalar(WRITTEN)
        told = ledger.forecast(session, name, runs, until=until)
        assert session.connection().scalar(WRITTEN) == written
        known = read_sequence(session.connection(), name) or 0
        happened = happen(session, name, runs, until)
        entries = ledger.get_statement(session, name, until=until + timedelta(microseconds=1)).entries[known:]
        assert [step.balance if step.refusal is None else step.refusal.code for step in told.steps] == happened
        assert [told_of(entry) for entry in told.entries] == [told_of(entry) for entry in entries]
        assert told.consumed == burnt(entries)
        assert told.closing == ledger.get_balance(session, name, at=until)
