"""One pass over past runs: every batch is read once, priced under every card, and added up by every dimension."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

from estimator.columns import MODALITIES
from estimator.columns.price_tables import CODES
from estimator.credits import to_micro
from estimator.errors import FrameInvalid, Issue
from estimator.frames.arrays import Integers, np, pa
from estimator.frames.diagnosis import diagnose
from estimator.frames.kernel import BlockPricer, Workspace
from estimator.frames.reader import BLOCK, READ_BUFFERS, Reader, Runs
from estimator.scenarios.counting.dimensions import CODED, KEYED, Accounts, Months, Numbering
from estimator.scenarios.counting.movers import Distribution, Largest
from estimator.scenarios.counting.sums import GroupSums

if TYPE_CHECKING:
    from estimator.rates import RateCard
    from estimator.scenarios.reading.pieces import Piece, Source

ProgressListener = Callable[[int], None]
"""Called now and then with how much of the source's size has been read since the last call."""


class Question(NamedTuple):
    """What to add up: totals and totals by dimension of `cards`; only totals of `totalled` cards.

    The first card is the baseline. If `compared`, the others are compared with it run by run, and the `movers` runs
    with the largest changes each way are kept.
    """

    cards: Sequence[RateCard]
    dimensions: Sequence[str]
    totalled: Sequence[RateCard] = ()
    compared: bool = False
    movers: int = 0


class _Keyed(NamedTuple):
    """Sums by the keys of one dimension: a number of runs, and a sum for each card."""

    numbering: Numbering
    runs: GroupSums
    sums: list[GroupSums]


class Tally:
    """What one thread has added up; merged with those of others at the end."""

    def __init__(self, question: Question, pricing: BlockPricer) -> None:
        self.question = question
        self._pricing = pricing
        cards = len(question.cards)
        units = [1 if question.compared else to_micro(card.quantum) for card in _priced_cards(question)]
        self.runs = 0
        makers: dict[str, Callable[[], Numbering]] = {"account": Accounts, "month": Months}
        self.keyed = {
            name: _Keyed(makers[name](), GroupSums(0), [GroupSums(0, unit) for unit in units[:cards]])
            for name in question.dimensions
            if name in KEYED
        }
        self._coded = any(name in CODED for name in question.dimensions)
        codes = CODES * len(MODALITIES) if self._coded else 0
        self.code_runs = GroupSums(codes)
        self.codes = [GroupSums(codes, unit) for unit in units[:cards]]
        self._totals = [GroupSums(1, unit) for unit in units]
        compared = cards - 1 if question.compared else 0
        self.distributions = [Distribution() for _ in range(compared)]
        self.dearer = [Largest(1, question.movers) for _ in range(compared)]
        self.cheaper = [Largest(-1, question.movers) for _ in range(compared)]
        self._reading = Workspace().arrays(READ_BUFFERS + 1)
        self._space = Workspace()

    def sums(self) -> list[int]:
        """Micro-credits of all the runs under each card, then under each card that is only totalled."""
        totals = [next(total.totals()) for total in self._totals]
        return [*map(sum, (sums.totals() for sums in self._partition)), *totals[len(self._partition) :]]

    @property
    def _partition(self) -> list[GroupSums]:
        """Sums by card in which every run counts once, so that these cards need no separate total."""
        keyed = next(iter(self.keyed.values()), None)
        return keyed.sums if keyed is not None else self.codes if self._coded else []

    def add(self, piece: int, first: int, batch: Any) -> None:
        """Add a record batch, which starts at row `first` of a piece. Raises `FrameInvalid`."""
        try:
            self._add(piece, first, batch)
        except FrameInvalid as error:
            for card in _priced_cards(self.question):
                issues = diagnose(batch, card, first)
                if issues:
                    raise FrameInvalid(issues) from None
            raise error from None

    def _add(self, piece: int, first: int, batch: Any) -> None:
        numbers = {name: self._numbered(name, batch) for name in self.keyed}
        reader = Reader(batch)
        for start in range(0, batch.num_rows, BLOCK):
            stop = min(start + BLOCK, batch.num_rows)
            runs = reader.block(start, stop, self._reading[:READ_BUFFERS]) if reader.sound else None
            if runs is None:
                raise _unreadable()
            block = batch.slice(start, stop - start)
            self._add_block(
                runs, {name: places[start:stop] for name, places in numbers.items()}, block, piece, first + start
            )
        self.runs += batch.num_rows

    def _numbered(self, name: str, batch: Any) -> Integers:
        keyed = self.keyed[name]
        numbers = keyed.numbering.number(batch.column(KEYED[name]))
        for sums in (keyed.runs, *keyed.sums):
            sums.grow(len(keyed.numbering.keys))
        return numbers

    def _add_block(self, runs: Runs, numbers: dict[str, Integers], block: Any, piece: int, first: int) -> None:
        results = self._pricing.prices(runs, self._space)
        if results is None:
            raise _unreadable()
        count = len(runs.rows)
        for name, places in numbers.items():
            self.keyed[name].runs.count(places)
        if self._coded:
            self.code_runs.count(runs.codes)
        baseline = self._reading[READ_BUFFERS][:count]
        for number, (amounts, greatest) in enumerate(results):
            prices = amounts if amounts.ndim else np.full(count, amounts)
            self._add_prices(number, prices, greatest, runs, numbers)
            if not number:
                np.copyto(baseline, prices)
            elif self.question.compared and number < len(self.question.cards):
                self._compare(number - 1, (baseline, prices), block, piece, first)

    def _add_prices(
        self, number: int, prices: Integers, greatest: int, runs: Runs, numbers: dict[str, Integers]
    ) -> None:
        """Add the prices of a block under one card to every sum they belong to."""
        if number >= len(self._partition):
            self._totals[number].add_all(prices, greatest)
        if number >= len(self.question.cards):
            return
        for name, places in numbers.items():
            self.keyed[name].sums[number].add(places, prices, greatest)
        if self._coded:
            self.codes[number].add(runs.codes, prices, greatest)

    def _compare(self, number: int, prices: tuple[Integers, Integers], block: Any, piece: int, first: int) -> None:
        delta = prices[1] - prices[0]
        self.distributions[number].add(prices[0], delta)

        def run(at: int) -> dict[str, Any]:
            columns: dict[str, Any] = block.slice(at, 1).to_pylist()[0]
            return {name: value for name, value in columns.items() if value is not None}

        self.dearer[number].add(piece, first, delta, prices, run)
        self.cheaper[number].add(piece, first, delta, prices, run)

    def merge(self, other: Tally) -> None:
        """Add what another thread has added up."""
        self.runs += other.runs
        for mine, theirs in zip(
            [*self._totals, self.code_runs, *self.codes], [*other._totals, other.code_runs, *other.codes], strict=True
        ):
            mine.merge(theirs)
        for name, keyed in self.keyed.items():
            _merge_keyed(keyed, other.keyed[name])
        for found, more in zip(self.distributions, other.distributions, strict=True):
            found.merge(more)
        for largest, others in zip([*self.dearer, *self.cheaper], [*other.dearer, *other.cheaper], strict=True):
            largest.merge(others)


