"""Runs priced under cards by arrays: a price table for all configurations, then the program's steps.

The steps are those of each card's `Program`, folded with all that is the same for every run; a step that several
cards need is computed once. NumPy runs them on int64, block by block, in arrays that are reused. No step can
overflow, because the program is proved not to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from estimator.columns import MODALITIES
from estimator.columns.price_tables import CODES
from estimator.errors import FrameInvalid
from estimator.frames.arrays import Integers, np
from estimator.frames.diagnosis import diagnose
from estimator.frames.instructions import Load
from estimator.frames.layouts import Layout, layout, tariff
from estimator.frames.reader import BLOCK, READ_BUFFERS, Names, Reader, Runs

if TYPE_CHECKING:
    from estimator.rates import RateCard


class Workspace:
    """Arrays of one block's length that every block of one thread uses again."""

    def __init__(self) -> None:
        self._arrays: list[Integers] = []

    def arrays(self, count: int) -> Sequence[Integers]:
        """At least `count` arrays, not a power of two apart: those would compete for the same cache lines."""
        if count > len(self._arrays):
            self._arrays = [row[:BLOCK] for row in np.empty((count, BLOCK + 72), np.int64)]
        return self._arrays


class Priced(NamedTuple):
    """What one card charges for some runs: an array, or one number for all; none is more than `greatest`."""

    amounts: Any
    greatest: int


