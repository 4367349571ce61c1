"""Where a statement is cut so that an engine computes each step once."""

from __future__ import annotations

import psycopg

from estimator import shipped_card, sql
from estimator.sql.fences import COST, fences

CARD = shipped_card("example")
COLUMNS = ("rows", "length", "discount", "voucher")


def test_a_part_is_fenced_where_its_columns_would_be_computed_again() -> None:
    large = " + ".join(["a"] * COST)
    parts = [{"step_x": large}, {"step_y": "step_x + step_x"}]
    assert list(fences(parts, "step_y")) == [0]
    assert list(fences([{"step_x": large}, {"step_y": "step_x + 1"}], "step_y")) == []
    assert list(fences([{"step_x": "a"}, {"step_y": "step_x + step_x"}], "step_y")) == []


def test_what_is_computed_again_grows_from_part_to_part() -> None:
    parts = [{f"step_{number + 1}": f"step_{number} + step_{number}"} for number in range(12)]
    found = list(fences(parts, "step_12"))
    assert 1 <= len(found) <= 4


def test_only_an_engine_that_repeats_expressions_gets_fences() -> None:
    assert "OFFSET 0" in sql(CARD, "postgresql", COLUMNS)
    assert "OFFSET 0" not in sql(CARD, "duckdb", COLUMNS)


def test_postgresql_computes_each_step_of_a_card_with_discounts_and_vouchers_once(postgresql_url: str) -> None:
    """Without fences the plan of this statement has more than 80,000 characters."""
    with psycopg.connect(postgresql_url.replace("+psycopg", "")) as connection:
        connection.execute("CREATE TEMPORARY TABLE runs (rows bigint, length text, discount text, voucher text)")
        statement = "EXPLAIN (VERBOSE, COSTS OFF) " + sql(CARD, "postgresql", COLUMNS)
        plan = "\n".join(row[0] for row in connection.execute(statement.encode()).fetchall())
        connection.rollback()
    assert len(plan) < 15_000
