"""Tables of runs for the tests: random ones that a random card prices, plain dicts of columns, and their plans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from hypothesis import assume, reject
from hypothesis import strategies as st

from estimator import RateCard, RateCardOverflow, RunPlan, price_micro
from tests.strategies import RECIPES, card_contents, cards, plans, sizes

TYPES = {
    "rows": pa.int64(),
    "max_rows": pa.int64(),
    "length": pa.string(),
    **dict.fromkeys(RECIPES, pa.bool_()),
    "training_type": pa.string(),
    "grounding": pa.bool_(),
    "safety": pa.bool_(),
    "modality": pa.string(),
    "sample_ppm": pa.int64(),
    "targets": pa.int64(),
    "discount": pa.string(),
    "voucher": pa.string(),
}


def table_of(planned: Sequence[RunPlan], limits: Sequence[int | None]) -> pa.Table:
    """A table whose rows are plans. A run with a limit has as many rows as its plan, and more in its dataset."""
    columns: dict[str, list[Any]] = {name: [] for name in TYPES}
    for plan, limit in zip(planned, limits, strict=True):
        fields = plan._asdict() | {name: name in plan.recipes for name in RECIPES}
        if limit is not None:
            fields |= {"rows": plan.rows + limit, "max_rows": plan.rows}
        for name, values in columns.items():
            values.append(fields.get(name))
    return pa.table({name: pa.array(values, TYPES[name]) for name, values in columns.items()})


def prices_of(planned: Sequence[RunPlan], card: RateCard) -> list[int]:
    """What the scalar program says, run by run."""
    return [price_micro(plan, card) for plan in planned]


@st.composite
def large_cards(draw: st.DrawFn) -> RateCard:
    """A card whose amounts pass what a double holds exactly, and still fit 64 bits."""
    content = draw(card_contents())
    base = draw(st.integers(10**9, 10**11))
    row = f"{base // 10**6}.{base % 10**6:06d}"
    content["text"] = {name: value for name, value in content["text"].items() if not name.startswith("block")}
    content["text"] |= {"row": row, "basis": "output"}
    content |= {"rows_max": draw(st.integers(10**6, 5 * 10**6)), "targets_max": 1, "unit_decimals": 6}
    content = {name: value for name, value in content.items() if name != "cap"}
    try:
        card = RateCard.from_dict(content)
    except RateCardOverflow:
        reject()
    assume(not card.programs["text"].exact_in_double)
    return card


@st.composite
def priced_tables(draw: st.DrawFn, card_strategy: st.SearchStrategy[RateCard] = cards) -> tuple[RateCard, Any]:
    """A card, a table of up to nine runs (one of them as large as the card allows), and the plans they stand for."""
    sized = draw(st.lists(sizes, min_size=1, max_size=8))
    limits = draw(st.lists(st.one_of(st.none(), st.integers(0, 10**6)), min_size=9, max_size=9))
    card = draw(card_strategy)
    planned = [draw(plans(card, size)) for size in sized]
    planned.append(planned[0]._replace(rows=card.rows_max))
    return card, (table_of(planned, limits[: len(planned)]), planned)
