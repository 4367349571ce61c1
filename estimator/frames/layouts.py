"""Layouts: one graph of steps that prices a table with some columns under all cards, and the tables it looks up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from estimator.columns import MODALITIES
from estimator.columns.price_tables import (
    CODES,
    Amounts,
    PriceTable,
    known_inputs,
    named_inputs,
    price_inputs,
    price_table,
)
from estimator.credits import to_micro
from estimator.frames.arrays import Integers, np
from estimator.frames.instructions import Instructions
from estimator.programs.folding import fold
from estimator.programs.graphs import Graph, Insertion, common_scale
from estimator.programs.program import INT64_MAX, Op, Program, ProgramStep

if TYPE_CHECKING:
    from estimator.rates import RateCard


class Layout(NamedTuple):
    """One modality under one set of columns, for all cards.

    `steps` have a result for each card, none of them more than its `greatest`. `tables` are inputs looked up by code,
    `named` those looked up by the name of a discount or voucher (the column, and the value for each name). `priced`
    says which codes have a price under every card, None where all possible codes have one.
    """

    steps: Instructions
    greatest: Sequence[int]
    tables: Mapping[str, Integers]
    named: Mapping[str, tuple[str, Amounts]]
    priced: Any | None


class _Tariff(NamedTuple):
    """What one card charges for a unit in one modality.

    `prices` are the unit prices by input and code, except those that are the same for all codes. Where they are
    `multiples` of one scale, `scale` is that scale by code. `priced` says which codes have a price, None where all
    possible codes have one.
    """

    card: RateCard
    program: Program
    known: Mapping[str, int]
    prices: Mapping[str, Integers]
    multiples: Mapping[str, int]
    scale: Integers | None
    priced: Any | None


def tariff(card: RateCard, modality: str, present: tuple[str, ...]) -> _Tariff:
    """The unit prices of a card for every configuration that a table with these columns can have."""
    table, program = price_table(card, modality, present), card.programs[modality]
    same, varying = price_inputs(program, table)
    known = known_inputs(card, program, present) | same
    distinct = list({each for each in table.tiers if each is not None})
    prices = {name: _by_code(modality, table, itemgetter(tier)) for name, tier in varying.items()}
    priced = None if table.complete else _by_code(modality, table, lambda _: 1) > 0
    scale = common_scale([[each[tier] for tier in varying.values()] for each in distinct])
    if scale is None:
        return _Tariff(card, program, known, prices, {}, None, priced)
    times = {each: scale.of([each[tier] for tier in varying.values()]) for each in distinct}
    multiples = dict(zip(varying, scale.multiples, strict=True))
    return _Tariff(card, program, known, prices, multiples, _by_code(modality, table, times.__getitem__), priced)


def _by_code(modality: str, table: PriceTable, value: Callable[[tuple[int, ...]], int]) -> Integers:
    """A value of each configuration's prices, by code over all modalities; 0 for a code without a price."""
    found = np.zeros(CODES * len(MODALITIES), np.int64)
    start = MODALITIES.index(modality) * CODES
    found[start : start + CODES] = [0 if each is None else value(each) for each in table.tiers]
    return found


def layout(tariffs: Sequence[_Tariff], limits: Mapping[str, int], *, in_quanta: bool) -> Layout:
    """The graph for runs within some limits (the greatest values of inputs); its results are micro or quanta."""
    builder = _LayoutBuilder(_repeated_differences(tariffs))
    results = [builder.add(each, limits, in_quanta=in_quanta) for each in tariffs]
    masks = [each.priced for each in tariffs if each.priced is not None]
    priced = np.logical_and.reduce(masks) if masks else None
    steps = builder.graph.steps
    return Layout(
        Instructions(steps, results), [steps[at].greatest for at in results], builder.tables, builder.named, priced
    )


