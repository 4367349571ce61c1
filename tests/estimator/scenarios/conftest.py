"""The cards that the tests of scenarios compare."""

from __future__ import annotations

from decimal import Decimal

import pytest

from estimator import RateCard, shipped_card
from tests.estimator.scenarios.past import changed


@pytest.fixture
def card() -> RateCard:
    return shipped_card("example")


@pytest.fixture
def cheaper(card: RateCard) -> RateCard:
    """Rows cost less, traces much less, and every run a little more."""
    return changed(
        card,
        name="cheaper",
        text__row=Decimal("0.009"),
        text__recipes__reasoning_traces__multiply=Decimal("1.1"),
        fee=Decimal("0.5"),
    )
