"""The figures of a report: each chart with a sentence and a table that say the same in words and exact amounts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from estimator.credits import grouped_credits
from estimator.report import charts

if TYPE_CHECKING:
    from estimator.scenarios.results import Bin, Change, Comparison, Group, Movement

GROUPS_MAX = 25
"""Rows of a table by a dimension; a note counts the rows left out."""


@dataclass(frozen=True, slots=True)
class Table:
    """Column titles and rows of text; all but the first column are figures. `note` says what is left out."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart (drawn for a wide page and for a narrow one), a sentence that says the same, and its table."""

    title: str
    text: str
    wide: str
    narrow: str
    table: Table


def signed(amount: Decimal) -> str:
    """A change of credits for people, with its sign."""
    return f"+{grouped_credits(amount)}" if amount > 0 else grouped_credits(amount).replace("-", "\u2212")


def percentage(share: Decimal | None) -> str:
    """A signed percentage, or a dash where there is none."""
    if share is None:
        return "\u2013"
    return f"{signed(share)}%"


def summary(comparison: Comparison) -> Table:
    """What all runs cost under each card."""
    titles = ("Card", "Credits", "Change", "in %", "Runs dearer", "cheaper", "the same")
    baseline = (comparison.baseline.name, grouped_credits(comparison.baseline.credits), "", "", "", "", "")
    return Table(titles, (baseline, *map(_summed, comparison.changes)))


def _summed(change: Change) -> tuple[str, ...]:
    moved = (change.runs.dearer, change.runs.cheaper, change.runs.same)
    amounts = (grouped_credits(change.card.credits), signed(change.delta), percentage(change.delta_percent))
    return (change.card.name, *amounts, *(f"{count:,}" for count in moved))


def timeline(comparison: Comparison) -> Figure | None:
    """Credits by month under every card, where the runs have months."""
    months = comparison.groups.get("month")
    if months is None or not len(months):
        return None
    cards = [comparison.baseline.name, *(change.card.name for change in comparison.changes)]
    points = [
        (group.key, card, amount)
        for group in months
        for card, amount in zip(cards, (group.baseline, *group.candidates), strict=True)
    ]
    rows = tuple((g.key, *(grouped_credits(amount) for amount in (g.baseline, *g.candidates))) for g in months)
    first, last = months.rows[0].key, months.rows[-1].key
    period = first if first == last else f"{first} to {last}"
    return _figure(
        "Credits by month",
        f"Credits of the runs of {period} under each card, by month.",
        lambda width: charts.lines(points, cards, width),
        Table(("Month", *cards), rows),
    )


def of_change(comparison: Comparison, change: Change) -> Iterator[Figure]:
    """The charts of one candidate: the parts of the card, how runs and accounts move, and the largest changes."""
    if change.steps:
        yield _waterfall(comparison, change)
    if comparison.runs:
        yield _distribution("runs", change.runs, change.distribution)
    if change.accounts is not None:
        yield _distribution("accounts", change.accounts, change.account_distribution)
        yield from _accounts(comparison, change)


def _waterfall(comparison: Comparison, change: Change) -> Figure:
    bars, reached = [], Decimal(0)
    for step in change.steps:
        bars.append((step.label, reached, reached + step.delta))
        reached += step.delta
    bars.append(("Whole change", Decimal(0), change.delta))
    largest = max(change.steps, key=lambda step: abs(step.delta))
    text = (
        f"From {comparison.baseline.name} to {change.card.name} the runs change by {signed(change.delta)} credits;"
        f" most of it, {signed(largest.delta)}, by: {largest.label}."
    )
    rows = [(step.label, signed(step.delta), grouped_credits(step.total)) for step in change.steps]
    rows.append(("Whole change", signed(change.delta), grouped_credits(change.card.credits)))
    return _figure(
        "Changes by part of the card",
        text,
        lambda width: charts.waterfall([(label, a, b, signed(b - a)) for label, a, b in bars], width),
        Table(("Part of the card", "Change", "Credits then"), tuple(rows)),
    )


def _distribution(what: str, movement: Movement, bins: Sequence[Bin]) -> Figure:
    total = movement.dearer + movement.cheaper + movement.same
    text = (
        f"Of {total:,} {what}, {movement.dearer:,} ({_share(movement.share_dearer)}) pay more,"
        f" {movement.cheaper:,} pay less and {movement.same:,} pay the same."
    )
    met = [found for found in bins if found.count]
    return _figure(
        f"How {what} move",
        text,
        lambda width: charts.counts([(found.label, found.count, _side(found)) for found in met], what, width),
        Table(("Change of price", what.capitalize()), tuple((found.label, f"{found.count:,}") for found in met)),
    )


def _share(share: Decimal | None) -> str:
    return "none" if share is None else f"{grouped_credits(share)}%"


def _side(found: Bin) -> str:
    if found.least == found.most == 0:
        return charts.SAME
    is_cheaper = found.most is not None and found.most <= 0
    return charts.CHEAPER if is_cheaper else charts.DEARER


def _accounts(comparison: Comparison, change: Change) -> Iterator[Figure]:
    groups = [*change.dearer_accounts, *reversed(change.cheaper_accounts)]
    if not groups:
        return
    number = comparison.changes.index(change)
    deltas = [(group.key, group.deltas[number]) for group in groups]
    name, most = max(deltas, key=lambda pair: abs(pair[1]))
    yield _figure(
        "Accounts that move most",
        f"The accounts with the largest changes each way; the largest of all is {name} with {signed(most)} credits.",
        lambda width: charts.movers([(key, delta, signed(delta)) for key, delta in deltas], width),
        Table(
            ("Account", "Runs", comparison.baseline.name, change.card.name, "Change"),
            tuple(
                (
                    g.key,
                    f"{g.runs:,}",
                    grouped_credits(g.baseline),
                    grouped_credits(g.candidates[number]),
                    signed(g.deltas[number]),
                )
                for g in groups
            ),
        ),
    )


def movers(change: Change) -> Table | None:
    """The runs with the largest changes each way."""
    runs = [*change.dearer_runs, *reversed(change.cheaper_runs)]
    if not runs:
        return None
    rows = tuple(
        (
            f"{run.path or 'frame'}, row {run.row:,}",
            grouped_credits(run.baseline),
            grouped_credits(run.candidate),
            signed(run.delta),
        )
        for run in runs
    )
    return Table(("Run", "Credits before", "then", "Change"), rows)


def by_dimension(comparison: Comparison) -> list[tuple[str, Table]]:
    """The totals by each dimension that was compared by, but for months, which are drawn."""
    cards = [comparison.baseline.name, *(change.card.name for change in comparison.changes)]
    found = []
    for dimension, groups in comparison.groups.items():
        if dimension == "month":
            continue
        titles = (dimension.replace("_", " ").capitalize(), "Runs", *cards, *(f"Change, {name}" for name in cards[1:]))
        left = len(groups) - GROUPS_MAX
        note = f"{left:,} more have smaller changes; the CSV has them all." if left > 0 else ""
        found.append((dimension, Table(titles, tuple(_rows(groups.head(GROUPS_MAX))), note)))
    return found


def _rows(groups: Iterable[Group]) -> Iterator[tuple[str, ...]]:
    for group in groups:
        amounts = (group.baseline, *group.candidates)
        yield group.key, f"{group.runs:,}", *(grouped_credits(a) for a in amounts), *(signed(d) for d in group.deltas)


def _figure(title: str, text: str, draw: charts.Draw, table: Table) -> Figure:
    return Figure(title, text, draw(charts.WIDE), draw(charts.NARROW), table)