def _priced_cards(question: Question) -> tuple[RateCard, ...]:
    return (*question.cards, *question.totalled)


def _unreadable() -> FrameInvalid:
    return FrameInvalid([Issue("runs", "null", "cannot be read. Correct them.")])


def _merge_keyed(keyed: _Keyed, other: _Keyed) -> None:
    places = keyed.numbering.take_over(other.numbering)
    for mine, theirs in zip((keyed.runs, *keyed.sums), (other.runs, *other.sums), strict=True):
        mine.grow(len(keyed.numbering.keys))
        mine.merge(theirs, places)


def tally(
    source: Source, question: Question, *, progress: ProgressListener | None = None, threads: int | None = None
) -> Tally:
    """Read the whole source once and add up what the question asks for. Raises `FrameInvalid`, `RunsUnreadable`."""
    present = source.priced_columns
    # The columns that are priced, and those of the dimensions.
    columns = [*present, *(column for name, column in KEYED.items() if name in question.dimensions)]
    pricing = BlockPricer(_priced_cards(question), in_quanta=not question.compared)
    workers = min(threads or pa.cpu_count(), len(source.pieces))
    waiting: SimpleQueue[tuple[int, Piece]] = SimpleQueue()
    for numbered in enumerate(source.pieces):
        waiting.put(numbered)

    def work() -> Tally:
        found = Tally(question, pricing)
        try:
            for number, piece in _drained(waiting):
                _read(found, number, piece, columns, progress)
        except BaseException:
            for _ in _drained(waiting):
                pass  # the other threads stop: their results are not used
            raise
        return found

    if workers < 2:
        return work()
    with ThreadPoolExecutor(workers) as pool:
        found, *others = [job.result() for job in [pool.submit(work) for _ in range(workers)]]
    for other in others:
        found.merge(other)
    return found


def _drained(waiting: SimpleQueue[tuple[int, Piece]]) -> Iterator[tuple[int, Piece]]:
    with suppress(Empty):
        while True:
            yield waiting.get_nowait()


def _read(found: Tally, number: int, piece: Piece, columns: Sequence[str], progress: ProgressListener | None) -> None:
    first = piece.start
    for batch in piece.read(columns):
        if not batch.num_rows:
            continue
        try:
            found.add(number, first, batch)
        except FrameInvalid as error:
            raise _located(error, piece, first, batch) from None
        first += batch.num_rows
        if progress is not None and piece.rows is not None:
            progress(batch.num_rows)
    if progress is not None and piece.rows is None:
        progress(piece.size)


def _located(error: FrameInvalid, piece: Piece, first: int, batch: Any) -> FrameInvalid:
    """The error with the rows that were checked when it was found; later rows were not checked."""
    if not piece.path:
        return error
    part = f"{piece.path}, rows {first} to {first + batch.num_rows - 1}"
    return FrameInvalid(issue._replace(path=f"{part}: {issue.path}") for issue in error.issues)
