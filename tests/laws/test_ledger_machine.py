"""The ledger against a model that counts credits on its fingers, on both databases, in any order of commands."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import ledger
from tests.laws.ledger_model import NEVER, Hand

START = datetime(2026, 5, 1, tzinfo=UTC)
_names: Iterator[int] = itertools.count()

AMOUNTS = st.integers(1, 9)
KEYS = st.none() | st.sampled_from("abcdef")
LASTS = st.sampled_from([NEVER, 1, 2, 3, 8])
BACK = st.sampled_from([0, 0, 0, 1, 5])
REQUESTS = st.one_of(
    st.tuples(st.just("grant"), AMOUNTS, st.integers(1, 3), LASTS),
    st.tuples(st.just("reserve"), AMOUNTS, LASTS),
    st.tuples(st.just("reserve"), AMOUNTS, LASTS),
    st.tuples(st.just("capture"), st.integers(0, 9), st.none() | st.integers(0, 6)),
    st.tuples(st.just("release"), st.integers(0, 9), st.none()),
)


def moment(second: int) -> datetime:
    """A second of the model's time."""
    return START + timedelta(seconds=second)


class Machine(RuleBasedStateMachine):
    """Sends each command to the ledger and to the model, and compares all that can be seen."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine
        self.now = 0

    @initialize(amount=AMOUNTS)
    def open_accounts(self, amount: int) -> None:
        """Two accounts, the first with some credits."""
        self.names = [f"machine-{next(_names)}" for _ in range(2)]
        self.hands = {name: Hand() for name in self.names}
        with Session(self.engine) as session, session.begin():
            ledger.execute(session, [ledger.OpenAccount(name, START) for name in self.names])
        self.send([(0, None, ("grant", amount, 2, NEVER), 0)])

    def command(self, name: str, key: str | None, request: tuple[Any, ...], at: datetime) -> ledger.Command:
        """The ledger's command for the model's request."""
        match request:
            case ("grant", amount, priority, lapses):
                expires_at = None if lapses == NEVER else moment(lapses)
                return ledger.GrantCredits(name, amount, key, priority, expires_at, at)
            case ("reserve", amount, lasts):
                expires_in = None if lasts == NEVER else timedelta(seconds=lasts)
                return ledger.Reserve(name, amount, key, expires_in, at)
            case ("capture", number, amount):
                return ledger.Capture(f"{name}/r{number}", amount, key, at=at)
            case ("release", number, _):
                return ledger.Release(f"{name}/r{number}", key, at=at)
        raise ValueError(request)

    def resolved(self, hand: Hand, request: tuple[Any, ...], second: int) -> tuple[Any, ...]:
        """The request with the choices that depend on what there is: a hold's number, a moment of expiry."""
        if request[0] == "grant":
            lapses = request[3]
            return (*request[:3], lapses if lapses == NEVER else second + lapses)
        if request[0] in ("capture", "release"):
            numbers = [*hand.holds, 999]
            return (request[0], numbers[request[1] % len(numbers)], request[2])
        return request

    def send(self, steps: list[tuple[int, str | None, tuple[Any, ...], int]]) -> None:
        """One batch: each step names an account, a key, a request and how far its clock is behind."""
        commands, expected = [], []
        for account, key, request, back in steps:
            name = self.names[account]
            second = max(0, self.now - back)
            request = self.resolved(self.hands[name], request, second)
            commands.append(self.command(name, key, request, moment(second)))
            expected.append(self.hands[name].act(second, key, request))
        with Session(self.engine) as session, session.begin():
            results = ledger.execute(session, commands)
        found = [
            type(result).__name__ if isinstance(result, Exception) else "replay" if result.replayed else "new"  # type: ignore[union-attr]
            for result in results
        ]
        assert found == expected, commands

    @rule(account=st.integers(0, 1), key=KEYS, request=REQUESTS, back=BACK)
    def single(self, account: int, key: str | None, request: tuple[Any, ...], back: int) -> None:
        """One command."""
        self.send([(account, key, request, back)])

    @rule(steps=st.lists(st.tuples(st.integers(0, 1), KEYS, REQUESTS, BACK), min_size=2, max_size=6))
    def batch(self, steps: list[tuple[int, str | None, tuple[Any, ...], int]]) -> None:
        """Several commands in one call."""
        self.send(steps)

    @rule(seconds=st.integers(1, 6))
    def wait(self, seconds: int) -> None:
        """Time goes on."""
        self.now += seconds

    @rule(account=st.integers(0, 1))
    def expire_due(self, account: int) -> None:
        """Record what has lapsed."""
        hand = self.hands[self.names[account]]
        hand.walk_to(max(self.now, hand.time))
        with Session(self.engine) as session, session.begin():
            ledger.expire_due(session, account_id=self.names[account], at=moment(self.now))

    @invariant()
    def everything_seen_is_the_same(self) -> None:
        """Balances and the states of holds, now and later, as the model has them."""
        with Session(self.engine) as session:
            for name, hand in getattr(self, "hands", {}).items():
                for second in (max(self.now, hand.time), max(self.now, hand.time) + 4):
                    seen = hand.seen_at(second)
                    balance = ledger.get_balance(session, name, at=moment(second))
                    for place in ("available", "held", "consumed", "expired"):
                        assert getattr(balance, place) == seen.count(place), (place, second)
                    holds = ledger.list_reservations(session, name, at=moment(second), limit=10_000)
                    assert {h.reservation_id: str(h.state) for h in holds} == {
                        f"{name}/r{number}": hold.state for number, hold in seen.holds.items()
                    }

    def teardown(self) -> None:
        """The book proves itself, its grants are where the model's credits lie, and its statement ties."""
        with Session(self.engine) as session:
            for name, hand in getattr(self, "hands", {}).items():
                assert list(ledger.audit(session, account_id=name)) == []
                rows = session.execute(
                    text(
                        "SELECT number, available, held, consumed, expired FROM ledger_grant WHERE account_id = :name"
                    ),
                    {"name": name},
                )
                places = ("available", "held", "consumed", "expired")
                assert {number: tuple(amount // 10**6 for amount in amounts) for number, *amounts in rows} == {
                    lot: tuple(sum(f.lot == lot and f.place == place for f in hand.fingers) for place in places)
                    for lot in {finger.lot for finger in hand.fingers}
                }
                statement = ledger.get_statement(session, name, until=moment(hand.time + 1))
                assert len(statement.entries) == hand.seen_at(hand.time).entries


def check(engine: Engine, examples: int) -> None:
    """Run the machine."""
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        lambda: Machine(engine), settings=settings(max_examples=examples, stateful_step_count=30)
    )


def test_the_ledger_is_the_model_in_any_order_of_commands(engine: Engine, pytestconfig: pytest.Config) -> None:
    check(engine, 500 if pytestconfig.getoption("--long") else 40)


@pytest.mark.external
def test_the_ledger_is_the_model_in_many_more_orders(engine: Engine) -> None:
    """The long mode: a minute or two on each database."""
    check(engine, 400)
