"""Rich tables of what the estimator answers; every value goes in as plain text, never as markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from rich import box
from rich.table import Table
from rich.text import Text

from estimator.credits import grouped_credits
from estimator.estimates import Estimate, LineItem
from estimator.plans import DatasetProfile
from estimator.sentences import printable

COLUMNS_SHOWN = 30

"""The name that the tables of the ledger use."""


def aligned(amounts: Sequence[Decimal | None]) -> list[str]:
    """Amounts padded so that, set flush right, their decimal points are below one another; None is blank."""
    texts = ["" if amount is None else grouped_credits(amount) for amount in amounts]
    decimals = [len(text.partition(".")[2]) for text in texts]
    most = max(decimals, default=0)
    return [
        text + (" " * (most - count + (1 if most and not count else 0)) if text else "")
        for text, count in zip(texts, decimals, strict=True)
    ]


def cell(value: object, style: str = "") -> Text:
    """A value as text that is printed as it is."""
    return Text(printable(value), style=style)


def amount_cell(text: str, style: str = "") -> Text:
    """An amount already laid out by `aligned`."""
    return Text(text, style=style)


def line(*parts: object, style: str = "") -> Text:
    """A sentence for a person."""
    return cell(" ".join(map(str, parts)), style)


def code(text: str) -> list[Text]:
    """Lines to be piped or pasted: none is broken, however narrow the terminal is."""
    lines = [cell(written) for written in text.splitlines()]
    for written in lines:
        written.no_wrap = True
    return lines


def facts(pairs: Iterable[tuple[str, object]]) -> Table:
    """Names and values, one a line."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        if value is not None:
            table.add_row(name, cell(value))
    return table


def profile_table(name: str, profile: DatasetProfile) -> Table:
    """A dataset's rows and columns."""
    columns = list(profile.columns[:COLUMNS_SHOWN])
    if len(profile.columns) > COLUMNS_SHOWN:
        columns.append(f"... and {len(profile.columns) - COLUMNS_SHOWN:,} more")
    rows = 0 if profile.row_count is None else profile.row_count
    return facts([("Dataset", name), ("Rows", f"{rows:,}"), ("Columns", ", ".join(columns))])


def items_table(items: Sequence[LineItem], total: Decimal, label: str = "Total") -> Table:
    """Line items and the total that they sum to."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, show_footer=True)
    amounts = aligned([*(item.credits for item in items), total])
    prices = aligned([item.unit_price for item in items])
    table.add_column("Item", footer=label, overflow="fold")
    for heading in ("Quantity", "Unit price"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Credits", justify="right", no_wrap=True, footer=amount_cell(amounts[-1], "bold"))
    for item, amount, price in zip(items, amounts, prices, strict=False):
        quantity = "" if item.quantity is None else f"{item.quantity:,}"
        table.add_row(cell(item.label), quantity, amount_cell(price), amount_cell(amount))
    return table


def estimate_summary(estimate: Estimate) -> Text:
    """Which card, how many rows, how long."""
    p50, p95 = estimate.minutes
    within = f"about {grouped_credits(p50)} minutes (95% of runs within {grouped_credits(p95)})"
    minutes = within if p95 else "no duration on this card"
    return line(
        f"Rate card {estimate.card_name}: {estimate.rows:,} rows in, {estimate.rows_output:,} rows out, {minutes}."
    )
