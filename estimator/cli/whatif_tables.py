"""Rich tables of a comparison, and its groups as CSV; every value goes in as plain text, never as markup."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, TextIO

from rich import box
from rich.console import RenderableType
from rich.table import Table

from estimator.cli.tables import amount_cell, cell, line
from estimator.credits import format_credits
from estimator.scenarios.results import Change, Comparison, Group, Movement, RunMover

GROUPS_SHOWN = 25
"""Lines of a table by a dimension; a line below counts the rest."""


def comparison_parts(comparison: Comparison, by: Sequence[str]) -> Iterator[RenderableType]:
    """The tables for people: the totals, what changes and who pays more under each candidate, every dimension asked."""
    yield line(f"{comparison.runs:,} runs, in credits.")
    yield ""
    yield _summary(comparison)
    for number, change in enumerate(comparison.changes):
        yield ""
        yield from _change_parts(comparison, number, change)
    for dimension in by:
        yield ""
        yield from _groups_parts(comparison, dimension)


def write_groups(comparison: Comparison, file: TextIO) -> None:
    """The totals and every group, a line for each card: dimension, key, runs, card, id, credits, change."""
    cards = [comparison.baseline, *(change.card for change in comparison.changes)]
    writer = csv.writer(file)
    writer.writerow(["dimension", "key", "runs", "card", "card_id", "credits", "change"])
    groups = [("total", comparison.total)]
    groups += [(name, group) for name, table in comparison.groups.items() for group in table]
    for dimension, group in groups:
        for card, total in zip(cards, (group.baseline, *group.candidates), strict=True):
            amounts = (format_credits(total), format_credits(total - group.baseline))
            writer.writerow([dimension, group.key, group.runs, card.name, card.id, *amounts])


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column(cell(first), overflow="fold")
    for heading in others:
        table.add_column(cell(heading), justify="right", no_wrap=True)
    return table


def _amounts(amounts: Iterable[Decimal | None], sign: str = "") -> list[str]:
    """Credits in groups of three digits, all with as many decimals as the longest; None is blank."""
    texts = [None if amount is None else format_credits(amount) for amount in amounts]
    places = max((len(text.partition(".")[2]) for text in texts if text is not None), default=0)
    return ["" if text is None else format(Decimal(text), f"{sign},.{places}f") for text in texts]


def _changes(amounts: Iterable[Decimal | None]) -> list[str]:
    """The same with a sign."""
    return _amounts(amounts, "+")


def _summary(comparison: Comparison) -> Table:
    changes = comparison.changes
    table = _table("Card", "Credits", "Change", "Percent", "Runs dearer", "Accounts dearer")
    totals = _amounts([comparison.baseline.credits, *(change.card.credits for change in changes)])
    deltas = ["", *_changes(change.delta for change in changes)]
    shares = ["", *_changes(change.delta_percent for change in changes)]
    dearer = ["", *(_share(change.runs) for change in changes)]
    accounts = ["", *(_share(change.accounts) for change in changes)]
    names = [comparison.baseline.name, *(change.card.name for change in changes)]
    for name, *texts in zip(names, totals, deltas, shares, dearer, accounts, strict=True):
        table.add_row(cell(name), *map(amount_cell, texts))
    return table


def _share(movement: Movement | None) -> str:
    if movement is None:
        return "unknown"
    share = movement.share_dearer
    return f"{movement.dearer:,}" if share is None else f"{movement.dearer:,} ({format_credits(share)}%)"


def _change_parts(comparison: Comparison, number: int, change: Change) -> Iterator[RenderableType]:
    name = change.card.name
    if not change.steps:
        yield line(f"{name} prices these runs as {comparison.baseline.name} does.")
        return
    table = _table(f"What changes under {name}", "Change", "Total then")
    deltas, totals = _changes(step.delta for step in change.steps), _amounts([step.total for step in change.steps])
    for step, delta, total in zip(change.steps, deltas, totals, strict=True):
        table.add_row(cell(step.label), amount_cell(delta), amount_cell(total))
    yield table
    if change.dearer_accounts:
        yield ""
        yield _accounts_table(f"Accounts that pay more under {name}", change.dearer_accounts, number)
    if change.dearer_runs:
        yield ""
        yield _runs_table(f"Runs that cost more under {name}", change.dearer_runs)


def _accounts_table(title: str, accounts: Sequence[Group], number: int) -> Table:
    table = _table(title, "Runs", "Before", "After", "Change")
    before = _amounts([account.baseline for account in accounts])
    after = _amounts([account.candidates[number] for account in accounts])
    deltas = _changes(account.deltas[number] for account in accounts)
    for account, *texts in zip(accounts, before, after, deltas, strict=True):
        table.add_row(cell(account.key), f"{account.runs:,}", *map(amount_cell, texts))
    return table


def _runs_table(title: str, movers: Sequence[RunMover]) -> Table:
    table = _table(title, "Rows", "Before", "After", "Change")
    before, after = _amounts([mover.baseline for mover in movers]), _amounts([mover.candidate for mover in movers])
    deltas = _changes(mover.delta for mover in movers)
    for mover, *texts in zip(movers, before, after, deltas, strict=True):
        place = f"{mover.path}, row {mover.row:,}" if mover.path else f"row {mover.row:,}"
        table.add_row(cell(place), f"{mover.run['rows']:,}", *map(amount_cell, texts))
    return table


def _groups_parts(comparison: Comparison, dimension: str) -> Iterator[RenderableType]:
    groups = comparison.by(dimension)
    rows = groups.rows[:GROUPS_SHOWN]
    names = [change.card.name for change in comparison.changes]
    table = _table(
        f"By {dimension.replace('_', ' ')}", "Runs", comparison.baseline.name, *names, *["Change"] * len(names)
    )
    columns: list[Any] = [[f"{row.runs:,}" for row in rows], _amounts([row.baseline for row in rows])]
    columns += [_amounts([row.candidates[number] for row in rows]) for number in range(len(names))]
    columns += [_changes(row.deltas[number] for row in rows) for number in range(len(names))]
    for row, *texts in zip(rows, *columns, strict=True):
        table.add_row(cell(row.key), *map(amount_cell, texts))
    yield table
    if len(groups) > len(rows):
        yield line(f"... and {len(groups) - len(rows):,} more; --csv FILE writes all of them.")
