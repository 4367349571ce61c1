"""The kernel: runs in blocks cost what they cost one by one."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from estimator import RateCard, RunPlan, price_micro, shipped_card
from estimator.frames.kernel import Kernel
from estimator.frames.reader import BLOCK


@pytest.fixture(scope="module")
def card() -> RateCard:
    return shipped_card("example")


@pytest.mark.parametrize("rows", [9, 10, 11, 100_000, 100_001, 150_000, 1_000_001, 1_900_000, 50_000_000])
def test_what_is_left_out_for_the_largest_run_of_a_block_is_not_needed_by_it(card: RateCard, rows: int) -> None:
    plan = RunPlan("text", rows, 0, 0, "minimal", (), "instruction_dataset", True, False)
    runs = pa.record_batch({"rows": [rows], "length": ["minimal"], "grounding": [True], "deduplication": [False]})
    assert Kernel(card).price(runs).tolist() == [price_micro(plan, card)]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_costs_the_same_in_whatever_block_it_stands(threads: int) -> None:
    """A period that divides no block: each run of it stands at many places of several blocks."""
    period, count = 1009, 2 * BLOCK + 77
    kinds = {
        "rows": pa.array(range(1, 3 * period, 3)),
        "max_rows": pa.array([None if number % 3 else 1 + number for number in range(period)]),
        "length": pa.array(["concise" if number % 2 else "extensive" for number in range(period)]),
        "grounding": pa.array([number % 5 == 0 for number in range(period)]),
        "prompt_rephrase": pa.array([number % 7 == 0 for number in range(period)]),
    }
    runs = pa.RecordBatch.from_pydict(kinds)
    kernel = Kernel(shipped_card("example"))
    alone = kernel.price(runs)
    places = np.arange(count) % period
    assert np.array_equal(kernel.price(runs.take(pa.array(places)), threads=threads), alone[places])
