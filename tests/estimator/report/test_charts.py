"""The charts of a report."""

from __future__ import annotations

from decimal import Decimal

from estimator.report import charts


def test_bars_of_labels_that_are_shortened_alike_stay_apart() -> None:
    long = "x" * 200
    drawn = charts.movers([(long + "1", Decimal(1), "+1"), (long + "2", Decimal(-2), "-2")], charts.NARROW)
    assert drawn.count("\u2026</text>") == 2


def test_a_bar_has_the_colour_of_its_side_and_the_text_beside_it() -> None:
    drawn = charts.waterfall(
        [("up", Decimal(0), Decimal(2), "+2"), ("down", Decimal(2), Decimal(1), "-1")], charts.WIDE
    )
    assert "var(--dearer)" in drawn
    assert "var(--cheaper)" in drawn
    assert "var(--same)" not in drawn
    assert ">+2</text>" in drawn


def test_counts_are_written_with_groups_of_digits() -> None:
    assert ">12,345</text>" in charts.counts([("no change", 12_345, charts.SAME)], "runs", charts.WIDE)


def test_lines_of_many_cards_differ_in_colour_or_dashes() -> None:
    cards = [f"card {number}" for number in range(5)]
    points = [(month, card, Decimal(1)) for month in ("2026-01", "2026-02") for card in cards]
    drawn = charts.lines(points, cards, charts.WIDE)
    assert all(f">{card}</text>" in drawn for card in cards)
