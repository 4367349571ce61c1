"""Spend limits: what counts against them, in which window, and what they refuse."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy.orm import Session

import ledger
from tests.ledger.conftest import START, later
from tests.ledger.shorthand import is_sound
from tests.ledger.test_runs import launch


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
