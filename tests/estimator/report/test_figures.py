"""The figures of a report: exact amounts with signs, and tables that say what they leave out."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from estimator.report import figures
from estimator.scenarios.results import Group, Groups
from tests.estimator.report.compared import CARDS, comparison


@pytest.mark.parametrize(
    ("amount", "text"),
    [("1234.5", "+1,234.5"), ("-1234.5", "\u22121,234.5"), ("0", "0"), ("-0.000001", "\u22120.000001")],
)
def test_a_change_has_a_sign_and_every_digit(amount: str, text: str) -> None:
    assert figures.signed(Decimal(amount)) == text


def test_a_percentage_that_does_not_exist_is_a_dash() -> None:
    assert figures.percentage(None) == "\u2013"
    assert figures.percentage(Decimal("-2.5")) == "\u22122.5%"


def test_the_summary_has_a_row_for_each_card() -> None:
    table = figures.summary(comparison())
    assert [row[0] for row in table.rows] == list(CARDS)
    assert table.rows[1][4:] == ("2", "1", "0")


def test_a_candidate_has_a_chart_of_parts_of_runs_of_accounts_and_of_movers() -> None:
    (change,) = comparison().changes
    assert [figure.title for figure in figures.of_change(comparison(), change)] == [
        "Changes by part of the card",
        "How runs move",
        "How accounts move",
        "Accounts that move most",
    ]


def test_months_are_a_timeline_and_no_table_of_a_dimension() -> None:
    found = figures.timeline(comparison())
    assert found is not None
    assert found.text == "Credits of the runs of 2026-01 to 2026-03 under each card, by month."
    assert figures.timeline(replace(comparison(), groups={})) is None
    assert [name for name, _ in figures.by_dimension(comparison())] == ["account"]


def test_runs_that_move_are_a_table_only_where_there_are_some() -> None:
    (change,) = comparison().changes
    table = figures.movers(change)
    assert table is not None
    assert table.rows == (("runs/a.parquet, row 7", "4", "6", "+2"),)
    assert figures.movers(replace(change, dearer_runs=())) is None


def test_a_table_of_groups_counts_what_it_leaves_out() -> None:
    groups = tuple(Group(f"a{n}", 1, Decimal(n), (Decimal(n),)) for n in range(figures.GROUPS_MAX + 1))
    ((_, table),) = figures.by_dimension(replace(comparison(), groups={"account": Groups("account", CARDS, groups)}))
    assert len(table.rows) == figures.GROUPS_MAX
    assert table.note.startswith("1 more ")
