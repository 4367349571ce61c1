"""What the SQL of a card says, and for whom it is written."""

from __future__ import annotations

import duckdb
import pytest

from estimator import FrameInvalid, RateCard, diagnosis_sql, shipped_card, sql
from estimator.columns import COLUMNS

CARD = shipped_card("example")


def answered(statement: str, values: str, columns: str = "rows") -> list[tuple[object, ...]]:
    """What DuckDB answers over a table of these values."""
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE runs AS SELECT * FROM (VALUES {values}) AS given ({columns})")
        return connection.execute(statement).fetchall()


def test_a_misspelt_column_is_refused() -> None:
    with pytest.raises(FrameInvalid, match="max_rows"):
        sql(CARD, "duckdb", ["rows", "max_row"])


@pytest.mark.parametrize("table", ["runs; drop table runs", "", 'a"b', "a..b"])
def test_a_table_is_named_by_names_alone(table: str) -> None:
    with pytest.raises(FrameInvalid, match="letters, digits and underscores"):
        sql(CARD, "duckdb", table=table)


@pytest.mark.parametrize("keep", [["rows"], ["credits_micro"], ["step_rows"], ["a", "a"], [""]])
def test_a_column_kept_may_not_stand_for_one_that_is_priced(keep: list[str]) -> None:
    with pytest.raises(FrameInvalid, match="carried along"):
        sql(CARD, "duckdb", keep=keep)


def test_a_name_with_quotes_and_a_schema_are_written_as_they_are() -> None:
    statement = sql(CARD, "duckdb", ["rows"], table="main.runs", keep=['the "account"'])
    assert answered(statement, "(7, 1000)", '"the ""account""", rows') == [(7, 1000, 10_250_000)]


def test_the_same_card_is_the_same_text() -> None:
    assert sql(CARD, "spark", COLUMNS) == sql(RateCard.from_json(CARD.to_json()), "spark", list(reversed(COLUMNS)))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("2.5", "rows is no whole number"),
        ("0", "rows is less than 1"),
        ("-3", "rows is less than 1"),
        ("NULL::int", "rows is null"),
        ("50000001", "rows are more than the 50000000"),
        ("9223372036854775807", "rows are more than the 50000000"),
    ],
)
def test_a_row_count_that_has_no_price_fails_the_statement(value: str, told: str) -> None:
    with pytest.raises(duckdb.InvalidInputException, match=told):
        answered(sql(CARD, "duckdb", ["rows"]), f"({value})")


def test_runs_without_a_price_are_listed_with_their_problem_and_no_others() -> None:
    statement = diagnosis_sql(CARD, "duckdb", ["rows", "length"], keep=["id"])
    found = answered(statement, "(1, 10, 'concise'), (2, 10, 'long'), (3, 0, 'concise')", "id, rows, length")
    assert {row[0]: str(row[-1]).partition(" is ")[0] for row in found} == {2: "length", 3: "rows"}


def test_a_configuration_that_the_card_does_not_price_fails_the_statement() -> None:
    content = {"name": "text only", "effective_from": "2026-01-01T00:00:00Z", "rows_max": 1000, "text": {"row": "1"}}
    statement = sql(RateCard.from_dict(content), "duckdb", ["rows", "modality"])
    assert answered(statement, "(10, 'text')", "rows, modality") == [(10, "text", 10_000_000)]
    with pytest.raises(duckdb.InvalidInputException, match="has no price for this configuration"):
        answered(statement, "(10, 'image')", "rows, modality")


@pytest.mark.parametrize(("rows", "limit", "micro"), [(1000, "NULL", 10_250_000), (1000, "500", 5_250_000)])
def test_the_rows_to_process_are_the_fewer_of_rows_and_max_rows(rows: int, limit: str, micro: int) -> None:
    statement = sql(CARD, "duckdb", ["rows", "max_rows"])
    values = f"({rows}::BIGINT, CAST({limit} AS BIGINT))"
    assert answered(statement, values, "rows, max_rows")[0][-1] == micro
