"""A card prepared for columns: one price table for all configurations, then the program's steps over arrays.

The steps are those of `Program`, with everything folded in that is the same for every run; NumPy runs them on
int64, in blocks small enough to stay in a core's cache, in arrays that are used again. No step can overflow,
because the program is proved not to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from estimator.arrays import Integers, np
from estimator.columns import MODALITIES
from estimator.configurations import CODES, known_inputs, price_table, tier_inputs
from estimator.diagnosis import diagnose, runs_issues
from estimator.errors import FrameInvalid
from estimator.folding import fold
from estimator.programs import scaled
from estimator.runs import BLOCK, READ_BUFFERS, Names, Reader, Runs
from estimator.steps import Load, Steps

if TYPE_CHECKING:
    from estimator.rates import RateCard

_Named = tuple[Mapping[str, Any], Mapping[str, Any]]


class _Priced(NamedTuple):
    """One modality under one set of columns.

    `steps` lead to the price, `prices` are the unit prices by code, for each tier that is not the same for all.
    `priced` says which codes have a price, None where all do that can occur.
    """

    steps: Steps
    prices: Mapping[str, Integers]
    priced: Any | None


class Kernel:
    """Prices record batches of runs under one card, to the same micro-credit as `estimate` does one by one.

    A kernel may be used by several threads at once, and travels between processes as its card alone.
    """

    def __init__(self, card: RateCard) -> None:
        self.card = card
        self._layouts: dict[tuple[str, ...], dict[str, _Priced]] = {}
        self._discounts = {name: {"discount_basis_points": item.basis_points} for name, item in card.discounts.items()}
        self._vouchers = {
            name: {
                "voucher_basis_points": item.basis_points,
                "voucher_amount": scaled(item.credits, card.unit_decimals) if item.credits else 0,
            }
            for name, item in card.vouchers.items()
        }

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

    def price_runs(self, runs: Runs) -> Integers:
        """Micro-credits of each of some runs that have been read, as int64.

        Raises `FrameInvalid`, whose rows are numbered from the first of `runs`.
        """
        out = np.empty(len(runs.rows), np.int64)
        layout, named = self._layout(runs.present), self._named(runs.discounts, runs.vouchers)
        slots = _buffers(_slots(layout), len(out))
        for start in range(0, len(out), BLOCK):
            block = slice(start, start + BLOCK)
            if not self._price_block(layout, named, runs.take(block), out[block], slots):
                raise FrameInvalid(runs_issues(runs, self.card))
        return out

    def _price_read(self, reader: Reader, out: Integers, threads: int) -> bool:
        """Price what a reader reads into `out`, in as many parts at a time as there are threads; False if any fails."""
        layout, named = self._layout(reader.present), self._named(*reader.names)
        each = -(-max(1, -(-len(out) // BLOCK)) // threads) * BLOCK
        price = partial(self._price_part, reader, layout, named, out, each)
        parts = range(0, len(out), each)
        if len(parts) <= 1:
            return all(map(price, parts))
        with ThreadPoolExecutor(len(parts)) as pool:
            return all(list(pool.map(price, parts)))

    def _price_part(
        self, reader: Reader, layout: Mapping[str, _Priced], named: _Named, out: Integers, each: int, first: int
    ) -> bool:
        last = min(first + each, len(out))
        buffers = _buffers(READ_BUFFERS + _slots(layout), last - first)
        for start in range(first, last, BLOCK):
            stop = min(start + BLOCK, last)
            runs = reader.block(start, stop, buffers[:READ_BUFFERS])
            if runs is None or not self._price_block(layout, named, runs, out[start:stop], buffers[READ_BUFFERS:]):
                return False
        return True

    def _price_block(
        self, layout: Mapping[str, _Priced], named: _Named, runs: Runs, out: Integers, buffers: Sequence[Integers]
    ) -> bool:
        """Price one block; False where some run cannot be priced."""
        if "modality" not in runs.present:
            return self._price_modality(layout["text"], named, runs, out, buffers)
        first, last = int(runs.codes.min()) // CODES, int(runs.codes.max()) // CODES
        if first == last:
            priced = layout.get(MODALITIES[first])
            return priced is not None and self._price_modality(priced, named, runs, out, buffers)
        return all(
            self._price_some(layout.get(name), named, runs, np.flatnonzero(runs.codes // CODES == digit), out, buffers)
            for digit, name in enumerate(MODALITIES)
        )

    def _price_some(
        self,
        priced: _Priced | None,
        named: _Named,
        runs: Runs,
        places: Integers,
        out: Integers,
        buffers: Sequence[Integers],
    ) -> bool:
        """Price the runs of one modality among others."""
        if priced is None:
            return False
        prices = np.empty(len(places), np.int64)
        sound = self._price_modality(priced, named, runs.take(places), prices, buffers)
        out[places] = prices
        return sound

    def _price_modality(
        self, priced: _Priced, named: _Named, runs: Runs, out: Integers, buffers: Sequence[Integers]
    ) -> bool:
        if runs.rows.max() > self.card.rows_max:
            return False
        if runs.targets is not None and runs.targets.max() > self.card.targets_max:
            return False
        if priced.priced is not None and not priced.priced.take(runs.codes, mode="clip").all():
            return False
        loads: dict[str, Load] = {
            "rows": lambda _: runs.rows,
            "sample_ppm": lambda _: runs.sample_ppm,
            "targets": lambda _: runs.targets,
        }
        for name, table in priced.prices.items():
            loads[name] = partial(_looked_up, table, runs.codes)
        for given, tables in zip((runs.discounts, runs.vouchers), named, strict=True):
            if given is not None:
                if tables[""].take(given.places).any():
                    return False
                for name, table in tables.items():
                    loads[name] = partial(_looked_up, table, given.places)
        priced.steps.run(loads, buffers, out)
        return True

    def _named(self, discounts: Names | None, vouchers: Names | None) -> _Named:
        return _name_tables(discounts, self._discounts), _name_tables(vouchers, self._vouchers)

    def _layout(self, present: tuple[str, ...]) -> dict[str, _Priced]:
        """What the card makes of a table with these columns, kept for the next batch."""
        layout = self._layouts.get(present)
        if layout is None:
            names = [name for name in self.card.sections if name == "text" or "modality" in present]
            layout = self._layouts[present] = {name: self._modality(name, present) for name in names}
        return layout

    def _modality(self, modality: str, present: tuple[str, ...]) -> _Priced:
        table = price_table(self.card, modality, present)
        program = self.card.programs[modality]
        known = known_inputs(self.card, program, present)
        prices: dict[str, Integers] = {}
        for name, tier in tier_inputs(program).items():
            distinct = {each[tier] for each in table.tiers if each is not None}
            if len(distinct) == 1:
                known[name] = distinct.pop()
            else:
                prices[name] = _by_code(modality, [0 if each is None else each[tier] for each in table.tiers])
        folded = fold(program, known)
        priced = None if table.complete else _by_code(modality, [each is not None for each in table.tiers]) > 0
        return _Priced(Steps(folded, folded.positions["micro"]), prices, priced)


def _by_code(modality: str, values: Sequence[int]) -> Integers:
    """A table by code over all modalities, zero for the others."""
    table = np.zeros(CODES * len(MODALITIES), np.int64)
    start = MODALITIES.index(modality) * CODES
    table[start : start + CODES] = values
    return table


def _name_tables(given: Names | None, known: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """By the place of a name: what each input is for it, and under the name "" whether the card lacks it."""
    if given is None:
        return {}
    none = dict.fromkeys(next(iter(known.values()), {}), 0)
    found = [none if name is None else known.get(name) for name in given.names]
    tables: dict[str, Any] = {
        name: np.array([0 if each is None else each[name] for each in found], np.int64) for name in none
    }
    return tables | {"": np.array([each is None for each in found], bool)}


def _looked_up(table: Integers, places: Any, into: Integers) -> Integers:
    return np.take(table, places, out=into, mode="clip")


def _slots(layout: Mapping[str, _Priced]) -> int:
    return max(priced.steps.slots for priced in layout.values())


def _buffers(count: int, length: int) -> list[Integers]:
    """Arrays for blocks of a batch; no power of two apart, or they would compete for the same lines of the cache."""
    length = min(length, BLOCK)
    return [row[:length] for row in np.empty((count, length + 72), np.int64)]
