"""Accounting periods."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

import ledger
from ledger.finance import AccountingPeriod


@pytest.mark.parametrize(
    ("name", "since", "until"),
    [
        ("2026", (2026, 1, 1), (2027, 1, 1)),
        ("2026-Q1", (2026, 1, 1), (2026, 4, 1)),
        ("2026-Q4", (2026, 10, 1), (2027, 1, 1)),
        ("2026-11", (2026, 11, 1), (2026, 12, 1)),
        ("2026-12", (2026, 12, 1), (2027, 1, 1)),
        ("2024-02-29", (2024, 2, 29), (2024, 3, 1)),
        ("2026-Q4..2027-01", (2026, 10, 1), (2027, 2, 1)),
    ],
)
def test_a_shorthand_is_a_period_that_ends_where_the_next_begins(
    name: str, since: tuple[int, int, int], until: tuple[int, int, int]
) -> None:
    period = AccountingPeriod.parse(name)
    assert (period.name, period.since, period.until) == (
        name,
        datetime(*since, tzinfo=UTC),
        datetime(*until, tzinfo=UTC),
    )


def test_a_period_is_of_its_zone() -> None:
    period = AccountingPeriod.parse("2026-03", ZoneInfo("Europe/Berlin"))
    assert period.since == datetime(2026, 2, 28, 23, tzinfo=UTC)
    assert period.until == datetime(2026, 3, 31, 22, tzinfo=UTC)  # summer time has begun meanwhile


@pytest.mark.parametrize(
    "name", ["", "26", "2026-13", "2026-00", "2026-Q5", "2026-02-30", "november", "2026-3", "0000", "2027..2026"]
)
def test_what_is_no_period_is_refused_with_examples(name: str) -> None:
    with pytest.raises(ledger.CommandInvalid, match="Give one such as 2026"):
        AccountingPeriod.parse(name)
