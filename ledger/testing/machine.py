"""The ledger compared with the model of `ledger.testing.model`, under any order of commands and of time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import Engine
from sqlalchemy.orm import Session

import ledger
from ledger.testing.model import NEVER, PAID, PROMOTIONAL, Hand

PLACES = ("available", "held", "consumed", "expired", "revoked", "scheduled")
START = datetime(2026, 5, 1, tzinfo=UTC)
_names: Iterator[int] = itertools.count()

AMOUNTS = st.integers(1, 9)
KEYS = st.sampled_from([None, None, None, None, *"abcd"])
LASTS = st.sampled_from([NEVER, 1, 2, 3, 8])
BACK = st.sampled_from([0, 0, 0, 1, 5])
NUMBERS = st.sampled_from([0, 0, 0, 1, 2, 5])
PARTS = st.sampled_from([None, 0, 1, 2, 4, 6, 11])
RESERVE = st.tuples(
    st.just("reserve"), AMOUNTS, LASTS, st.sampled_from([0, 0, 2]), st.sampled_from([False, False, True])
)
GRANT = st.tuples(
    st.just("grant"),
    AMOUNTS,
    st.integers(1, 3),
    LASTS,
    st.sampled_from([PROMOTIONAL, PAID]),
    st.sampled_from([0, 0, 0, -3, 2, 4]),
)
CAPTURE = st.tuples(st.just("capture"), NUMBERS, PARTS, st.booleans(), st.sampled_from(["reject", "if_available"]))
REFUND = st.tuples(st.just("refund"), NUMBERS, st.sampled_from([None, 1, 2, 3]))
# Weighted: a command that needs an earlier one to succeed is drawn more often.
REQUESTS = st.sampled_from(
    [
        *[GRANT] * 4,
        *[RESERVE] * 5,
        *[CAPTURE] * 4,
        *[REFUND] * 3,
        st.tuples(st.just("release"), NUMBERS, st.none()),
        st.tuples(st.just("extend"), NUMBERS, st.integers(1, 4)),
        st.tuples(st.just("revoke"), NUMBERS),
        st.tuples(st.just("adjust"), st.integers(-4, 4).filter(bool)),
    ]
).flatmap(lambda request: request)


def moment(second: int) -> datetime:
    """A second of the model's time."""
    return START + timedelta(seconds=second)


