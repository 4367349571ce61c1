"""Distinct runs with their counts: many cards price these instead of all runs.

Runs that process as many rows in the same configuration cost the same under every card, whichever account pays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from estimator.credits import to_micro
from estimator.frames.arrays import Integers, np, pa
from estimator.frames.kernel import BlockPricer, Workspace
from estimator.frames.reader import BLOCK, READ_BUFFERS, Names, Reader, Runs
from estimator.scenarios.counting.tally import Question, tally

if TYPE_CHECKING:
    from estimator.rates import RateCard
    from estimator.scenarios.reading.pieces import Source

DISTINCT_MAX = 4_000_000
"""More distinct runs would take too much memory; every question then reads all the runs again."""

_PART = 65_536
_LOW = (1 << 32) - 1
_COUNT = "count"
_CARDS_A_READING = 32


class RunTotals:
    """What all the runs of a source cost under one card after another."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._present = source.priced_columns
        self._folded = _folded(source, self._present)

    def of(self, cards: Sequence[RateCard]) -> Iterator[int]:
        """Micro-credits of all the runs under each card, in order. Raises `FrameInvalid`, `RunsUnreadable`."""
        for first in range(0, len(cards), _CARDS_A_READING):
            some = cards[first : first + _CARDS_A_READING]
            totals = None if self._folded is None else _of_distinct(some, self._folded, self._present)
            # Reading all the runs names the file and row of a problem.
            yield from tally(self._source, Question(some, ())).sums() if totals is None else totals


def _of_distinct(cards: Sequence[RateCard], folded: Any, present: tuple[str, ...]) -> list[int] | None:
    """The totals under some cards; None where one of them cannot price some run."""
    pricing, space = BlockPricer(cards, in_quanta=True), Workspace()
    totals = [0] * len(cards)
    for first in range(0, folded.num_rows, BLOCK):
        part = folded.slice(first, BLOCK)
        counts = part.column(_COUNT).to_numpy()
        results = pricing.prices(_runs(part, present), space)
        if results is None:
            return None
        for number, quanta in enumerate(results):
            totals[number] += _weighted(np.broadcast_to(quanta.amounts, counts.shape), counts)
    return [total * to_micro(card.quantum) for total, card in zip(totals, cards, strict=True)]


def _weighted(prices: Integers, counts: Integers) -> int:
    """The sum of prices x counts, exact whatever its size."""
    if int(prices.max()) * int(counts.sum()) < 1 << 63:
        return int(prices @ counts)
    return sum(price * count for price, count in zip(prices.tolist(), counts.tolist(), strict=True))


def _folded(source: Source, present: Sequence[str]) -> Any | None:
    """The distinct runs as a table with their counts; None where there are too many, or some cannot be read."""
    folded: Any | None = None
    waiting: list[Any] = []
    for piece in source.pieces:
        for batch in piece.read(present):
            if batch.num_rows:
                read = _read(batch)
                if read is None:
                    return None
                waiting.append(read)
            if sum(table.num_rows for table in waiting) > _PART * 16:
                folded = _merged([*waiting, *([] if folded is None else [folded])])
                waiting.clear()
                if folded.num_rows > DISTINCT_MAX:
                    return None
    folded = _merged([*waiting, *([] if folded is None else [folded])])
    return folded if folded.num_rows <= DISTINCT_MAX else None


def _read(batch: Any) -> Any | None:
    reader = Reader(batch)
    buffers = [np.empty(batch.num_rows, np.int64) for _ in range(READ_BUFFERS)]
    runs = reader.block(0, batch.num_rows, buffers) if reader.sound else None
    if runs is None:
        return None
    columns: dict[str, Any] = {"rows": runs.rows, "codes": runs.codes}
    if runs.targets is not None:
        columns |= {"sample_ppm": runs.sample_ppm, "targets": runs.targets}
    for name, given in (("discount", runs.discounts), ("voucher", runs.vouchers)):
        if given is not None:
            columns[name] = pa.array(given.names, pa.string()).take(pa.array(given.places))
    return pa.table(columns | {_COUNT: np.ones(batch.num_rows, np.int64)})


def _merged(tables: Sequence[Any]) -> Any:
    together = pa.concat_tables(tables)
    keys = [name for name in together.column_names if name != _COUNT]
    grouped = together.group_by(keys).aggregate([(_COUNT, "sum")])
    return grouped.select([*keys, f"{_COUNT}_sum"]).rename_columns([*keys, _COUNT])


def _runs(part: Any, present: tuple[str, ...]) -> Runs:
    columns = dict(zip(part.column_names, part.columns, strict=True))
    values: dict[str, Any] = {
        name: columns[name].to_numpy() for name in ("rows", "codes", "sample_ppm", "targets") if name in columns
    }
    values |= {f"{name}s": _names(columns[name]) for name in ("discount", "voucher") if name in columns}
    return Runs(present, **values)


def _names(column: Any) -> Names:
    encoded = column.dictionary_encode(null_encoding="encode").combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.chunk(0)
    return Names(encoded.indices.to_numpy(), tuple(encoded.dictionary.to_pylist()))
