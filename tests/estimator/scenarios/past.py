"""Past runs for the tests of scenarios, and what the scalar estimate makes of them, one by one."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow

from estimator import RateCard, RunPlan, from_micro, price_micro
from estimator.rates.sections import RECIPES
from estimator.scenarios.fields import with_field

RUN: dict[str, Any] = {
    "rows": 1000,
    "max_rows": None,
    "length": "concise",
    "deduplication": True,
    "prompt_metadata_injection": False,
    "prompt_rephrase": False,
    "reasoning_traces": False,
    "training_type": "instruction_dataset",
    "grounding": False,
    "safety": False,
    "modality": "text",
    "discount": None,
    "voucher": None,
    "account": "acme",
    "at": datetime(2026, 1, 15, tzinfo=UTC),
}
_TYPES = {"max_rows": pyarrow.int64(), "discount": pyarrow.string(), "voucher": pyarrow.string()}


def table(*runs: dict[str, Any], leave_out: Iterable[str] = ()) -> pyarrow.Table:
    """Runs as a table: `RUN` where a run says nothing else."""
    rows = [RUN | run for run in runs]
    names = [name for name in RUN if name not in set(leave_out)]
    return pyarrow.table({name: pyarrow.array([row[name] for row in rows], _TYPES.get(name)) for name in names})


MANY = table(
    {"rows": 120_000, "grounding": True, "discount": "team"},
    {"rows": 7, "account": "beta", "voucher": "welcome"},
    {"rows": 5_000, "max_rows": 301, "reasoning_traces": True, "at": datetime(2026, 2, 1, tzinfo=UTC)},
    {"rows": 2_000_000, "length": "extensive", "safety": True, "account": "beta", "prompt_rephrase": True},
    {"rows": 99, "modality": "image", "account": "gamma", "at": datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC)},
    {"rows": 40_000, "reasoning_traces": True, "prompt_rephrase": True, "training_type": "preference_pairs"},
)
"""Runs of several kinds, by three accounts in three months."""


def changed(card: RateCard, **fields: Any) -> RateCard:
    """The card with some fields changed, one after the other; `text__row` is `text.row`."""
    for name, value in fields.items():
        card = with_field(card, name.replace("__", "."), value)
    return card


def plan_of(run: dict[str, Any]) -> RunPlan:
    """The plan that a row of a table stands for."""
    rows = run["rows"] if run["max_rows"] is None else min(run["rows"], run["max_rows"])
    recipes = tuple(name for name in RECIPES if run[name])
    return RunPlan(
        run["modality"],
        rows,
        run.get("sample_ppm") or 0,
        run.get("targets") or 0,
        run["length"],
        recipes,
        run["training_type"],
        run["grounding"],
        run["safety"],
        run["discount"],
        run["voucher"],
    )


def prices(runs: pyarrow.Table, card: RateCard) -> list[Decimal]:
    """What each run costs, estimated one by one."""
    return [from_micro(price_micro(plan_of(run), card)) for run in runs.to_pylist()]


def total(runs: pyarrow.Table, card: RateCard) -> Decimal:
    """What all of them cost."""
    return sum(prices(runs, card), Decimal(0))
