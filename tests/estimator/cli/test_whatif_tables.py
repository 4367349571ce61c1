"""A comparison on a terminal and as CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from decimal import Decimal

from rich.console import Console

from estimator.cli.whatif_tables import GROUPS_SHOWN, comparison_parts, write_groups
from estimator.scenarios.results import Group, Groups
from tests.estimator.report.compared import CARDS, comparison


def printed(*args: object) -> str:
    console = Console(width=200, file=io.StringIO(), highlight=False)
    for part in comparison_parts(*args):  # type: ignore[arg-type]
        console.print(part)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_a_comparison_has_totals_changes_movers_and_the_dimensions_asked_for() -> None:
    text = printed(comparison(), ["month"])
    assert text.startswith("3 runs, in credits.")
    assert "What changes under <b>then</b> & more" in text
    assert "Accounts that pay more" in text
    assert "runs/a.parquet, row 7" in text
    assert "By month" in text
    assert "By account" not in text


def test_a_card_that_changes_nothing_is_said_in_a_sentence() -> None:
    (change,) = comparison().changes
    bare = replace(comparison(), changes=(replace(change, steps=()),))
    assert "prices these runs as now does." in printed(bare, [])


def test_a_long_dimension_counts_the_groups_left_out() -> None:
    rows = tuple(Group(f"a{n:03}", 1, Decimal(1), (Decimal(2),)) for n in range(GROUPS_SHOWN + 3))
    text = printed(replace(comparison(), groups={"account": Groups("account", CARDS, rows)}), ["account"])
    assert "... and 3 more; --csv FILE writes all of them." in text
    assert f"a{GROUPS_SHOWN:03}" not in text


def test_every_group_is_a_line_of_csv_for_each_card() -> None:
    file = io.StringIO()
    write_groups(comparison(), file)
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert len(rows) == 2 * (1 + 2 + 3)
    assert [row["change"] for row in rows[:2]] == ["0", "1.5"]
    assert {row["dimension"] for row in rows} == {"total", "account", "month"}