class _Difference(NamedTuple):
    """The difference between two scales by code: `times` x `table`."""

    table: Integers
    times: int

    @classmethod
    def of(cls, before: Integers, after: Integers) -> _Difference | None:
        """None where the second scale is nowhere higher, or somewhere lower."""
        more = after - before
        times = int(np.gcd.reduce(more))
        return cls(more // times, times) if times and int(more.min()) >= 0 else None

    @property
    def key(self) -> bytes:
        """Equal for equal tables."""
        return self.table.tobytes()


def _repeated_differences(tariffs: Sequence[_Tariff]) -> set[bytes]:
    """Keys of the differences between neighbouring cards that occur more than once; only those are worth a table."""
    scales = [each.scale for each in tariffs]
    differences = [
        _Difference.of(before, after) for before, after in pairwise(scales) if before is not None and after is not None
    ]
    counted = Counter(each.key for each in differences if each is not None)
    return {key for key, count in counted.items() if count > 1}


class _LayoutBuilder:
    """Builds a layout, card by card."""

    def __init__(self, repeated: set[bytes]) -> None:
        self.graph = Graph()
        self.tables: dict[str, Integers] = {}
        self.named: dict[str, tuple[str, Amounts]] = {}
        self._names: dict[object, str] = {}
        self._repeated = repeated
        # By the position of units: the scale of the last charge, and the position of that charge.
        self._charged: dict[int, tuple[Integers, int]] = {}

    def add(self, tariff: _Tariff, limits: Mapping[str, int], *, in_quanta: bool) -> int:
        """Add a card; returns the position of its price."""
        folded = fold(tariff.program, tariff.known, limits)
        leaf = partial(self._leaf, tariff, named_inputs(tariff.card))
        insertion = Insertion(self.graph, folded, leaf)
        if tariff.scale is not None:
            insertion = Insertion(self.graph, folded, leaf, tariff.multiples, partial(self._times, tariff.scale))
        result = folded.positions["micro"]
        quantum = to_micro(tariff.card.quantum)
        if not in_quanta or quantum == 1:
            return insertion.place(result)
        micro = folded.steps[result]
        if micro.op is Op.CONST:
            return self.graph.constant(micro.least // quantum)
        return insertion.place(next(at for at in micro.operands if folded.steps[at].op is not Op.CONST))

    def _leaf(self, tariff: _Tariff, named: Mapping[str, tuple[str, Amounts]], step: ProgramStep) -> int:
        if step.name in tariff.prices:
            return self._looked_up(tariff.prices[step.name])
        if step.name in named:
            name = self._names.setdefault((step.name, named[step.name]), f"{step.name} {len(self._names)}")
            self.named[name] = named[step.name]
            return self.graph.input(name, step.least, step.greatest)
        return self.graph.input(step.name, step.least, step.greatest)

    def _times(self, scale: Integers, step: ProgramStep, units: int) -> int:
        """The position of the charge: the units at a position times the scale of their code."""
        before = self._charged.get(units)
        difference = None if before is None else _Difference.of(before[0], scale)
        if before is None or difference is None or difference.key not in self._repeated:
            found = self.graph.operation(step._replace(op=Op.MUL), self._looked_up(scale), units)
        else:
            found = self.graph.operation(step._replace(op=Op.ADD), before[1], self._more(difference, step.name, units))
        self._charged[units] = scale, found
        return found

    def _more(self, difference: _Difference, name: str, units: int) -> int:
        """The position of the difference in the charge. It is at most the charge, which the program's proof bounds."""
        once = self.graph.operation(
            ProgramStep(name, Op.MUL, (), 0, INT64_MAX), self._looked_up(difference.table), units
        )
        times = self.graph.constant(difference.times)
        return self.graph.operation(ProgramStep(name, Op.MUL, (), 0, INT64_MAX), once, times)

    def _looked_up(self, table: Integers) -> int:
        """The position of an input looked up by code; cards with equal tables share it."""
        name = self._names.setdefault(table.tobytes(), f"price {len(self._names)}")
        self.tables[name] = table
        return self.graph.input(name, 0, int(table.max()))