class LedgerMachine(RuleBasedStateMachine):
    """Sends each command to the ledger and to the model, and compares everything that a caller can read."""

    engine: Engine

    def __init__(self) -> None:
        super().__init__()
        self.now = 0

    @initialize(amount=AMOUNTS)
    def open_accounts(self, amount: int) -> None:
        """Two accounts, the first with some credits."""
        self.names = [f"machine-{next(_names)}" for _ in range(2)]
        self.hands = {name: Hand() for name in self.names}
        self.sent: list[tuple[int, str, tuple[Any, ...]]] = []
        with Session(self.engine) as session, session.begin():
            ledger.execute(session, [ledger.OpenAccount(name, START) for name in self.names])
        self.send([(0, None, ("grant", amount, 2, NEVER, PAID, 0), 0)])

    def command(self, name: str, key: str | None, request: tuple[Any, ...], at: datetime) -> ledger.Command:
        """The ledger's command for the model's request."""
        match request:
            case ("grant", amount, priority, lapses, kind, effective):
                return ledger.GrantCredits(
                    name,
                    amount,
                    key,
                    priority,
                    None if lapses == NEVER else moment(lapses),
                    at,
                    ledger.GrantKind.PAID if kind == PAID else ledger.GrantKind.PROMOTIONAL,
                    moment(effective),
                )
            case ("reserve", amount, lasts, grace, at_most):
                expires_in = None if lasts == NEVER else timedelta(seconds=lasts)
                late = timedelta(seconds=grace) if grace and expires_in else None
                return ledger.Reserve(name, amount, key, expires_in, at, late, at_most=at_most)
            case ("adjust", amount):
                return ledger.Adjust(name, amount, "counted again", key, at)
            case ("revoke", number):
                return ledger.RevokeGrant(f"{name}/g{number}", key, at=at)
        return self.command_on_hold(f"{name}/r{request[1]}", key, request, at)

    def command_on_hold(self, hold: str, key: str | None, request: tuple[Any, ...], at: datetime) -> ledger.Command:
        """The ledger's command on a hold."""
        match request:
            case ("capture", _, amount, final, over):
                return ledger.Capture(hold, amount, key, at=at, final=final, over=over)
            case ("extend", _, by):
                return ledger.Extend(hold, timedelta(seconds=by), key, at=at)
            case ("refund", _, amount):
                return ledger.Refund(hold, amount, key, at=at)
        return ledger.Release(hold, key, at=at)

    def resolved(self, hand: Hand, request: tuple[Any, ...], second: int) -> tuple[Any, ...]:
        """The request with what depends on the state filled in: the number of a hold, the moments of a grant."""
        if request[0] == "grant":
            lapses = request[3]
            return (*request[:3], lapses if lapses == NEVER else second + lapses, request[4], second + request[5])
        if request[0] in ("capture", "release", "extend", "refund", "revoke"):
            numbers = self.likely(hand, request[0])
            return (request[0], numbers[request[1] % len(numbers)], *request[2:])
        return request

    def likely(self, hand: Hand, what: str) -> list[int]:
        """Numbers of grants or holds to name: first those with which the request may succeed, then an unknown one."""
        if what == "revoke":
            ended = [number for number, lot in hand.lots.items() if lot.is_revoked]
            return [*(number for number in reversed(hand.lots) if number not in ended), 999, *ended]
        place = "consumed" if what == "refund" else "held"
        fit = [number for number, hold in hand.holds.items() if hold.lying(place)]
        return [*reversed(fit), 999, *hand.holds]

    def send(self, steps: list[tuple[int, str | None, tuple[Any, ...], int]], *, is_resolved: bool = False) -> None:
        """Send one batch: each step has an account, a key, a request, and how many seconds its clock is behind.

        `is_resolved` says that the requests name their holds and moments already.
        """
        commands, expected = [], []
        for account, key, request, back in steps:
            name = self.names[account]
            second = max(0, self.now - back)
            if not is_resolved:
                request = self.resolved(self.hands[name], request, second)
            commands.append(self.command(name, key, request, moment(second)))
            expected.append(self.hands[name].act(second, key, request))
            if key is not None and expected[-1] == "new":
                self.sent.append((account, key, request))
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

    @rule(which=NUMBERS, back=BACK, is_other=st.booleans())
    def again(self, which: int, back: int, is_other: bool) -> None:
        """Send an accepted keyed request again: the same, which is a replay, or another, which is a conflict."""
        if not self.sent:
            return
        account, key, request = self.sent[-1 - which % len(self.sent)]
        if is_other and request[0] in ("grant", "reserve"):
            request = (request[0], request[1] + 1, *request[2:])
        self.send([(account, key, request, back)], is_resolved=True)

    @rule(
        grants=st.lists(GRANT, min_size=1, max_size=3),
        lasts=LASTS,
        captured=st.sampled_from([2, 4, 6, 8]),
        final=st.booleans(),
        refunded=st.sampled_from([1, 2, 3]),
        revoked=st.sampled_from([[], [("revoke", 0)], [("revoke", 0), ("revoke", 1)]]),
    )
    def story(
        self,
        grants: list[tuple[Any, ...]],
        lasts: int,
        captured: int,
        final: bool,
        refunded: int,
        revoked: list[tuple[Any, ...]],
    ) -> None:
        """A hold over several grants, some revoked, captured and refunded in part: rare among single commands."""
        over = "if_available"
        requests = [
            *grants,
            ("reserve", 9, lasts, 2, True),
            ("capture", 0, captured, final, over),
            *revoked,
            ("refund", 0, refunded),
        ]
        self.send([(0, None, request, 0) for request in requests])

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
                    for place in PLACES:
                        assert getattr(balance, place) == seen.count(place), (place, second)
                    holds = ledger.list_reservations(session, name, at=moment(second), limit=10_000)
                    assert {h.reservation_id: str(h.state) for h in holds} == {
                        f"{name}/r{number}": hold.state for number, hold in seen.holds.items()
                    }

    def teardown(self) -> None:
        """The audit is clean, each grant has its credits in the model's places, and the statement has every entry."""
        with Session(self.engine) as session:
            for name, hand in getattr(self, "hands", {}).items():
                assert list(ledger.audit(session, account_id=name)) == []
                found = ledger.list_grants(session, name, at=moment(hand.time), ended=True)
                assert {grant.grant_id: tuple(getattr(grant, place) for place in PLACES) for grant in found} == {
                    f"{name}/g{number}": tuple(len(hand.lying(place, lot)) for place in PLACES)
                    for number, lot in hand.lots.items()
                }
                statement = ledger.get_statement(session, name, until=moment(hand.time + 1))
                assert len(statement.entries) == hand.seen_at(hand.time).entries


def run_machine(engine: Engine, *, examples: int = 100, steps: int = 30) -> None:
    """Send `examples` sequences of up to `steps` steps to the ledger on an engine and to the model.

    The database must have the ledger's tables. Accounts named `machine-...` are left in it. Raises `AssertionError`
    where ledger and model differ, with the shortest sequence that Hypothesis finds.
    """
    bound = type("Machine", (LedgerMachine,), {"engine": engine})
    run_state_machine_as_test(bound, settings=settings(max_examples=examples, stateful_step_count=steps))
