"""Names of columns: which have a meaning, and which are missing, repeated or misspelt."""

from __future__ import annotations

import pytest

from estimator import FrameInvalid
from estimator.columns import COLUMNS, name_issues, present_columns


def test_present_columns_are_in_the_order_of_the_table_of_columns() -> None:
    assert present_columns(["notes", "length", "rows"]) == ("rows", "length")
    assert present_columns(reversed(COLUMNS)) == tuple(COLUMNS)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], [("rows", "missing")]),
        (["rows", "rows"], [("rows", "duplicate_column")]),
        (["row_count"], [("row_count", "unknown_column")]),
        (["rows", "lenght"], [("lenght", "unknown_column")]),
        (["rows", "Max Rows"], [("Max Rows", "unknown_column")]),
        (["rows", "preference_pairs"], [("preference_pairs", "unknown_column")]),
        (["rows", "targets"], [("sample_ppm", "missing")]),
        (["rows", "targets", "sample_rate"], [("sample_rate", "unknown_column")]),
        (["rows", "credits_micro"], [("credits_micro", "duplicate_column")]),
        (["rows", "account", "at", "rowid"], []),
        (["rows", "max_rows", "row_count"], []),
    ],
    ids=str,
)
def test_names_missing_repeated_or_misspelt_are_told(names: list[str], expected: list[tuple[str, str]]) -> None:
    assert [(issue.path, issue.code) for issue in name_issues(names)] == expected


def test_every_problem_of_names_comes_in_one_error() -> None:
    with pytest.raises(FrameInvalid) as caught:
        present_columns(["lenght", "targets"])
    assert len(caught.value.issues) == 3