class BlockPricer:
    """Prices blocks of runs under several cards; a step that they share is computed once.

    Results are micro-credits, or `in_quanta` whole multiples of each card's quantum. May be used by several threads
    at once, each with a workspace of its own.
    """

    def __init__(self, cards: Sequence[RateCard], *, in_quanta: bool = False) -> None:
        self._cards = tuple(cards)
        self._in_quanta = in_quanta
        self._rows_max = min(card.rows_max for card in cards)
        self._targets_max = min(card.targets_max for card in cards)
        self._tariffs: dict[tuple[str, tuple[str, ...]], list[Any]] = {}
        self._layouts: dict[tuple[str, tuple[str, ...], int], Layout] = {}

    def prices(self, runs: Runs, space: Workspace, out: Integers | None = None) -> Iterator[Priced] | None:
        """The price of at most `BLOCK` runs under each card; None where some card cannot price some run.

        An array is valid until the next one is taken; the last one may be in `out`.
        """
        if "modality" not in runs.present:
            return self._of_modality("text", runs, space, out)
        first, last = int(runs.codes.min()) // CODES, int(runs.codes.max()) // CODES
        if first == last:
            return self._of_modality(MODALITIES[first], runs, space, out)
        return self._of_several(runs, space)

    def _of_several(self, runs: Runs, space: Workspace) -> Iterator[Priced] | None:
        """Runs of several modalities, one modality after the other."""
        found = np.empty((len(self._cards), len(runs.rows)), np.int64)
        greatest = [0] * len(found)
        for digit, name in enumerate(MODALITIES):
            places = np.flatnonzero(runs.codes // CODES == digit)
            results = self._of_modality(name, runs.take(places), space, None)
            if results is None:
                return None
            for number, priced in enumerate(results):
                found[number][places] = priced.amounts
                greatest[number] = max(greatest[number], priced.greatest)
        return map(Priced, found, greatest)

    def _of_modality(self, modality: str, runs: Runs, space: Workspace, out: Integers | None) -> Iterator[Any] | None:
        if any(modality not in card.sections for card in self._cards):
            return None
        rows = int(runs.rows.max())
        if rows > self._rows_max or (runs.targets is not None and runs.targets.max() > self._targets_max):
            return None
        found = self._layout(modality, runs.present, _round_above(rows))
        if found.priced is not None and not found.priced.take(runs.codes, mode="clip").all():
            return None
        loads = self._loads(found, runs)
        if loads is None:
            return None
        return map(Priced, found.steps.run(loads, space.arrays(found.steps.slots), len(runs.rows), out), found.greatest)

    def _loads(self, found: Layout, runs: Runs) -> dict[str, Load] | None:
        """How each input gets its values; None where a discount or voucher is not on every card."""
        loads: dict[str, Load] = {
            "rows": lambda _: runs.rows,
            "sample_ppm": lambda _: runs.sample_ppm,
            "targets": lambda _: runs.targets,
        }
        for name, table in found.tables.items():
            loads[name] = partial(_looked_up, table, runs.codes)
        for column, given in (("discount", runs.discounts), ("voucher", runs.vouchers)):
            if given is not None and not self._all_known(column, given):
                return None
        for name, (column, amounts) in found.named.items():
            given = runs.discounts if column == "discount" else runs.vouchers
            assert given is not None
            known = dict(amounts)
            values = [0 if each is None else known.get(each, 0) for each in given.names]
            loads[name] = partial(_looked_up, np.array(values, np.int64), given.places)
        return loads

    def _all_known(self, column: str, given: Names) -> bool:
        on_cards = [card.discounts if column == "discount" else card.vouchers for card in self._cards]
        unknown = [name is not None and not all(name in known for known in on_cards) for name in given.names]
        return not any(unknown) or not np.array(unknown).take(given.places).any()

    def _layout(self, modality: str, present: tuple[str, ...], rows: int) -> Layout:
        """The layout for a table with these columns and at most so many rows a run, kept for the next block."""
        found = self._layouts.get((modality, present, rows))
        if found is None:
            tariffs = self._tariffs.get((modality, present))
            if tariffs is None:
                tariffs = self._tariffs[modality, present] = [tariff(card, modality, present) for card in self._cards]
            limits = {"rows": min(self._rows_max, rows), "targets": self._targets_max}
            found = layout(tariffs, limits, in_quanta=self._in_quanta)
            self._layouts[modality, present, rows] = found
        return found


class Kernel:
    """Prices record batches of runs under one card, to the same micro-credit as `estimate` does one by one.

    A kernel may be used by several threads at once, and travels between processes as its card alone.
    """

    def __init__(self, card: RateCard) -> None:
        self.card = card
        self._pricing = BlockPricer([card])

    def __reduce__(self) -> tuple[type[Kernel], tuple[RateCard]]:
        return Kernel, (self.card,)

    def price(self, batch: Any, *, threads: int = 1, first: int = 0) -> Integers:
        """Micro-credits of each run of a `pyarrow.RecordBatch`, as int64; see `estimator.columns` for its columns.

        Raises `FrameInvalid`, which counts and shows the rows that cannot be priced.
        """
        reader = Reader(batch)
        out = np.empty(reader.length, np.int64)
        if not (reader.sound and self._price_read(reader, out, threads)):
            raise FrameInvalid(diagnose(batch, self.card, first))
        return out

    def _price_read(self, reader: Reader, out: Integers, threads: int) -> bool:
        """Price what a reader reads into `out`, in as many parts at a time as there are threads; False if any fails."""
        each = -(-max(1, -(-len(out) // BLOCK)) // threads) * BLOCK
        price = partial(self._price_part, reader, out, each)
        parts = range(0, len(out), each)
        if len(parts) <= 1:
            return all(map(price, parts))
        with ThreadPoolExecutor(len(parts)) as pool:
            return all(list(pool.map(price, parts)))

    def _price_part(self, reader: Reader, out: Integers, each: int, first: int) -> bool:
        last = min(first + each, len(out))
        reading, space = Workspace().arrays(READ_BUFFERS), Workspace()
        for start in range(first, last, BLOCK):
            stop = min(start + BLOCK, last)
            runs = reader.block(start, stop, reading)
            if runs is None or not self._price_block(runs, out[start:stop], space):
                return False
        return True

    def _price_block(self, runs: Runs, out: Integers, space: Workspace) -> bool:
        """Price one block; False where some run cannot be priced."""
        results = self._pricing.prices(runs, space, out)
        if results is None:
            return False
        prices = next(results).amounts
        if prices is not out:
            np.copyto(out, prices)
        return True


def _round_above(rows: int) -> int:
    """The next round number: tiers end at such numbers, and few layouts then serve all blocks."""
    unit = int(10 ** (len(str(rows)) - 1))
    return -(-rows // unit) * unit


def _looked_up(table: Integers, places: Any, into: Integers) -> Integers:
    return np.take(table, places, out=into, mode="clip")
