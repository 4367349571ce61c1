"""The grid of plans whose prices are pinned, and how a table is written."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from estimator import RateCard, RunPlan, estimate
from estimator.credits import format_credits

FOLDER = Path(__file__).parent
ROWS = (1, 100, 101, 2_500, 123_457, 50_000_000)
LENGTHS = ("minimal", "concise", "detailed", "extensive")
RECIPES: tuple[tuple[str, ...], ...] = ((), ("deduplication", "reasoning_traces"))
CONTROLS = ((False, False), (True, False), (True, True))
EXPANSIONS = ((0, 0), (250_000, 3))
TRAINING_TYPES = ("instruction_dataset", "preference_pairs")


def plans(card: RateCard) -> Iterator[RunPlan]:
    """Every combination of the grid; discounts and vouchers take turns over it."""
    names = itertools.cycle(itertools.product([None, *sorted(card.discounts)], [None, *sorted(card.vouchers)]))
    grid = itertools.product(sorted(card.sections), LENGTHS, RECIPES, TRAINING_TYPES, CONTROLS, EXPANSIONS, ROWS)
    for modality, length, recipes, training_type, (grounding, safety), (sample_ppm, targets), rows in grid:
        discount, voucher = next(names)
        yield RunPlan(
            modality,
            rows,
            sample_ppm,
            targets,
            length,
            recipes,
            training_type,
            grounding,
            safety,
            discount,
            voucher,
        )


def priced(plan: RunPlan, card: RateCard) -> list[Any]:
    """One row of a table: what identifies the plan, its credits, its minutes and its items."""
    made = estimate(plan, card)
    choices = [plan.modality, plan.length, "+".join(plan.recipes), plan.training_type]
    flags = "".join(letter for letter, on in zip("gs", (plan.grounding, plan.safety), strict=True) if on)
    expansion = f"{plan.sample_ppm}x{plan.targets}"
    names = [plan.discount, plan.voucher]
    minutes = [format_credits(made.minutes.p50), format_credits(made.minutes.p95)]
    items = {item.code: format_credits(item.credits) for item in made.line_items}
    return [*choices, flags, expansion, *names, plan.rows, format_credits(made.credits), *minutes, items]


def rendered(card: RateCard) -> str:
    """The whole table as JSON, one plan a line."""
    rows = ",\n".join(json.dumps(priced(plan, card), separators=(",", ":")) for plan in plans(card))
    return f"[\n{rows}\n]\n"


def digest(text: str) -> str:
    """SHA-256 (hex) of a table."""
    return hashlib.sha256(text.encode()).hexdigest()
