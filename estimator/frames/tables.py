"""Tables of runs in, the same kind of table out, with the column `credits_micro` added.

Polars, PyArrow and pandas tables are accepted. PyArrow and NumPy do the work; Polars and pandas are needed only for
their own tables. See `estimator.columns` for the columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from estimator.columns import COLUMNS, RESULT, present_columns
from estimator.errors import FrameInvalid, Issue

if TYPE_CHECKING:
    from estimator.frames.kernel import Kernel
    from estimator.rates import RateCard

Frame = TypeVar("Frame")
_KINDS = "a Polars DataFrame or LazyFrame, a PyArrow Table or RecordBatch, or a pandas DataFrame"


def estimate_frame(frame: Frame, card: RateCard, *, threads: int = 2) -> Frame:
    """Price every run of a table under a card, each to the micro-credit that `estimate` would give.

    Args:
        frame: a Polars DataFrame or LazyFrame, a PyArrow Table or RecordBatch, or a pandas DataFrame; one row is
            one run. A LazyFrame is priced when it is collected; its columns are checked at once.
        card: what to price under.
        threads: how many parts of the table to price at a time.

    Returns:
        The same kind of table with the column `credits_micro` (int64) at its end; the rest is as it was.

    Raises:
        FrameInvalid: columns are missing, misspelt or of the wrong type, or rows have no price; each issue
            counts its rows and shows the first few, numbered from 0.
        ExtraMissing: NumPy or PyArrow is not installed.
    """
    from estimator.frames.kernel import Kernel

    priced: Frame = _priced(frame, Kernel(card), threads)
    return priced


class BatchPricer:
    """Prices what it is called with under one card; see `estimate_batches`. Pickles as the card alone."""

    def __init__(self, card: RateCard) -> None:
        from estimator.frames.kernel import Kernel

        self._kernel = Kernel(card)

    def __call__(self, batches: Any) -> Any:
        """An iterator of record batches gives an iterator of priced ones, a single table a priced table."""
        if isinstance(batches, Iterator):
            return self._stream(batches)
        return _priced(batches, self._kernel, 1)

    def _stream(self, batches: Iterable[Any]) -> Iterator[Any]:
        first = 0
        for batch in batches:
            yield _priced_batch(batch, self._kernel, 1, first)
            first += batch.num_rows


def estimate_batches(card: RateCard) -> BatchPricer:
    """A function from an iterator of `pyarrow.RecordBatch` to one of batches with `credits_micro` added.

    It pickles, and is what Spark's `mapInArrow` takes. Called with one table instead (any that `estimate_frame`
    takes) it returns that table priced, which is what Ray Data's `map_batches(..., batch_format="pyarrow")` and
    Dask's `map_partitions` call. Rows in errors are numbered from the first batch of the iterator.
    """
    return BatchPricer(card)


def _priced(frame: Any, kernel: Kernel, threads: int) -> Any:
    package = type(frame).__module__.partition(".")[0]
    name = type(frame).__name__
    if package == "pyarrow" and name == "RecordBatch":
        return _priced_batch(frame, kernel, threads)
    if package == "pyarrow" and name == "Table":
        return frame.append_column(RESULT, _column(frame, kernel, threads))
    if package == "polars" and name in {"DataFrame", "LazyFrame"}:
        return _priced_polars(frame, kernel, threads)
    if package == "pandas" and name == "DataFrame":
        return _priced_pandas(frame, kernel, threads)
    raise FrameInvalid([Issue("", "wrong_type", f"A table of runs cannot be a {package}.{name}. Give {_KINDS}.")])


def _priced_batch(batch: Any, kernel: Kernel, threads: int, first: int = 0) -> Any:
    from estimator.frames.arrays import pa

    return batch.append_column(RESULT, pa.array(kernel.price(batch, threads=threads, first=first)))


def _column(table: Any, kernel: Kernel, threads: int) -> Any:
    """The prices of a PyArrow table's runs, in chunks as they come."""
    from estimator.frames.arrays import pa
    from estimator.frames.diagnosis import diagnose
    from estimator.frames.reader import checked_columns

    table = table.select(checked_columns(table.schema))
    try:
        chunks = [pa.array(kernel.price(batch, threads=threads)) for batch in table.to_batches()]
    except FrameInvalid:
        # A batch has only its own rows, so the whole table is checked for the error.
        whole = pa.RecordBatch.from_arrays(
            [_one_chunk(table.column(name)) for name in table.schema.names], names=table.schema.names
        )
        raise FrameInvalid(diagnose(whole, kernel.card)) from None
    return pa.chunked_array(chunks, pa.int64())


def _one_chunk(column: Any) -> Any:
    from estimator.frames.arrays import pa

    whole = column.combine_chunks()
    return whole if isinstance(whole, pa.Array) else pa.concat_arrays(whole.chunks)


def _priced_polars(frame: Any, kernel: Kernel, threads: int) -> Any:
    import polars

    names = present_columns(frame.collect_schema().names())

    def priced(eager: Any) -> Any:
        table = eager.select(names).to_arrow(compat_level=polars.CompatLevel.newest())
        prices = polars.Series(RESULT, _column(table, kernel, threads), dtype=polars.Int64)
        return eager.with_columns(prices)

    if isinstance(frame, polars.DataFrame):
        return priced(frame)
    schema = polars.Schema({**frame.collect_schema(), RESULT: polars.Int64()})
    return frame.map_batches(priced, schema=schema, predicate_pushdown=False, slice_pushdown=False)


def _priced_pandas(frame: Any, kernel: Kernel, threads: int) -> Any:
    names = present_columns([str(name) for name in frame.columns])
    return frame.assign(**{RESULT: _column(_from_pandas(frame, names), kernel, threads).to_numpy()})


def _from_pandas(frame: Any, names: Iterable[str]) -> Any:
    """The columns as a PyArrow table. Raises `FrameInvalid` for a column of values of several kinds."""
    from estimator.frames.arrays import pa

    columns, issues = {}, []
    for name in names:
        try:
            columns[name] = pa.Array.from_pandas(frame[name])
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            advice = f"Give every value as {COLUMNS[name]}"
            issues.append(Issue(name, "wrong_type", f"holds values of several kinds ({error}). {advice}."))
    if issues:
        raise FrameInvalid(issues)
    return pa.table(columns)
