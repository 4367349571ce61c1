"""The dialects: which engines SQL is written for, and how names, texts and tables are written."""

from __future__ import annotations

import pytest

from estimator import DialectUnknown, shipped_card, sql
from estimator.sql.dialects import find_dialect, is_name

CARD = shipped_card("example")


def test_an_engine_that_never_executed_it_is_refused_unless_asked_for_as_untested() -> None:
    with pytest.raises(DialectUnknown, match="never executed"):
        sql(CARD, "bigquery")
    assert "UNNEST(ARRAY<STRUCT<code INT64" in sql(CARD, "bigquery", untested=True)


def test_an_unknown_engine_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(DialectUnknown, match="postgresql"):
        sql(CARD, "postgres")


def test_names_and_texts_are_quoted_so_that_they_stay_names_and_texts() -> None:
    postgresql, spark = find_dialect("postgresql"), find_dialect("spark")
    assert postgresql.name('a"b') == '"a""b"'
    assert postgresql.text("it's \\") == "'it''s \\'"
    assert spark.name("a`b") == "`a``b`"
    assert spark.text("it's \\") == "'it\\'s \\\\'"


def test_a_table_of_constants_is_written_as_the_engine_reads_it() -> None:
    rows = [(1, 2), (3, 4)]
    assert find_dialect("duckdb").rows("p", ["a", "b"], rows) == "(VALUES\n    (1, 2),\n    (3, 4)\n  ) AS p (a, b)"
    assert "STRUCT<a INT64, b INT64>" in find_dialect("bigquery", untested=True).rows("p", ["a", "b"], rows)


def test_a_name_of_a_table_has_letters_digits_underscores_dollars_and_hyphens() -> None:
    assert all(map(is_name, ["runs", "_runs", "runs-2026", "runs$1"]))
    assert not any(map(is_name, ["", "1runs", "runs;", "a b", 'a"b', "a.b"]))
