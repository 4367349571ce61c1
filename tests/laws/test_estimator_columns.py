"""Laws of pricing by columns: every way of pricing a table gives what the scalar program gives run by run."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from hypothesis import assume, given
from hypothesis import strategies as st

from estimator import RateCard, RateCardInvalid, estimate_batches, estimate_frame, to_micro
from estimator.frames.kernel import BlockPricer, Kernel, Workspace
from estimator.frames.reader import Reader
from tests.frames import large_cards, priced_tables, prices_of

PricedTable = tuple[RateCard, tuple[pa.Table, list[Any]]]


@given(priced_tables())
def test_a_table_costs_what_its_runs_cost_one_by_one(priced: PricedTable) -> None:
    card, (table, plans) = priced
    assert estimate_frame(table, card)["credits_micro"].to_pylist() == prices_of(plans, card)


@given(priced_tables(large_cards()))
def test_amounts_that_a_double_cannot_hold_are_exact_too(priced: PricedTable) -> None:
    card, (table, plans) = priced
    expected = prices_of(plans, card)
    assert estimate_frame(table, card)["credits_micro"].to_pylist() == expected
    assert estimate_frame(pl.DataFrame(table), card)["credits_micro"].to_list() == expected
    assert estimate_frame(table.to_pandas(types_mapper=nullable), card)["credits_micro"].tolist() == expected


def nullable(kind: pa.DataType) -> Any:
    """The pandas types that hold nulls without turning into floats."""
    import pandas as pd

    return {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}.get(kind)


@given(priced_tables(), st.lists(st.integers(0, 9), max_size=4), st.integers(0, 8))
def test_how_a_table_is_cut_into_batches_makes_no_difference(priced: PricedTable, cuts: list[int], skip: int) -> None:
    card, (table, plans) = priced
    expected = prices_of(plans, card)
    ends = sorted({min(cut, len(plans)) for cut in (0, *cuts, len(plans))})
    pieces = [table.slice(start, stop - start) for start, stop in itertools.pairwise(ends)]
    cut = pa.concat_tables(pieces)
    assert estimate_frame(cut, card)["credits_micro"].to_pylist() == expected
    batches = estimate_batches(card)(iter(cut.to_batches()))
    assert [price for batch in batches for price in batch["credits_micro"].to_pylist()] == expected
    rest = table.combine_chunks().to_batches()[0].slice(skip)
    assert Kernel(card).price(rest, threads=2).tolist() == expected[skip:]


@given(priced_tables())
def test_runs_that_have_been_read_once_cost_the_same_and_words_may_be_encoded(priced: PricedTable) -> None:
    card, (table, plans) = priced
    batch = table.combine_chunks().to_batches()[0]
    results = BlockPricer([card]).prices(Reader(batch).runs(), Workspace())
    assert results is not None
    assert np.broadcast_to(next(results).amounts, len(plans)).tolist() == prices_of(plans, card)
    encoded = pa.record_batch(
        {
            name: column.dictionary_encode() if pa.types.is_string(column.type) else column
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        }
    )
    assert Kernel(card).price(encoded).tolist() == prices_of(plans, card)


@given(priced_tables(), st.lists(st.sampled_from(["fee", "minimum", "quantum", "same"]), min_size=1, max_size=3))
def test_cards_that_are_priced_together_charge_what_each_charges_alone(priced: PricedTable, changes: list[str]) -> None:
    card, (table, plans) = priced
    try:
        others = [card if name == "same" else card.model_copy(update={name: Decimal(3)}) for name in changes]
    except RateCardInvalid:
        assume(False)
    cards = [card, *others]
    runs = Reader(table.combine_chunks().to_batches()[0]).runs()
    for in_quanta in (False, True):
        results = BlockPricer(cards, in_quanta=in_quanta).prices(runs, Workspace())
        assert results is not None
        for each, prices in zip(cards, results, strict=True):
            assert np.max(prices.amounts) <= prices.greatest
            unit = to_micro(each.quantum) if in_quanta else 1
            assert [unit * price for price in np.broadcast_to(prices.amounts, len(plans)).tolist()] == prices_of(
                plans, each
            )
