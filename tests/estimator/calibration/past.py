"""Past runs whose minutes are known to the last digit, or known but for chance."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow

from estimator.rates.sections import LENGTHS

FACTORS = {"minimal": 0.5, "concise": 1.0, "detailed": 1.5, "extensive": 4.0}
START, ROW, GROUNDED, TRACED = 2.0, 0.004, 1.75, 1.25


def history(count: int, *, noise: float = 0, seed: int = 1, **columns: Any) -> pyarrow.Table:
    """Runs that take `2 + rows x 0.004 x factors` minutes, times chance; `columns` replaces columns."""
    draw = random.Random(seed)
    rows = [draw.randint(1, 200_000) for _ in range(count)]
    # Half of all runs are concise, so that every other length is compared with it.
    length = [draw.choice([*LENGTHS, "concise", "concise"]) for _ in range(count)]
    grounding = [draw.random() < 0.4 for _ in range(count)]
    traces = [draw.random() < 0.3 for _ in range(count)]
    minutes = [
        (START + n * ROW * FACTORS[words] * (GROUNDED if sure else 1) * (TRACED if traced else 1))
        * draw.lognormvariate(0, noise)
        for n, words, sure, traced in zip(rows, length, grounding, traces, strict=True)
    ]
    found = {
        "rows": rows,
        "length": length,
        "grounding": grounding,
        "reasoning_traces": traces,
        "minutes": minutes,
    } | columns
    return pyarrow.table({name: values for name, values in found.items() if values is not None})


def moments(minutes: list[float], zone: Any = UTC) -> dict[str, list[datetime]]:
    """When runs of these lengths began and ended."""
    began = [datetime(2026, 1, 1, tzinfo=zone) + timedelta(hours=number) for number in range(len(minutes))]
    ended = [start + timedelta(minutes=taken) for start, taken in zip(began, minutes, strict=True)]
    return {"started_at": began, "ended_at": ended}
