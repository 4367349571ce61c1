"""Tables as analysts have them: what goes in comes out with its prices, and what has no price is told."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from estimator import FrameInvalid, estimate_frame, shipped_card

CARD = shipped_card("example")
ROWS, CAPS, LENGTHS = [5_000, 120_000], [None, 100_000], ["concise", "detailed"]
PRICES = [50_250_000, 1_800_250_000]

FRAMES: dict[str, Callable[[], Any]] = {
    "PyArrow": lambda: pa.table({"rows": ROWS, "max_rows": CAPS, "length": LENGTHS}),
    "dictionaries": lambda: pa.table({"rows": ROWS, "max_rows": CAPS, "length": pa.array(LENGTHS).dictionary_encode()}),
    "without a sign": lambda: pa.table(
        {"rows": pa.array(ROWS, pa.uint64()), "max_rows": pa.array(CAPS, pa.uint32()), "length": LENGTHS}
    ),
    "Polars": lambda: pl.DataFrame({"rows": ROWS, "max_rows": CAPS, "length": LENGTHS}),
    "Polars, categories": lambda: pl.DataFrame(
        {"rows": ROWS, "max_rows": CAPS, "length": pl.Series(LENGTHS, dtype=pl.Categorical)}
    ),
    "Polars, lazy": lambda: pl.LazyFrame({"rows": ROWS, "max_rows": CAPS, "length": LENGTHS}),
    "pandas, nullable": lambda: pd.DataFrame(
        {"rows": pd.array(ROWS, "Int64"), "max_rows": pd.array(CAPS, "Int64"), "length": pd.Categorical(LENGTHS)}
    ),
    "pandas, Arrow": lambda: pd.DataFrame(
        {"rows": ROWS, "max_rows": pd.Series(CAPS, dtype="int64[pyarrow]"), "length": LENGTHS}
    ),
}


@pytest.mark.parametrize("name", FRAMES)
def test_what_comes_in_goes_out_with_its_prices(name: str) -> None:
    frame = FRAMES[name]()
    priced = estimate_frame(frame, CARD)
    assert type(priced) is type(frame)
    priced = priced.collect() if isinstance(priced, pl.LazyFrame) else priced
    prices = priced["credits_micro"]
    assert (prices.to_pylist() if isinstance(priced, pa.Table) else list(prices)) == PRICES


def _column(name: str, values: Any) -> Callable[[], Any]:
    return lambda: pa.table({"rows": ROWS} | {name: values})


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "misspelt": (_column("lenght", LENGTHS), "lenght: .* Did you mean 'length'"),
    "floats": (_column("rows", [1.0, 2.0]), "rows: must be whole numbers, not of type double"),
    "texts": (_column("rows", ["1", "2"]), "rows: must be whole numbers, not of type string"),
    "decimals": (_column("rows", [Decimal(1), Decimal(2)]), "rows: must be whole numbers, not of type decimal"),
    "negative": (_column("rows", [1, -1]), r"rows: cannot be priced in 1 row \(row 1: -1\)"),
    "beyond the card": (_column("rows", [1, 50_000_001]), r"row 1: 50000001.* allows 50,000,000 rows"),
    "beyond 63 bits": (_column("rows", pa.array([1, 2**64 - 1], pa.uint64())), "row 1: 18446744073709551615"),
    "null words": (_column("length", ["concise", None]), r"length: cannot be priced in 1 row \(row 1: null\)"),
    "null switches": (_column("grounding", [None, None]), "grounding: "),
    "pandas, a null made a float": (
        lambda: pd.DataFrame({"rows": ROWS, "max_rows": CAPS}),
        r"max_rows: must be whole numbers, not of type double.*Int64",
    ),
    "pandas, mixed": (lambda: pd.DataFrame({"rows": [1, "2"]}), "rows: holds values of several kinds"),
    "a list": (lambda: [1, 2], "cannot be a builtins.list. Give a Polars DataFrame"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_price_is_refused_with_its_column_and_rows(case: str) -> None:
    make, message = REFUSED[case]
    with pytest.raises(FrameInvalid, match=message):
        estimate_frame(make(), CARD)
