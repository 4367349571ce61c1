"""The commands of grants check their own values before anything is looked up."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

import ledger
from ledger import (
    CommandInvalid,
    GrantCredits,
)


@pytest.mark.parametrize(
    ("per_credit", "currency"),
    [(0.5, "EUR"), (Decimal("NaN"), "EUR"), (Decimal(-1), "EUR"), (1, "eur"), (1, "EURO"), (1, "E1R"), (True, "EUR")],
)
def test_a_cost_basis_is_exact_money_in_a_currency(per_credit: Any, currency: str) -> None:
    with pytest.raises(ledger.CommandInvalid, match="cost_basis"):
        ledger.CostBasis(per_credit, currency)


@pytest.mark.parametrize(
    "terms",
    [
        {"every": "fortnight"},
        {"every": "day", "count": 0},
        {"every": "day", "count": 1.0},
        {"every": "day", "amount": -1},
        {"every": "day", "amount": 0},
        {"every": "day", "rollover_min": 2, "rollover_max": 1},
        {"every": "day", "anchor": datetime(2026, 1, 1)},  # noqa: DTZ001
    ],
)
def test_a_recurrence_that_makes_no_sense_is_refused(terms: dict[str, Any]) -> None:
    with pytest.raises(ledger.CommandInvalid):
        ledger.Recurrence(**terms)


@pytest.mark.parametrize("priority", [-1, 32_768, 1.0, True, "1"])
def test_a_priority_is_a_small_whole_number(priority: Any) -> None:
    with pytest.raises(CommandInvalid, match="priority"):
        GrantCredits("acme", 1, priority=priority)
