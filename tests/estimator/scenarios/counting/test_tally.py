"""One pass over past runs: totals of all cards, of dimensions, and of several threads."""

from __future__ import annotations

from decimal import Decimal

import pytest

from estimator import FrameInvalid, RateCard, from_micro
from estimator.scenarios.counting.groups import grouped
from estimator.scenarios.counting.tally import Question, tally
from estimator.scenarios.reading import sources
from estimator.scenarios.reading.sources import open_runs
from tests.estimator.scenarios.past import MANY, table, total


@pytest.mark.parametrize("dimensions", [(), ("account",), ("length", "recipe"), ("month", "safety")], ids=str)
@pytest.mark.parametrize("compared", [False, True])
def test_totals_do_not_depend_on_the_dimensions(
    card: RateCard, cheaper: RateCard, dimensions: tuple[str, ...], compared: bool
) -> None:
    found = tally(open_runs(MANY), Question([card], dimensions, [cheaper], compared))
    assert list(map(from_micro, found.sums())) == [total(MANY, card), total(MANY, cheaper)]
    assert found.runs == 6


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_add_up_to_what_one_finds(
    card: RateCard, cheaper: RateCard, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    monkeypatch.setattr(sources, "PIECE_ROWS", 2)
    question = Question([card, cheaper], ("account", "month", "recipe"), (), True, 3)
    whole = tally(open_runs(MANY), question, threads=1)
    found = tally(open_runs(MANY), question, threads=threads)
    assert found.sums() == whole.sums()
    assert [grouped(name, found) for name in question.dimensions] == [
        grouped(name, whole) for name in question.dimensions
    ]
    assert found.distributions[0].bins() == whole.distributions[0].bins()
    assert found.cheaper[0].movers == whole.cheaper[0].movers


def test_progress_is_told_in_the_sizes_of_the_pieces(card: RateCard) -> None:
    told: list[int] = []
    source = open_runs(MANY)
    tally(source, Question([card], ()), progress=told.append)
    assert sum(told) == source.size == 6


def test_a_run_without_a_price_is_told_with_its_row(card: RateCard) -> None:
    with pytest.raises(FrameInvalid, match=r"row 1: -5"):
        tally(open_runs(table({}, {"rows": -5})), Question([card], ()))


def test_movers_are_kept_only_where_cards_are_compared(card: RateCard, cheaper: RateCard) -> None:
    found = tally(open_runs(MANY), Question([card, cheaper], (), movers=2))
    assert (found.dearer, found.cheaper, found.distributions) == ([], [], [])
    assert from_micro(found.sums()[1]) == total(MANY, cheaper) > Decimal(0)
