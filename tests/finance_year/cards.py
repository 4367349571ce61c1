"""Three rate cards, each in force for four months of the year, and what runs cost under them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from random import Random
from typing import Any, NamedTuple

from estimator import (
    DatasetProfile,
    Estimate,
    RateCard,
    RateCardBook,
    RunPlan,
    RunRequest,
    estimate,
    plan_run,
    shipped_card,
)

YEAR = 2025
_CARDS = (
    ("opening", 1, "0.010", "0.25", "delivered"),
    ("spring", 5, "0.0093", "0.40", "delivered"),
    ("autumn", 9, "0.0117", "0.15", "requested"),
)
"""Name, first month, price of a row, fee of a run, and what a run is billed for."""


class PricedRun(NamedTuple):
    """A request that is to be launched, and what it was priced with."""

    request: RunRequest
    plan: RunPlan
    card: RateCard
    quote: Estimate


@cache
def rate_cards() -> RateCardBook:
    """The year's cards: the shipped example at other prices; in autumn a run that succeeds is billed as requested."""
    return RateCardBook([_card(*terms) for terms in _CARDS])


def _card(name: str, month: int, row: str, fee: str, settlement: str) -> RateCard:
    content = json.loads(shipped_card("example").to_json())
    text = content["text"] | {"row": Decimal(row)}
    return RateCard.from_dict(
        content
        | {
            "name": name,
            "effective_from": datetime(YEAR, month, 1, tzinfo=UTC),
            "text": text,
            "fee": Decimal(fee),
            "settlement": settlement,
        }
    )


def priced_run(random: Random, key: str, at: datetime) -> PricedRun:
    """A run as one customer asks for it, at the prices of its moment."""
    body: dict[str, Any] = {
        "column_mapping": {"prompt": "q", "completion": "a"},
        "brand_controls": {"length": random.choice(["minimal", "concise", "concise", "detailed"])},
        "job_specification": {"idempotency_key": key},
    }
    if random.random() < 0.3:
        body["recipe_specification"] = {"recipes": {"reasoning_traces": True}}
    if random.random() < 0.2:
        body["brand_controls"]["hallucination_mitigation"] = True
    request = RunRequest.from_wire(body)
    profile = DatasetProfile(row_count=random.randint(40, 2_500), columns=("q", "a"))
    card = rate_cards().at(at)
    discount = random.choice([None, None, None, "team", "partner"])
    plan = plan_run(request, profile, card, discount=discount)
    return PricedRun(request, plan, card, estimate(plan, card))
