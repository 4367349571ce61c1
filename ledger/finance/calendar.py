"""Accounting periods: calendar years, quarters, months and days of a named time zone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from ledger.errors import CommandInvalid

_YEAR = re.compile(r"(\d{4})")
_QUARTER = re.compile(r"(\d{4})-Q([1-4])")
_MONTH = re.compile(r"(\d{4})-(\d{2})")
_DAY = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_EXAMPLES = "Give one such as 2026, 2026-Q4, 2026-11, 2026-11-05, or 2026-01..2026-06"


@dataclass(frozen=True, slots=True)
class AccountingPeriod:
    """The moments in `[since, until)`, under the name by which the period was asked for."""

    name: str
    since: datetime
    until: datetime

    @classmethod
    def parse(cls, name: str, zone: tzinfo = UTC) -> AccountingPeriod:
        """The period that a shorthand names in a zone. Raises `CommandInvalid`.

        `2026`, `2026-Q4`, `2026-11` and `2026-11-05` are a year, a quarter, a month and a day; `A..B` is from the
        beginning of A to the end of B.

        >>> AccountingPeriod.parse("2026-Q4").since
        datetime.datetime(2026, 10, 1, 0, 0, tzinfo=datetime.timezone.utc)
        """
        first, dots, last = name.partition("..")
        try:
            begins = _span(first)[0]
            ends = _span(last if dots else first)[1]
        except (ValueError, OverflowError):
            raise CommandInvalid("period", f"is {name!r}. {_EXAMPLES}.") from None
        if ends <= begins:
            raise CommandInvalid("period", f"is {name!r}, which ends before it begins. {_EXAMPLES}.")
        return cls(name, _midnight(begins, zone), _midnight(ends, zone))


def _span(name: str) -> tuple[date, date]:
    """The first day of a shorthand, and the first day after it."""
    if found := _DAY.fullmatch(name):
        day = date(*map(int, found.groups()))
        return day, day + timedelta(days=1)
    if found := _MONTH.fullmatch(name):
        return _months(int(found[1]), int(found[2]), 1)
    if found := _QUARTER.fullmatch(name):
        return _months(int(found[1]), 3 * int(found[2]) - 2, 3)
    if found := _YEAR.fullmatch(name):
        return _months(int(found[1]), 1, 12)
    raise ValueError(name)


def _months(year: int, month: int, count: int) -> tuple[date, date]:
    ends = month - 1 + count
    return date(year, month, 1), date(year + ends // 12, ends % 12 + 1, 1)


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def named_zone(name: str) -> ZoneInfo:
    """The time zone of a name, such as `Europe/Berlin`. Raises `CommandInvalid`."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError):
        message = f"is {name!r}, no time zone that this machine knows. Name one such as UTC or Europe/Berlin."
        raise CommandInvalid("zone", message) from None
