"""Moments: whole microseconds since 1970-01-01 UTC. They are exact, ordered, and the same on every database."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from ledger.errors import CommandInvalid

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DURATION = re.compile(r"(\d+(?:\.\d{1,6})?)(s|m|h|d)")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION_DIGITS_MAX = 18


MOMENT_MIN = (datetime.min.replace(tzinfo=UTC) - EPOCH) // _MICROSECOND
MOMENT_MAX = (datetime.max.replace(tzinfo=UTC) - EPOCH) // _MICROSECOND
"""The last moment that a datetime can say in UTC: the end of the year 9999."""


def to_moment(at: datetime, field: str = "at") -> int:
    """The moment of an aware datetime, which must be in the years 1 to 9999 of UTC. Raises `CommandInvalid`."""
    if not isinstance(at, datetime):
        raise CommandInvalid(field, f"must be a datetime with a time zone, not {type(at).__name__}.")
    if at.tzinfo is None or at.utcoffset() is None:
        raise CommandInvalid(field, "has no time zone. Pass an aware datetime, such as datetime.now(UTC).")
    moment = (at - EPOCH) // _MICROSECOND
    if not MOMENT_MIN <= moment <= MOMENT_MAX:
        raise CommandInvalid(field, "is outside the years 1 to 9999 of UTC. Give a moment within them.")
    return moment


def from_moment(moment: int) -> datetime:
    """The aware UTC datetime of a moment."""
    return EPOCH + timedelta(microseconds=moment)


def from_optional(moment: int | None) -> datetime | None:
    """As `from_moment`; None, which means never, stays None."""
    return None if moment is None else from_moment(moment)


def parse_duration(text: str, field: str) -> timedelta:
    """A length of time from a text such as `90s`, `15m`, `1.5h` or `30d`, to the microsecond.

    Raises `CommandInvalid` for any other text, and for a length that no `timedelta` can hold.

    >>> parse_duration("1.5h", "grace")
    datetime.timedelta(seconds=5400)
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None or len(found[1]) > _DURATION_DIGITS_MAX:
        raise CommandInvalid(field, f"{text!r} is no duration. Write a number and s, m, h or d, such as 15m or 30d.")
    microseconds = int(Decimal(found[1]) * 1_000_000) * _UNIT_SECONDS[found[2]]
    try:
        return timedelta(microseconds=microseconds)
    except OverflowError:
        raise CommandInvalid(field, f"{text!r} is too long. Give at most 36525d.") from None
