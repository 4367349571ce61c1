"""What the values of commands must look like: texts, amounts, durations, labels and metadata."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from ledger.errors import CommandInvalid
from ledger.model import checks

HARD = ["a", "x" * 255, "日本", "é\u2028", "\t\n", " ", "'\"\\%s:row$1", "\U0001f600"]


@pytest.mark.parametrize("text", HARD)
def test_a_text_of_any_script_is_taken_as_it_is(text: str) -> None:
    assert checks.check_text(text, "key") is text


@pytest.mark.parametrize("value", ["", "x" * 256, "a\x00b", "\ud800", "é\udfff", 5, None, b"a", ["a"]])
def test_what_a_database_could_not_store_is_refused_by_the_name_of_its_field(value: Any) -> None:
    with pytest.raises(CommandInvalid) as refused:
        checks.check_text(value, "key")
    assert refused.value.field == "key"


def test_an_id_is_counted_in_bytes_beside_characters() -> None:
    """512 bytes of UTF-8 are taken, 513 are not, though both have few characters."""
    longest = "\U0001f600" * 128
    assert checks.check_id(longest, "account_id") is longest
    with pytest.raises(CommandInvalid, match="513 bytes"):
        checks.check_id(f"{longest}a", "account_id")
    assert checks.check_text(f"{longest}a", "key")


@pytest.mark.parametrize(
    ("value", "least", "micro"),
    [(Decimal("0.000001"), 1, 1), (5, 1, 5_000_000), (0, 0, 0), (Decimal("-0"), 0, 0), (-1, -(2**63), -1_000_000)],
)
def test_an_amount_is_counted_in_micro_credits(value: Any, least: int, micro: int) -> None:
    assert checks.check_amount(value, least=least) == micro


@pytest.mark.parametrize(("value", "least"), [(0, 1), (-1, 0), (0.5, 0), (True, 0), (Decimal("0.0000001"), 0)])
def test_an_amount_below_the_least_or_not_exact_is_refused(value: Any, least: int) -> None:
    with pytest.raises(CommandInvalid, match=r"^maximum: "):
        checks.check_amount(value, least=least, name="maximum")


@pytest.mark.parametrize(
    ("value", "least", "micros"),
    [
        (None, 1, None),
        (timedelta(microseconds=1), 1, 1),
        (timedelta(0), 0, 0),
        (timedelta(days=36_525), 1, checks.DURATION_MAX),
    ],
)
def test_a_duration_is_counted_in_microseconds_up_to_a_century(value: Any, least: int, micros: int | None) -> None:
    assert checks.check_duration(value, "grace", least=least) == micros


@pytest.mark.parametrize("value", [timedelta(0), timedelta(-1), timedelta(days=36_525, microseconds=1), 5, "5s"])
def test_a_duration_of_nothing_or_above_a_century_is_refused(value: Any) -> None:
    with pytest.raises(CommandInvalid, match=r"^grace: "):
        checks.check_duration(value, "grace")


def test_labels_are_put_in_the_order_of_their_names() -> None:
    """So the same labels bind a key alike, whatever order they were given in."""
    assert list(checks.check_labels({"b": "2", "a": "1"}).items()) == [("a", "1"), ("b", "2")]
    assert checks.check_labels(None) == {}
    assert len(checks.check_labels({f"label-{number}": "x" for number in range(16)})) == 16


@pytest.mark.parametrize(
    ("labels", "field"),
    [(["a"], "labels"), ({"a": ""}, "labels.a"), ({str(number): "x" for number in range(17)}, "labels")],
)
def test_labels_beyond_their_bounds_are_refused(labels: Any, field: str) -> None:
    with pytest.raises(CommandInvalid) as refused:
        checks.check_labels(labels)
    assert refused.value.field == field


def test_metadata_is_any_json_without_floats_up_to_seven_levels() -> None:
    deepest: Any = 1
    for _ in range(7):
        deepest = {"a": deepest}
    for value in ({}, {"a": [1, True, None, "é", {"b": []}]}, {"n": 2**80}, deepest):
        assert checks.check_metadata(value) is value
    assert checks.check_metadata(None) == {}


@pytest.mark.parametrize(
    "value", [["a"], {"a": 0.5}, {"a": (1,)}, {1: "a"}, {"a": ["\x00"]}, {"a": "x" * 4000}, {"": 1}]
)
def test_metadata_that_json_cannot_say_exactly_is_refused(value: Any) -> None:
    with pytest.raises(CommandInvalid, match=r"^metadata"):
        checks.check_metadata(value)


@pytest.mark.parametrize(("key", "field"), [("", "key"), (5, "key")])
def test_a_key_is_a_text_and_may_be_left_out(key: Any, field: str) -> None:
    checks.check_common(None, None)
    with pytest.raises(CommandInvalid) as refused:
        checks.check_common(key, None)
    assert refused.value.field == field
