"""The problems of a table of runs: each names its column, counts its rows and shows the first few."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from estimator import shipped_card
from estimator.frames.diagnosis import diagnose, rows_listed

CARD = shipped_card("example")


def found(first: int = 0, **columns: Any) -> list[tuple[str, str, str]]:
    return [(issue.path, issue.code, issue.message) for issue in diagnose(pa.record_batch(columns), CARD, first)]


@pytest.mark.parametrize(
    ("columns", "path", "code", "words"),
    [
        ({"rows": pa.array([5, None])}, "rows", "null", "in 1 row (row 1: null)"),
        ({"rows": [5, 0, -1]}, "rows", "out_of_range", "in 2 rows (row 1: 0, row 2: -1)"),
        ({"rows": [50_000_001]}, "rows", "rows_max", "allows 50,000,000 rows a run"),
        ({"rows": [5], "length": ["long"]}, "length", "unknown_value", "Use one of: minimal, concise"),
        ({"rows": [5], "discount": ["teem"]}, "discount", "discount_unknown", "Did you mean 'team'?"),
        ({"rows": [5], "sample_ppm": [1_000_001], "targets": [1]}, "sample_ppm", "out_of_range", "row 0: 1000001"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_problem_names_its_column_and_its_rows(columns: dict[str, Any], path: str, code: str, words: str) -> None:
    (issue,) = found(**columns)
    assert issue[:2] == (path, code)
    assert words in issue[2]


def test_a_configuration_without_a_price_is_told_by_its_dimension() -> None:
    observed = shipped_card("observed")
    assert observed.text.grounding is None or not list(diagnose(pa.record_batch({"rows": [5]}), observed))
    bare = CARD.model_copy(update={"image": None})
    (issue,) = diagnose(pa.record_batch({"rows": [5, 5], "modality": ["text", "image"]}), bare)
    assert (issue.path, issue.code) == ("modality", "price_missing")
    assert "(row 1)" in issue.message


def test_rows_with_a_wrong_value_are_not_checked_again_and_the_others_are() -> None:
    issues = found(rows=[0, 60_000_000], length=["concise", "concise"])
    assert [issue[1] for issue in issues] == ["out_of_range", "rows_max"]
    assert "(row 1: 60000000)" in issues[1][2]


def test_rows_are_numbered_from_the_first_of_the_batch() -> None:
    assert "(row 100: 0)" in found(100, rows=[0])[0][2]


def test_the_first_five_rows_are_listed_and_the_rest_counted() -> None:
    places = np.arange(1_234)
    assert rows_listed(places, None, places + 7) == "1,234 rows (row 7, row 8, row 9, row 10, row 11, ...)"
    assert rows_listed(places[:1], lambda _: None, places) == "1 row (row 0: null)"
