"""Results of scenarios: percentages, tables of text, and JSON-safe fields."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from estimator.scenarios.errors import ScenarioInvalid
from estimator.scenarios.results import CardTotal, Comparison, Group, Groups, Movement, RunMover, percent
from tests.estimator.report.compared import comparison


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [(1, 3, "33.33"), (2, 3, "66.67"), (-1, 3, "-33.33"), (1, 800, "0.13"), (-1, 800, "-0.13"), (0, 5, "0")],
)
def test_a_percentage_is_rounded_half_up_away_from_zero(part: int, whole: int, expected: str) -> None:
    assert percent(part, whole) == Decimal(expected)


def test_nothing_has_no_percentage() -> None:
    assert percent(0, 0) is None
    assert Movement(0, 0, 0).share_dearer is None
    assert Movement(0, 0, 0).to_dict()["share_dearer"] is None


def test_a_group_says_what_each_candidate_changes() -> None:
    group = Group("acme", 2, Decimal(10), (Decimal("12.5"), Decimal(9)))
    assert group.deltas == (Decimal("2.5"), Decimal(-1))
    assert group.to_dict()["deltas"] == ["2.5", "-1"]


def test_groups_print_as_a_table_and_their_head_is_shorter() -> None:
    groups = Groups(
        "account", ("now", "then"), tuple(Group(f"a{n}", n, Decimal(n), (Decimal(2 * n),)) for n in (1, 12))
    )
    assert repr(groups).splitlines() == [
        "account  runs  now  then  then, change",
        "a1          1    1     2             1",
        "a12        12   12    24            12",
    ]
    assert [group.key for group in groups.head(1)] == ["a1"]
    assert len(groups.head(5)) == 2


def test_a_mover_keeps_numbers_and_writes_the_rest_as_text() -> None:
    mover = RunMover("", 3, {"rows": 5, "safety": True, "at": Decimal(1)}, Decimal(4), Decimal("6.5"))
    assert mover.delta == Decimal("2.5")
    assert mover.to_dict()["run"] == {"rows": 5, "safety": True, "at": "1"}


def test_a_comparison_is_json_with_amounts_as_text() -> None:
    found = json.loads(json.dumps(comparison().to_dict()))
    assert found["candidates"][0]["delta"] == "1.5"
    assert found["by"].keys() == {"account", "month"}


def test_a_dimension_that_was_not_compared_by_is_refused_with_the_nearest() -> None:
    with pytest.raises(ScenarioInvalid, match="Did you mean 'month'"):
        comparison().by("months")
    assert Comparison(0, CardTotal("now", "id", Decimal(0)), ()).total == Group("total", 0, Decimal(0), ())
