"""Past runs under a baseline card and under candidates: totals, who pays more, and which part of the card causes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from estimator.credits import from_micro
from estimator.scenarios.errors import ScenarioInvalid
from estimator.scenarios.reading.pieces import Source
from estimator.scenarios.reading.sources import open_runs
from estimator.scenarios.results import CardTotal, Change, Comparison, Groups, RunMover, Step, percent
from estimator.scenarios.stages import Stage, stages

if TYPE_CHECKING:
    from estimator.rates import RateCard
    from estimator.scenarios.counting.movers import Mover
    from estimator.scenarios.counting.tally import ProgressListener, Tally

MOVERS = 10
"""How many runs and accounts are listed, each way, unless told otherwise."""


def compare(
    runs: Any,
    baseline: RateCard,
    candidates: Sequence[RateCard],
    *,
    by: Sequence[str] | None = None,
    movers: int = MOVERS,
    progress: ProgressListener | None = None,
) -> Comparison:
    """Price past runs under a baseline card and under candidates, all in one reading.

    Args:
        runs: a Polars, PyArrow or pandas frame, or paths of Parquet and CSV files, folders and patterns; see
            `estimator.columns`. A column `account` names who pays and `at` (a date, or a moment) when.
        baseline: the card that the runs are compared with.
        candidates: the cards they are compared under; none prices the baseline alone.
        by: dimensions to total by: account, month, recipe, length, grounding, safety, training_type, modality.
            All that the runs have columns for, if left out.
        movers: how many of the largest changes to list each way, of runs and of accounts.
        progress: is told how much of the source's size has been read since it was last told.

    Raises:
        FrameInvalid: columns are missing or misspelt, or runs cannot be priced under one of the cards.
        RunsUnreadable: nothing is there, or a file is not sound.
        ScenarioInvalid: a dimension that the runs do not have, or two cards of one content.
    """
    source = open_runs(runs)
    from estimator.scenarios.counting import dimensions
    from estimator.scenarios.counting.groups import account_changes, grouped
    from estimator.scenarios.counting.tally import Question, tally

    cards = [baseline, *candidates]
    _refuse_equal(cards)
    chosen = dimensions.chosen(by, source.schema.names)
    ways = [stages(baseline, candidate) for candidate in candidates]
    between = dict.fromkeys(stage.card for way in ways for stage in way[:-1])
    asked = dict.fromkeys([*chosen, *(["account"] if "account" in source.schema.names else [])])
    question = Question(cards, tuple(asked), tuple(between), bool(candidates), movers)
    found = tally(source, question, progress=progress)
    totals = dict(zip([card.id for card in (*cards, *between)], found.sums(), strict=True))
    groups = {name: grouped(name, found) for name in asked}
    changes = []
    for number, (candidate, way) in enumerate(zip(candidates, ways, strict=True)):
        change = _change(number, found, source, totals[baseline.id], totals[candidate.id])
        change |= account_changes(groups["account"], number, movers) if "account" in groups else {}
        steps = tuple(_steps(way, totals, totals[baseline.id]))
        changes.append(Change(card=_card_total(candidate, totals), steps=steps, **change))
    names = tuple(card.name for card in cards)
    tables = {name: Groups(name, names, tuple(raw.group() for raw in groups[name])) for name in chosen}
    return Comparison(found.runs, _card_total(baseline, totals), tuple(changes), tables)


def _refuse_equal(cards: Sequence[RateCard]) -> None:
    """Refuse two cards of one id: results are kept by id."""
    seen: dict[str, str] = {}
    for card in cards:
        if card.id in seen:
            message = f"{seen[card.id]!r} and {card.name!r} have one content, and so one id. Leave one of them out."
            raise ScenarioInvalid("candidates", message)
        seen[card.id] = card.name


def _card_total(card: RateCard, totals: dict[str, int]) -> CardTotal:
    return CardTotal(card.name, card.id, from_micro(totals[card.id]))


def _change(number: int, found: Tally, source: Source, baseline: int, candidate: int) -> dict[str, Any]:
    """The change of the total and of the runs under a candidate."""
    distribution = found.distributions[number]
    return {
        "delta": from_micro(candidate - baseline),
        "delta_percent": percent(candidate - baseline, baseline),
        "runs": distribution.movement(),
        "distribution": distribution.bins(),
        "dearer_runs": _run_movers(found.dearer[number].movers, source),
        "cheaper_runs": _run_movers(found.cheaper[number].movers, source),
    }


def _run_movers(movers: Iterable[Mover], source: Source) -> tuple[RunMover, ...]:
    return tuple(
        RunMover(
            source.pieces[mover.piece].path,
            mover.row,
            mover.run,
            from_micro(mover.baseline),
            from_micro(mover.candidate),
        )
        for mover in movers
    )


def _steps(way: Sequence[Stage], totals: dict[str, int], before: int) -> Iterator[Step]:
    """The change of each stage: differences of exact totals, so that they sum to the whole change."""
    for stage in way:
        after = totals[stage.card.id]
        yield Step(stage.codes, stage.label, from_micro(after - before), from_micro(after))
        before = after
