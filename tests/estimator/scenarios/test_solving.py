"""Solving for the value of a field that meets a total."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from estimator import RateCard
from estimator.scenarios import ScenarioInvalid, solve
from tests.estimator.scenarios.past import MANY, changed, table, total

LINEAR = RateCard.from_dict(
    {
        "name": "linear",
        "effective_from": "2026-01-01T00:00:00Z",
        "rows_max": 1_000_000,
        "targets_max": 0,
        "quantum": "0.000001",
        "unit_decimals": 6,
        "discounts": {"team": {"percent": "5"}},
        "text": {"row": "0.010", "recipes": {"deduplication": {"included": True}}},
    }
)
RUNS = table({"rows": 1000}, {"rows": 234})


def test_a_target_that_a_value_meets_is_reached_exactly() -> None:
    found = solve(RUNS, LINEAR, "text.row", Decimal("1234") * Decimal("0.004321"), (0, 1))
    assert (found.value, found.reached) == (Decimal("0.004321"), True)
    assert found.total == found.target == total(RUNS, changed(LINEAR, text__row=found.value))


def test_a_target_between_two_values_gives_the_nearer_and_both_neighbours() -> None:
    target = Decimal("1234") * Decimal("0.004321") + Decimal("0.0002")
    found = solve(RUNS, LINEAR, "text.row", target, (0, 1))
    assert (found.value, found.reached) == (Decimal("0.004321"), False)
    assert found.below is not None
    assert found.above is not None
    assert (found.below.value, found.above.value) == (Decimal("0.00432"), Decimal("0.004322"))
    assert found.below.total == total(RUNS, changed(LINEAR, text__row=found.below.value))
    assert found.above.total == total(RUNS, changed(LINEAR, text__row=found.above.value))
    assert found.total < target < found.above.total
    nearer_above = solve(RUNS, LINEAR, "text.row", target + Decimal("0.0008"), (0, 1))
    assert nearer_above.value == Decimal("0.004322")


def test_a_field_that_lowers_the_total_is_solved_as_well() -> None:
    runs = table({"rows": 1000, "discount": "team"})
    found = solve(runs, LINEAR, "discounts.team.percent", Decimal("9.2"), (0, 100))
    assert (found.value, found.quantum, found.reached) == (Decimal("8"), Decimal("0.01"), True)


def test_a_count_is_solved_in_whole_numbers(card: RateCard) -> None:
    """Twenty blocks are the fewest that bill 200 credits of images."""
    runs = table({"rows": 99, "modality": "image"})
    found = solve(runs, card, "image.blocks_min", Decimal("200.25"), (0, 1000))
    assert (found.value, found.quantum, found.reached) == (20, 1, True)


def test_where_several_values_meet_the_target_the_one_at_the_cheap_end_is_found() -> None:
    """Up to 12.34 the minimum changes nothing: any of them meets the total."""
    runs = table({"rows": 1234})
    assert solve(runs, LINEAR, "minimum", Decimal("12.34"), (1, 20)).value == 1


def test_the_step_can_be_coarser_than_what_is_billed() -> None:
    found = solve(RUNS, LINEAR, "text.row", Decimal("12.5"), (0, 1), quantum=Decimal("0.005"))
    assert (found.value, found.quantum) == (Decimal("0.01"), Decimal("0.005"))


def test_the_example_card_is_solved_to_its_quantum(card: RateCard) -> None:
    target = total(MANY, changed(card, text__row=Decimal("0.012345678")))
    found = solve(MANY, card, "text.row", target, (Decimal("0.001"), Decimal("0.1")))
    assert found.reached
    assert total(MANY, changed(card, text__row=found.value)) == target
    assert found.evaluations < 45


def test_values_at_the_bounds_have_one_neighbour() -> None:
    found = solve(RUNS, LINEAR, "text.row", 1234, (0, 1))
    assert (found.value, found.above, found.reached) == (1, None, True)
    assert solve(RUNS, LINEAR, "text.row", 0, (0, 1)).below is None


def test_a_target_outside_the_bounds_is_refused_with_both_totals() -> None:
    with pytest.raises(ScenarioInvalid, match=r"total to 2000: it is 12\.34 at 0\.01 and 1234 at 1\. Widen the bounds"):
        solve(RUNS, LINEAR, "text.row", 2000, (Decimal("0.01"), 1))


@pytest.mark.parametrize(
    ("target", "value", "total"),
    [(10, 5, 10), (11, 11, 11), (Decimal("11.5"), 11, 11), (12, 4, 12), (Decimal("13.9"), 7, 14)],
)
def test_a_field_that_makes_totals_rise_and_fall_is_tried_at_every_value(
    target: Decimal | int, value: int, total: int
) -> None:
    """Ten credits are ten when rounded up to five, twelve when rounded up to four, and fourteen when up to seven."""
    found = solve(table({"rows": 1000}), LINEAR, "quantum", target, (4, 12), quantum=1)
    assert (found.value, found.total, found.evaluations) == (value, total, 9)


def test_so_many_values_of_such_a_field_are_refused_that_trying_them_would_take_long() -> None:
    message = r"quantum: may make .* hold 1,001, and 1,000 are the most. Narrow the bounds, or give a coarser quantum"
    with pytest.raises(ScenarioInvalid, match=message):
        solve("no such file", LINEAR, "quantum", 10, (Decimal("0.000001"), Decimal("0.001001")))


def test_a_target_that_no_value_comes_to_is_refused_with_the_least_and_the_greatest() -> None:
    with pytest.raises(ScenarioInvalid, match="total to 20: it is 10 at 5 and 18 at 9"):
        solve(table({"rows": 1000}), LINEAR, "quantum", 20, (4, 9), quantum=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target_total": 12.5}, "target_total: cannot be 12.5. Give a Decimal or an int, never a float"),
        ({"target_total": True}, "target_total: cannot be True"),
        ({"target_total": Decimal("0.0000001")}, "more than six decimals"),
        ({"bounds": (0.1, 1)}, "bounds: cannot be 0.1"),
        ({"bounds": (2, 1)}, "bounds: from 2 to 1 hold no multiple"),
        ({"quantum": Decimal(0)}, "quantum: cannot be 0. Give a step of more than 0"),
        ({"field": "name"}, "name: is no number that a total depends on"),
    ],
)
def test_what_cannot_be_solved_is_refused_before_anything_is_read(arguments: dict[str, Any], message: str) -> None:
    asked: dict[str, Any] = {"field": "text.row", "target_total": 1, "bounds": (0, 1)} | arguments
    with pytest.raises(ScenarioInvalid, match=message):
        solve("no such file", LINEAR, **asked)
