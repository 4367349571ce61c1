"""Parts of sentences: values, suggestions, printable text and columns of text."""

from __future__ import annotations

import pytest

from estimator.sentences import aligned_text, nearest, printable, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (None, "None"),
        (5, "5"),
        ("a'b", '"a\'b"'),
        (10**60, "1" + "0" * 36 + "..."),
        (10**61, "a number of dozens of digits"),
        ("x" * 50, "'" + "x" * 36 + "..."),
        ([1, 2], "[1, 2]"),
    ],
    ids=str,
)
def test_a_value_is_shown_short_and_as_json_would_show_it(value: object, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize(
    ("name", "known", "sentence"),
    [
        ("rwos", ["rows", "length"], "Did you mean 'rows'?"),
        ("colour", ["rows", "length"], "Use one of: rows, length."),
        ("rows", [], "There is none to choose from."),
        ("x", [f"name {number}" for number in range(21)], "name 18, name 19, ...."),
        ("name 7", [f"name {number}" for number in range(501)], "Use one of: name 0, "),
    ],
    ids=["near", "far", "none", "more than twenty", "too many to compare"],
)
def test_a_suggestion_names_what_was_meant_or_what_there_is(name: str, known: list[str], sentence: str) -> None:
    assert sentence in nearest(name, known)


def test_control_characters_are_printed_as_escapes() -> None:
    assert printable("a\x1b[31m\u202e\né") == "a\\x1b[31m\\u202e\\né"
    assert printable(5) == "5"


def test_columns_of_text_line_up_left_and_right_without_trailing_space() -> None:
    assert aligned_text([["name", "n"], ["a", "100"], ["bb", ""]], left=1) == "name    n\na     100\nbb"
