"""Small cards with one rule each, and what runs cost under them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from estimator import RateCard, RunPlan, price_micro

PLAN = RunPlan("text", 1, 0, 0, "concise", (), "instruction_dataset", grounding=False, safety=False)


def card(section: dict[str, Any], **changes: Any) -> RateCard:
    """A card with one text section and a quantum small enough to hide nothing."""
    content = {
        "name": "worked",
        "effective_from": "2026-01-01T00:00:00Z",
        "rows_max": 100_000,
        "quantum": "0.000001",
        "text": section,
    }
    return RateCard.from_dict(content | changes)


def credits_for(priced: RateCard, rows: int, **changes: Any) -> Decimal:
    return Decimal(price_micro(PLAN._replace(rows=rows, **changes), priced)) / 1_000_000


def prices(priced: RateCard, *rows: int) -> list[str]:
    return [f"{credits_for(priced, count).normalize():f}" for count in rows]


TIERS = [{"up_to": 10, "multiply": "1"}, {"up_to": 100, "multiply": "0.5"}, {"multiply": "0.1"}]
