"""Groups in order, and how accounts move."""

from __future__ import annotations

from decimal import Decimal

from estimator import RateCard
from estimator.scenarios.counting.groups import RawGroup, account_changes, grouped
from estimator.scenarios.counting.tally import Question, tally
from estimator.scenarios.reading.sources import open_runs
from tests.estimator.scenarios.past import MANY

ACCOUNTS = [
    RawGroup("b", 1, (100, 150)),
    RawGroup("a", 1, (100, 150)),
    RawGroup("c", 2, (100, 90)),
    RawGroup("d", 1, (100, 100)),
    RawGroup("e", 1, (0, 7)),
]


def test_a_group_is_shown_in_credits() -> None:
    shown = RawGroup("a", 3, (1_000_000, 2_500_000)).group()
    assert (shown.key, shown.runs, shown.baseline, shown.candidates) == ("a", 3, Decimal(1), (Decimal("2.5"),))


def test_accounts_that_move_most_come_first_and_equal_ones_by_name() -> None:
    found = account_changes(ACCOUNTS, 0, 2)
    assert [group.key for group in found["dearer_accounts"]] == ["a", "b"]
    assert [group.key for group in found["cheaper_accounts"]] == ["c"]
    movement = found["accounts"]
    assert (movement.dearer, movement.cheaper, movement.same) == (3, 1, 1)
    assert {found.label: found.count for found in found["account_distribution"] if found.count} == {
        "-10% to -5%": 1,
        "no change": 1,
        "50% to 100%": 2,
        "from nothing": 1,
    }


def test_coded_dimensions_come_in_their_own_order_and_months_in_time(card: RateCard, cheaper: RateCard) -> None:
    names = ("length", "recipe", "month", "account")
    found = tally(open_runs(MANY), Question([card, cheaper], names, (), True))
    keys = {name: [group.key for group in grouped(name, found)] for name in names}
    assert keys["length"] == ["concise", "extensive"]
    assert keys["recipe"] == ["deduplication", "prompt_rephrase", "reasoning_traces"]
    assert keys["month"] == ["2025-12", "2026-01", "2026-02"]
    changes = [abs(group.delta(0)) for group in grouped("account", found)]
    assert changes == sorted(changes, reverse=True)
