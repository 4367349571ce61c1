"""Sections: unit prices, surcharges and tiers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.estimator.rates.worked import card, credits_for
from tests.estimator.rates.written import card as written
from tests.estimator.rates.written import issues, text


def test_unit_prices_are_exact_then_rounded_half_even_once() -> None:
    section = {"row": "0.0000005", "grounding": {"multiply": "3"}, "safety": {"multiply": "5"}}
    priced = card(section, unit_decimals=6)
    assert credits_for(priced, 10) == 0  # 0.0000005 is a tie, and 0 is even
    assert credits_for(priced, 10, grounding=True) == Decimal("0.00002")  # 0.0000015 -> 0.000002
    assert credits_for(priced, 10, grounding=True, safety=True) == Decimal("0.00008")  # 0.0000075 -> 0.000008


def test_surcharges_apply_in_the_declared_order() -> None:
    section = {"row": "1", "grounding": {"add": "1"}, "safety": {"multiply": "3"}}
    assert credits_for(card(section), 1, grounding=True, safety=True) == 6
    turned = card(section | {"order": ["safety", "grounding"]})
    assert credits_for(turned, 1, grounding=True, safety=True) == 4


@pytest.mark.parametrize(
    ("mode", "tiers", "expected"),
    [
        ("graduated", [{"multiply": "1"}, {"multiply": "2"}], [("tiers.0", "tiers_invalid")]),
        (
            "graduated",
            [{"up_to": 9, "multiply": "1"}, {"up_to": 9, "multiply": "1"}, {"multiply": "1"}],
            [("tiers.1", "tiers_overlap")],
        ),
        (
            "graduated",
            [{"up_to": 9, "multiply": "1"}, {"up_to": 5, "multiply": "1"}, {"multiply": "1"}],
            [("tiers.1", "tiers_overlap")],
        ),
        ("graduated", [{"up_to": 10, "multiply": "1"}], [("tiers.0", "tiers_gap")]),
        ("graduated", [{"multiply": "1", "bill": 5}], [("tiers.0", "tiers_invalid")]),
        ("volume", [{"multiply": "-1"}], [("tiers.0.multiply", "negative")]),
        ("volume", [{"up_to": 0, "multiply": "1"}, {"multiply": "1"}], [("tiers.0.up_to", "out_of_range")]),
        ("cliff", [{"multiply": "1"}], [("tiers.0", "tiers_invalid")]),
        ("cliff", [{"up_to": 50, "multiply": "1"}], [("tiers.0", "tiers_gap")]),
        ("cliff", [{"up_to": 50, "multiply": "1"}, {"multiply": "1", "bill": 49}], [("tiers.1", "tiers_fall")]),
        ("cliff", [{"up_to": 50, "multiply": "2"}, {"multiply": "1", "bill": 99}], [("tiers.1", "tiers_fall")]),
        ("stairs", [], [("tiers_mode", "unknown_value")]),
    ],
    ids=str,
)
def test_tiers_that_overlap_leave_a_gap_or_fall_are_refused(
    mode: str, tiers: list[dict[str, Any]], expected: list[tuple[str, str]]
) -> None:
    found = issues(text=text(tiers_mode=mode, tiers=tiers))
    assert found == [(f"text.{path}", code) for path, code in expected]


def test_a_last_tier_may_end_where_no_run_goes_beyond() -> None:
    read = written(targets_max=1, text=text(tiers_mode="cliff", tiers=[{"up_to": 2_000, "multiply": "1"}]))
    assert read.text.tiers[0].up_to == 2_000
