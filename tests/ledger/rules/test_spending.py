"""Which grants pay, in which order; what the credit line lends and how it is repaid."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy.orm import Session

import ledger
from ledger.rules import decide
from tests.ledger.conftest import START, later
from tests.ledger.shorthand import NOW, account, drawn, grant, is_sound, owed


def test_grants_burn_by_priority_expiry_kind_effect_and_number(session: Session, empty: str) -> None:
    youngest = grant(session, 1, priority=5)
    earlier_effect = grant(session, 1, priority=5, effective_at=later(-60))
    promotional = grant(session, 1, priority=5, kind="promotional")
    late = grant(session, 1, priority=5, expires_at=later(days=2))
    soon = grant(session, 1, priority=5, expires_at=later(days=1))
    first = grant(session, 1, priority=4)
    last = grant(session, 1, priority=6, expires_at=later(1), kind="promotional")
    second_youngest = grant(session, 1, priority=5)
    order = [first, soon, late, promotional, earlier_effect, youngest, second_youngest, last]
    assert [grant_id for grant_id, _ in drawn(session, 8)] == order
    assert is_sound(session)


def test_grants_burn_by_priority_then_expiry_with_none_last_then_age(session: Session) -> None:
    ledger.open_account(session, "acme", at=START)
    for priority, days in ((2, 1), (1, None), (1, 9), (1, 5), (1, 5)):
        expires_at = None if days is None else later(days=days)
        ledger.grant_credits(session, "acme", 1, priority=priority, expires_at=expires_at, at=START)
    hold = ledger.reserve(session, "acme", Decimal("4.5"), at=START)
    assert [part.grant_id for part in hold.slices] == ["acme/g4", "acme/g5", "acme/g3", "acme/g2", "acme/g1"]
    assert [part.amount for part in hold.slices] == [1, 1, 1, 1, Decimal("0.5")]
    assert ledger.get_reservation(session, hold.reservation_id, at=START).slices == hold.slices


def test_a_batch_of_draws_walks_over_spent_grants_in_order(session: Session) -> None:
    ledger.open_account(session, "acme", at=START)
    for _ in range(4):
        ledger.grant_credits(session, "acme", 2, at=START)
    holds = ledger.execute(session, [ledger.Reserve("acme", amount, at=START) for amount in (2, 1, 3, 2)])
    drawn = [[(part.grant_id, int(part.amount)) for part in hold.slices] for hold in holds]  # type: ignore[union-attr]
    assert drawn == [
        [("acme/g1", 2)],
        [("acme/g2", 1)],
        [("acme/g2", 1), ("acme/g3", 2)],
        [("acme/g4", 2)],
    ]


def test_a_thousand_grants_burn_in_one_pass() -> None:
    state = account()
    grants: list[ledger.Command] = [ledger.GrantCredits("acme", 1, priority=number % 7) for number in range(1000)]
    decide({"acme": state}, grants, NOW)
    (hold,) = decide({"acme": state}, [ledger.Reserve("acme", 1000)], NOW)
    assert isinstance(hold, ledger.Reservation)
    assert len(hold.slices) == 1000
    priorities = [state.grants[int(part.grant_id.removeprefix("acme/g"))].priority for part in hold.slices]
    assert priorities == sorted(priorities)


def test_a_grant_pays_only_for_what_its_scope_allows(session: Session, empty: str) -> None:
    scoped = grant(session, 5, scope={"dataset": ["d1", "d2"], "operation": ["rephrase"]}, priority=1)
    free = grant(session, 5)
    labels = {"dataset": "d1", "operation": "rephrase", "project": "p"}
    assert drawn(session, 6, labels=labels) == [(scoped, 5), (free, 1)]
    with pytest.raises(ledger.InsufficientCredits) as refused:
        ledger.reserve(session, "acme", 5, labels={"dataset": "d1"}, at=START)
    assert refused.value.available == 4
    assert drawn(session, 4) == [(free, 4)]
    assert is_sound(session)


def test_a_credit_line_lends_last_and_no_more_than_its_limit(session: Session, acme: str) -> None:
    line = ledger.set_credit_line(session, "acme", 5, key="line", at=START)
    assert (line.limit, line.owed, line.left, line.replayed) == (5, 0, 5, False)
    assert ledger.set_credit_line(session, "acme", 5, key="line", at=later(1)).replayed
    hold = ledger.reserve(session, "acme", 13, at=START)
    assert [part.amount for part in hold.slices] == [10, 3]
    balance = ledger.get_balance(session, "acme", at=START)
    assert (balance.available, balance.held, balance.owed, balance.issued) == (0, 13, 3, 13)
    with pytest.raises(ledger.InsufficientCredits) as refused:
        ledger.reserve(session, "acme", 3, at=START)
    assert refused.value.available == 2
    ledger.capture(session, hold.reservation_id, 11, at=later(1))
    assert owed(session) == 1
    assert is_sound(session)


def test_new_grants_repay_the_line_first_but_not_those_with_a_scope(session: Session, acme: str) -> None:
    ledger.set_credit_line(session, "acme", 8, at=START)
    ledger.capture(session, ledger.reserve(session, "acme", 16, at=START).reservation_id, at=START)
    assert owed(session) == 6
    assert ledger.grant_credits(session, "acme", 3, scope={"dataset": ["d"]}, at=later(1)).repaid == 0
    assert ledger.grant_credits(session, "acme", 2, at=later(1)).repaid == 2
    assert ledger.adjust(session, "acme", 1, reason="goodwill", at=later(1)).amount == 1
    assert owed(session, later(1)) == 3
    ledger.grant_credits(session, "acme", 9, effective_at=later(60), at=later(2))
    assert owed(session, later(59)) == 3
    balance = ledger.get_balance(session, "acme", at=later(60))
    assert (balance.owed, balance.available, balance.consumed) == (0, 9, 16)
    ledger.expire_due(session, account_id="acme", at=later(60))
    assert is_sound(session)
