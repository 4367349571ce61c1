"""Tables for a terminal: amounts lined up, values as they are."""

from __future__ import annotations

from decimal import Decimal

from estimator import DatasetProfile, RunPlan, estimate, shipped_card
from estimator.cli.tables import COLUMNS_SHOWN, aligned, cell, code, estimate_summary, profile_table


def test_amounts_line_up_at_the_decimal_point() -> None:
    amounts = [Decimal("1234.5"), None, Decimal(7), Decimal("-0.25")]
    assert aligned(amounts) == ["1,234.5 ", "", "7   ", "-0.25"]
    assert aligned([Decimal(7), Decimal(10)]) == ["7", "10"]


def test_markup_and_control_characters_are_text() -> None:
    assert cell("[red]x\x1b[0m").plain == "[red]x\\x1b[0m"


def test_lines_of_code_are_never_broken() -> None:
    assert [(line.plain, line.no_wrap) for line in code("SELECT 1\nFROM a")] == [("SELECT 1", True), ("FROM a", True)]


def test_a_profile_of_many_columns_counts_the_rest() -> None:
    table = profile_table("d", DatasetProfile(1_000, tuple(f"c{n}" for n in range(COLUMNS_SHOWN + 2))))
    values = [str(value) for value in table.columns[1].cells]
    assert values[:2] == ["d", "1,000"]
    assert values[2].endswith("c29, ... and 2 more")


def test_a_summary_says_how_long_a_run_takes_where_the_card_knows() -> None:
    plan = RunPlan("text", 1_000, 0, 0, "concise", (), "instruction_dataset", grounding=False, safety=False)
    assert "95% of runs within" in estimate_summary(estimate(plan, shipped_card("example"))).plain
    timeless = shipped_card("example").model_copy(update={"minutes": {}})
    assert estimate_summary(estimate(plan, timeless)).plain.endswith("no duration on this card.")
