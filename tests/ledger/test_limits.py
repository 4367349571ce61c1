"""What an account may owe and spend: the credit line, and spend limits of every period."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.orm import Session

import ledger
from tests.ledger.conftest import START, later


def owed(session: Session, at: Any = START) -> Decimal:
    """What the account owes."""
    return ledger.get_credit_line(session, "acme", at=at).owed


def is_sound(session: Session) -> bool:
    """True when the book proves itself."""
    return not list(ledger.audit(session))


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


def test_a_renewed_allowance_repays_what_the_line_lent(session: Session) -> None:
    ledger.open_account(session, "acme", at=START)
    ledger.set_credit_line(session, "acme", 100, at=START)
    ledger.grant_credits(session, "acme", 10, recurrence=ledger.Recurrence("day"), at=START)
    ledger.capture(session, ledger.reserve(session, "acme", 14, at=START).reservation_id, at=START)
    balance = ledger.get_balance(session, "acme", at=later(days=1))
    assert (balance.owed, balance.available) == (0, 6)
    ledger.expire_due(session, account_id="acme", at=later(days=1))
    assert is_sound(session)


def test_a_refund_reduces_what_is_owed_and_then_gives_back_what_repaid_it(session: Session, acme: str) -> None:
    ledger.set_credit_line(session, "acme", 10, at=START)
    hold = ledger.reserve(session, "acme", 18, at=START)
    ledger.capture(session, hold.reservation_id, at=START)
    early = ledger.grant_credits(session, "acme", 3, at=later(1))
    late = ledger.grant_credits(session, "acme", 2, expires_at=later(50), at=later(2))
    assert owed(session, later(2)) == 3
    given = ledger.refund(session, hold.reservation_id, 7, at=later(3))
    assert (given.refunded, given.applied, given.captured) == (7, 7, 18)
    standings = {grant.grant_id: grant for grant in ledger.list_grants(session, "acme", at=later(3), ended=True)}
    # Of the 8 that were lent 3 are owed no more, 2 go back to the later grant, 2 to the earlier one.
    assert owed(session, later(3)) == 0
    assert (standings[late.grant_id].available, standings[early.grant_id].available) == (2, 2)
    assert is_sound(session)
    ledger.refund(session, hold.reservation_id, at=later(60))
    balance = ledger.get_balance(session, "acme", at=later(60))
    assert (balance.available, balance.consumed, balance.expired, balance.owed) == (13, 0, 2, 0)
    assert is_sound(session)


def test_a_line_lowered_below_what_is_owed_lends_nothing_until_repaid(session: Session, acme: str) -> None:
    ledger.set_credit_line(session, "acme", 10, at=START)
    ledger.capture(session, ledger.reserve(session, "acme", 16, at=START).reservation_id, at=START)
    lowered = ledger.set_credit_line(session, "acme", 4, at=later(1))
    assert (lowered.limit, lowered.owed, lowered.left) == (4, 6, 0)
    with pytest.raises(ledger.InsufficientCredits):
        ledger.reserve(session, "acme", 1, at=later(1))
    ledger.grant_credits(session, "acme", 3, at=later(2))
    assert ledger.reserve(session, "acme", 1, at=later(2)).state == "held"
    assert is_sound(session)


def test_credits_that_the_line_lent_to_a_hold_go_back_to_it(session: Session, acme: str) -> None:
    ledger.set_credit_line(session, "acme", 5, at=START)
    hold = ledger.reserve(session, "acme", 15, expires_in=timedelta(seconds=5), at=START)
    assert owed(session) == 5
    assert owed(session, later(5)) == 0
    ledger.expire_due(session, account_id="acme", at=later(5))
    assert ledger.get_reservation(session, hold.reservation_id, at=later(5)).freed == 15
    assert is_sound(session)


def test_the_line_is_no_grant_to_revoke(session: Session, acme: str) -> None:
    ledger.set_credit_line(session, "acme", 5, at=START)
    with pytest.raises(ledger.GrantNotFound):
        ledger.revoke_grant(session, "acme/g2", at=START)


def test_an_estimate_and_a_launch_say_what_is_there_with_the_line_and_for_the_dataset(
    session: Session, acme: str
) -> None:
    from tests.ledger.test_runs import BODY, launch

    ledger.set_credit_line(session, "acme", 5, at=START)
    ledger.grant_credits(session, "acme", 3, scope={"dataset": ["d1"]}, at=START)
    ledger.grant_credits(session, "acme", 70, scope={"dataset": ["other"]}, at=START)
    quoted = launch(session, BODY | {"estimate": True}).response
    assert quoted.available_credits == 18
    started = launch(session).response
    assert started.available_credits == 18 - started.credits


@pytest.mark.parametrize("period", ["day", "month", "total"])
def test_a_limit_bounds_what_a_label_takes_in_a_period(session: Session, acme: str, period: str) -> None:
    ledger.set_limit(session, "acme", period, 6, label="project", value="p1", at=START)
    ledger.reserve(session, "acme", 4, labels={"project": "p1"}, at=START)
    with pytest.raises(ledger.LimitExceeded) as refused:
        ledger.reserve(session, "acme", 3, labels={"project": "p1"}, at=later(1))
    assert (refused.value.requested, refused.value.left) == (3, 2)
    assert "project 'p1'" in refused.value.limit
    assert "project 'p1'" in str(refused.value)
    ledger.reserve(session, "acme", 2, labels={"project": "p1"}, at=later(1))
    ledger.reserve(session, "acme", 3, labels={"project": "p2"}, at=later(1))
    assert is_sound(session)


def test_a_limit_of_a_period_is_whole_again_in_the_next(session: Session, acme: str) -> None:
    ledger.set_limit(session, "acme", "day", 3, at=START)
    ledger.set_limit(session, "acme", "month", 5, at=START)
    ledger.reserve(session, "acme", 3, at=START)
    with pytest.raises(ledger.LimitExceeded, match="credits per day"):
        ledger.reserve(session, "acme", 1, at=later(days=1, seconds=-0.000001))
    ledger.reserve(session, "acme", 2, at=later(days=1))
    with pytest.raises(ledger.LimitExceeded, match="credits per month"):
        ledger.reserve(session, "acme", 1, at=later(days=1))
    ledger.reserve(session, "acme", 1, at=START.replace(month=4))
    usage = {
        (found.limit.period, found.used, found.left)
        for found in ledger.list_limit_usage(session, "acme", at=START.replace(month=4))
    }
    assert usage == {("day", 1, 2), ("month", 1, 4)}
    assert is_sound(session)


def test_a_limit_on_each_value_counts_them_apart(session: Session, acme: str) -> None:
    ledger.set_limit(session, "acme", "total", 2, label="api_key", at=START)
    for key in ("a", "b"):
        ledger.reserve(session, "acme", 2, labels={"api_key": key}, at=START)
    with pytest.raises(ledger.LimitExceeded, match="api_key 'a'"):
        ledger.reserve(session, "acme", 1, labels={"api_key": "a"}, at=START)
    ledger.reserve(session, "acme", 5, at=START)
    used = {found.value: found.used for found in ledger.list_limit_usage(session, "acme", at=START)}
    assert used == {"a": 2, "b": 2}


def test_what_a_hold_frees_or_is_refunded_counts_no_more(session: Session, acme: str) -> None:
    ledger.set_limit(session, "acme", "total", 5, at=START)
    hold = ledger.reserve(session, "acme", 5, at=START)
    ledger.capture(session, hold.reservation_id, 3, at=later(1))
    ledger.reserve(session, "acme", 2, expires_in=timedelta(seconds=3), at=later(2))
    with pytest.raises(ledger.LimitExceeded):
        ledger.reserve(session, "acme", 1, at=later(3))
    ledger.refund(session, hold.reservation_id, 1, at=later(3))
    ledger.reserve(session, "acme", 1, at=later(3))
    ledger.reserve(session, "acme", 2, at=later(5))  # the hold of two has lapsed
    with pytest.raises(ledger.LimitExceeded):
        ledger.reserve(session, "acme", 1, at=later(5))
    assert is_sound(session)


def test_what_is_captured_above_a_hold_counts_and_is_not_refused(session: Session, acme: str) -> None:
    ledger.set_limit(session, "acme", "total", 5, at=START)
    hold = ledger.reserve(session, "acme", 5, at=START)
    assert ledger.capture(session, hold.reservation_id, 7, over="if_available", at=START).captured == 7
    (usage,) = ledger.list_limit_usage(session, "acme", at=START)
    assert (usage.used, usage.left) == (7, 0)
    assert ledger.reserve(session, "acme", 5, at_most=True, at=START).amount == 0
    assert is_sound(session)


def test_open_holds_are_limited_in_number(session: Session, acme: str) -> None:
    ledger.set_limit(session, "acme", "concurrent", 2, label="dataset", at=START)
    holds = [ledger.reserve(session, "acme", 1, labels={"dataset": "d"}, at=START) for _ in range(2)]
    with pytest.raises(ledger.LimitExceeded, match="concurrent holds of dataset 'd'") as refused:
        ledger.reserve(session, "acme", 1, labels={"dataset": "d"}, at=START)
    assert (refused.value.requested, refused.value.left) == (1, 0)
    ledger.capture(session, holds[0].reservation_id, 0, final=False, at=START)
    with pytest.raises(ledger.LimitExceeded):
        ledger.reserve(session, "acme", 1, labels={"dataset": "d"}, at=START)
    ledger.capture(session, holds[0].reservation_id, at=START)
    ledger.reserve(session, "acme", 1, labels={"dataset": "d"}, at=START)
    assert is_sound(session)


def test_several_limits_hold_together_or_not_at_all(session: Session, acme: str) -> None:
    ledger.set_limit(session, "acme", "total", 9, label="project", at=START)
    ledger.set_limit(session, "acme", "day", 4, label="api_key", at=START)
    labels = {"project": "p", "api_key": "k"}
    with pytest.raises(ledger.LimitExceeded, match="api_key 'k'"):
        ledger.reserve(session, "acme", 5, labels=labels, at=START)
    assert ledger.list_limit_usage(session, "acme", at=START) == []
    ledger.reserve(session, "acme", 4, labels=labels, at=START)
    assert [found.used for found in ledger.list_limit_usage(session, "acme", at=START)] == [4, 4]


def test_a_limit_is_changed_and_lifted_by_setting_it_again(session: Session, acme: str) -> None:
    first = ledger.set_limit(session, "acme", "total", 2, key="a", at=START)
    assert ledger.set_limit(session, "acme", "total", 2, key="a", at=later(1)).replayed
    ledger.reserve(session, "acme", 2, at=START)
    ledger.set_limit(session, "acme", "total", 3, at=START)
    ledger.reserve(session, "acme", 1, at=START)
    ledger.set_limit(session, "acme", "total", None, at=START)
    ledger.reserve(session, "acme", 5, at=START)
    assert [limit.maximum for limit in ledger.list_limits(session, "acme")] == [None]
    assert ledger.list_limit_usage(session, "acme", at=START) == []
    ledger.set_limit(session, "acme", "total", 4, at=START)
    ledger.reserve(session, "acme", 1, at=START)
    assert (first.label, first.value, first.period, first.maximum) == ("", "*", "total", 2)
    assert is_sound(session)


def test_a_batch_sets_a_lifted_limit_again_and_goes_on_counting_where_it_stopped(session: Session, acme: str) -> None:
    ledger.set_limit(session, "acme", "day", 5, at=START)
    ledger.reserve(session, "acme", 3, at=START)
    ledger.set_limit(session, "acme", "day", None, at=START)
    again = [ledger.SetLimit("acme", "day", 5, at=START), *(ledger.Reserve("acme", 2, at=START) for _ in range(2))]
    results = ledger.execute(session, again)
    assert [type(result).__name__ for result in results] == ["Limit", "Reservation", "LimitExceeded"]
    assert is_sound(session)


def test_a_batch_sets_a_limit_and_holds_under_it(session: Session, acme: str) -> None:
    results = ledger.execute(
        session,
        [
            ledger.SetLimit("acme", "total", 3, at=START),
            ledger.Reserve("acme", 2, at=START),
            ledger.Reserve("acme", 2, at=START),
            ledger.Reserve("acme", 1, at=later(days=40)),
        ],
    )
    assert [type(result).__name__ for result in results] == ["Limit", "Reservation", "LimitExceeded", "Reservation"]
    assert is_sound(session)


def test_at_most_holds_what_limits_leave(session: Session, acme: str) -> None:
    ledger.set_limit(session, "acme", "total", 4, at=START)
    assert ledger.reserve(session, "acme", 9, at_most=True, at=START).amount == 4
    assert ledger.reserve(session, "acme", 9, at_most=True, at=START).amount == 0


def test_a_run_is_limited_by_its_dataset_and_by_itself(session: Session) -> None:
    from tests.ledger.test_runs import launch

    ledger.open_account(session, "acme", at=START)
    ledger.grant_credits(session, "acme", 1000, at=START)
    ledger.set_limit(session, "acme", "total", Decimal("0.01"), label="run", at=START)

    def start() -> ledger.Launch:
        return launch(session, labels={"project": "p"})

    with pytest.raises(ledger.LimitExceeded, match="of run 'dataset-d1-"):
        start()
    ledger.set_limit(session, "acme", "total", None, label="run", at=START)
    ledger.set_limit(session, "acme", "concurrent", 0, label="project", value="p", at=START)
    with pytest.raises(ledger.LimitExceeded, match="concurrent holds of project 'p'"):
        start()
    ledger.set_limit(session, "acme", "concurrent", 1, label="project", value="p", at=START)
    assert start().run_id is not None
    assert is_sound(session)


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"period": "week", "maximum": 1}, "period"),
        ({"period": "day", "maximum": -1}, "maximum"),
        ({"period": "day", "maximum": 0.5}, "maximum"),
        ({"period": "concurrent", "maximum": Decimal(1)}, "maximum"),
        ({"period": "concurrent", "maximum": -1}, "maximum"),
        ({"period": "day", "maximum": 1, "value": "p1"}, "value"),
        ({"period": "day", "maximum": 1, "label": "x" * 300}, "label"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(session: Session, acme: str, terms: Any, field: str) -> None:
    with pytest.raises(ledger.CommandInvalid) as refused:
        ledger.set_limit(session, "acme", at=START, **terms)
    assert refused.value.field == field


@pytest.mark.parametrize("labels", [{"a": ""}, {"": "a"}, {"a": 1}, ["a"], {str(n): "x" for n in range(17)}])
def test_labels_are_a_few_short_texts(session: Session, acme: str, labels: Any) -> None:
    with pytest.raises(ledger.CommandInvalid):
        ledger.reserve(session, "acme", 1, labels=labels, at=START)
