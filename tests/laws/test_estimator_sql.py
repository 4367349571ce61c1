"""Laws of pricing in SQL: an engine that runs the statement answers what the scalar program answers, or fails."""

from __future__ import annotations

from typing import Any

import duckdb
import psycopg
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimator import RateCard, diagnosis_sql, sql
from tests.frames import TYPES, large_cards, priced_tables, prices_of
from tests.laws import examples

pytestmark = pytest.mark.external
"""Takes long; run by .ci/run."""

PricedTable = tuple[RateCard, tuple[pa.Table, list[Any]]]
POSTGRES_TYPES = {pa.int64(): "bigint", pa.string(): "text", pa.bool_(): "boolean"}


def numbered(table: pa.Table) -> pa.Table:
    """The table with a column of the analyst's own, to tell the runs apart."""
    return table.append_column("Run's no", pa.array(range(len(table)), pa.int64()))


def in_duckdb(table: pa.Table, card: RateCard) -> list[Any]:
    with duckdb.connect() as connection:
        connection.register("runs", numbered(table))
        statement = sql(card, "duckdb", table.column_names, keep=["Run's no"])
        return [row[-1] for row in sorted(connection.execute(statement).fetchall())]


def in_postgresql(url: str, table: pa.Table, card: RateCard) -> list[Any]:
    with psycopg.connect(url.replace("+psycopg", "")) as connection, connection.cursor() as cursor:
        kinds = ", ".join(f'"{name}" {POSTGRES_TYPES[TYPES[name]]}' for name in table.column_names)
        cursor.execute(f'CREATE TEMPORARY TABLE runs ({kinds}, "Run\'s no" bigint)')
        with cursor.copy("COPY runs FROM STDIN") as copy:
            for row in zip(*numbered(table).to_pydict().values(), strict=True):
                copy.write_row(row)
        cursor.execute(sql(card, "postgresql", table.column_names, keep=["Run's no"]))
        answered = [row[-1] for row in sorted(cursor.fetchall())]
        connection.rollback()
    return answered


@given(priced_tables())
def test_duckdb_charges_what_the_scalar_program_charges(priced: PricedTable) -> None:
    card, (table, plans) = priced
    assert in_duckdb(table, card) == prices_of(plans, card)


@given(priced_tables(large_cards()))
def test_duckdb_is_exact_where_a_double_is_not(priced: PricedTable) -> None:
    card, (table, plans) = priced
    assert in_duckdb(table, card) == prices_of(plans, card)


@settings(max_examples=examples(40))
@given(priced=st.one_of(priced_tables(), priced_tables(large_cards())))
def test_postgresql_charges_what_the_scalar_program_charges(postgresql_url: str, priced: PricedTable) -> None:
    card, (table, plans) = priced
    assert in_postgresql(postgresql_url, table, card) == prices_of(plans, card)


@given(priced_tables(), st.data())
def test_duckdb_charges_no_run_that_has_no_value(priced: PricedTable, data: st.DataObject) -> None:
    card, (table, _) = priced
    column = data.draw(st.sampled_from([name for name in TYPES if name not in ("max_rows", "discount", "voucher")]))
    place = data.draw(st.integers(0, len(table) - 1))
    values = table[column].to_pylist()
    values[place] = None
    bad = table.set_column(table.column_names.index(column), column, pa.array(values, TYPES[column]))
    with pytest.raises(duckdb.InvalidInputException, match=f"{column} is null"):
        in_duckdb(bad, card)
    with duckdb.connect() as connection:
        connection.register("runs", numbered(bad))
        statement = diagnosis_sql(card, "duckdb", bad.column_names, keep=["Run's no"])
        found = connection.execute(statement).fetchall()
    assert [(row[0], row[-1].partition(":")[0]) for row in found] == [(place, f"{column} is null")]
