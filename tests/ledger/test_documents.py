"""Answers as JSON-safe values: exact amounts, moments in UTC, and an entry's details without whole numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from ledger.documents import credits_text, exact_text, moment_text, plain, seconds_text
from ledger.model.values import Balance, Bucket, Entry, EntryKind, Transfer

EPOCH = "1970-01-01T00:00:00Z"
MOMENT = datetime(2026, 3, 1, 12, 0, 0, 1, tzinfo=UTC)
IN_BERLIN = datetime(2026, 3, 1, 13, tzinfo=timezone(timedelta(hours=1)))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Decimal("5.2500"), "5.25"),
        (MOMENT, "2026-03-01T12:00:00.000001Z"),
        (IN_BERLIN, "2026-03-01T12:00:00Z"),
        (timedelta(seconds=90, microseconds=5), "PT90.000005S"),
        (Bucket.HELD, "held"),
        ((Decimal(1), None, True), ["1", None, True]),
        ({"a": [Decimal("0.10")]}, {"a": ["0.1"]}),
        ("text", "text"),
    ],
)
def test_each_kind_of_value_has_one_form(value: Any, expected: Any) -> None:
    assert plain(value) == expected


def balance() -> Balance:
    zero = Decimal(0)
    return Balance("acme", MOMENT, Decimal("1.5"), zero, zero, zero, zero)


def test_a_balance_has_what_was_issued_beside_its_buckets() -> None:
    document = plain(balance())
    assert (document["available"], document["issued"], document["at"]) == ("1.5", "1.5", "2026-03-01T12:00:00.000001Z")


def details_of(details: dict[str, Any]) -> Any:
    transfer = Transfer("acme/g1", Bucket.ISSUED, Bucket.AVAILABLE, Decimal(1))
    entry = Entry("acme", 1, EntryKind.GRANT, MOMENT, MOMENT, None, None, details, (transfer,), balance(), "ff")
    return plain(entry)["details"]


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"amount": 1_450_000, "captured": 1}, {"amount": "1.45", "captured": "0.000001"}),
        ({"expires_at": 0, "reserved_at": None}, {"expires_at": EPOCH, "reserved_at": None}),
        ({"grace": 30_000_000}, {"grace": "PT30S"}),
        (
            {"recurrence": {"rollover_max": 5, "anchor": 0}},
            {"recurrence": {"rollover_max": "0.000005", "anchor": EPOCH}},
        ),
        ({"limit": 3, "maximum": 20_000_000, "period": "day"}, {"limit": 3, "maximum": "20", "period": "day"}),
        ({"limit": 3, "maximum": 2, "period": "concurrent"}, {"limit": 3, "maximum": 2, "period": "concurrent"}),
        ({"limit": 5_000_000}, {"limit": "5"}),
        ({"amount": "text", "reason": "x"}, {"amount": "text", "reason": "x"}),
    ],
)
def test_the_whole_numbers_of_an_entrys_details_are_written_out(
    details: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert details_of(details) == expected


def test_texts_of_amounts_and_moments_are_exact() -> None:
    assert credits_text(9_223_372_036_854_775_807) == "9223372036854.775807"
    assert seconds_text(timedelta.max) == "86399999999999.999999"
    assert [exact_text(Decimal(text)) for text in ("100", "1E+2", "0.10")] == ["100", "100", "0.1"]
    assert exact_text(Decimal("1234567.50"), ",f") == "1,234,567.5"
    assert moment_text(datetime.max.replace(tzinfo=UTC)) == "9999-12-31T23:59:59.999999Z"
