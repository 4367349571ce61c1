"""The minutes model of a rate card, and the names of its factors and bounds."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field, model_validator

from estimator.errors import Issue
from estimator.rates.parts import Count, Multiplier, Part
from estimator.rates.sections import LENGTHS, RECIPES, TRAINING_TYPES
from estimator.wire.validation import problems_error


class MinutesModel(Part):
    """How long a run takes: `start + output rows x row x factors / parallel`. Advice, never billed.

    Most runs take no longer than `p95_factor` times that, or, where `p95_factors` names a run's length (`concise`, or
    `concise.grounding` for grounded runs), that many times it.
    """

    start: Multiplier = Decimal(0)
    row: Multiplier = Decimal(0)
    parallel: Count = 1
    p95_factor: Annotated[Multiplier, Field(ge=1)] = Decimal(1)
    factors: dict[str, Multiplier] = Field(default_factory=dict)
    p95_factors: dict[str, Annotated[Multiplier, Field(ge=1)]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known_factors(self) -> MinutesModel:
        problems = [
            Issue(f"{table}.{name}", "unknown_field", f"is nothing that {verb}. Use one of: {', '.join(known)}.")
            for table, verb, known in (
                ("factors", "slows a run down", minutes_factor_names()),
                ("p95_factors", "has a bound of its own", minutes_bound_names()),
            )
            for name in getattr(self, table)
            if name not in known
        ]
        if problems:
            raise problems_error(problems)
        return self


def minutes_bound_names() -> tuple[str, ...]:
    """The kinds of runs whose minutes a card may bound apart: each length, without and with grounding."""
    return tuple(minutes_bound_name(length, grounding) for length in LENGTHS for grounding in (False, True))


def minutes_bound_name(length: str, grounding: bool) -> str:
    """The kind that a run of a length belongs to."""
    return f"{length}.grounding" if grounding else length


def minutes_factor_names() -> tuple[str, ...]:
    """Everything that a card's minutes model may name a factor for."""
    return (
        "image",
        *(f"length.{name}" for name in LENGTHS),
        *(f"recipes.{name}" for name in RECIPES),
        *(f"training.{name}" for name in TRAINING_TYPES),
        "grounding",
        "safety",
        "expansion",
    )
