"""Moments: whole microseconds since 1970 UTC, exact from the first to the last that a datetime can say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from ledger.errors import CommandInvalid
from ledger.model.moments import (
    EPOCH,
    MOMENT_MAX,
    MOMENT_MIN,
    from_moment,
    from_optional,
    parse_duration,
    to_moment,
)


@pytest.mark.parametrize(
    ("at", "moment"),
    [
        (EPOCH, 0),
        (datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), -1),
        (datetime(2026, 3, 1, 1, tzinfo=timezone(timedelta(hours=1))), 1_772_323_200_000_000),
        (datetime.min.replace(tzinfo=UTC), MOMENT_MIN),
        (datetime.max.replace(tzinfo=UTC), MOMENT_MAX),
    ],
)
def test_a_datetime_is_its_moment_and_comes_back_in_utc(at: datetime, moment: int) -> None:
    assert to_moment(at) == moment
    assert from_moment(moment) == at
    assert from_moment(moment).tzinfo is UTC


def test_no_moment_means_never() -> None:
    assert from_optional(None) is None
    assert from_optional(0) == EPOCH


class Zoneless(datetime):
    """A datetime whose zone does not say an offset."""

    def utcoffset(self) -> timedelta | None:
        """None, as a zone may answer."""
        return None


@pytest.mark.parametrize(
    "at",
    [
        datetime(2026, 1, 1),  # noqa: DTZ001  # that is what is refused
        Zoneless(2026, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-12))),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
        "2026-01-01",
        1_772_323_200,
        None,
    ],
)
def test_what_names_no_moment_of_utc_is_refused_by_the_name_of_its_field(at: Any) -> None:
    with pytest.raises(CommandInvalid) as refused:
        to_moment(at, "since")
    assert refused.value.field == "since"


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90s", timedelta(seconds=90)),
        (" 15m ", timedelta(minutes=15)),
        ("1.5h", timedelta(minutes=90)),
        ("30d", timedelta(days=30)),
        ("0.000001s", timedelta(microseconds=1)),
        ("0s", timedelta(0)),
    ],
)
def test_a_length_of_time_is_read_to_the_microsecond(text: str, length: timedelta) -> None:
    assert parse_duration(text, "grace") == length


@pytest.mark.parametrize(
    "text", ["", "5", "s", "5 s", "-5s", "1e3s", "5w", "5S", "0.0000001s", "9" * 19 + "s", "9" * 18 + "d", "٣s5"]
)
def test_any_other_text_is_no_length_of_time(text: str) -> None:
    with pytest.raises(CommandInvalid, match=r"^grace: "):
        parse_duration(text, "grace")
