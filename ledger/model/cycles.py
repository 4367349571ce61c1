"""Calendar arithmetic in UTC, on microseconds: the windows of spend limits, and the periods of recurring grants."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import lru_cache

from ledger.model.moments import MOMENT_MAX, from_moment, to_moment

HOUR = 3_600_000_000
DAY = 24 * HOUR
_MONTHS = {"month": 1, "year": 12}
_MICROS = {"hour": HOUR, "day": DAY, "week": 7 * DAY}
UNITS = (*_MICROS, *_MONTHS)
"""What a recurrence may count: of one hour and longer, so that a year asleep is a bounded number of periods."""


class LimitPeriod(StrEnum):
    """What a spend limit counts: credits in a UTC day or month, credits ever, or holds open at one time."""

    DAY = "day"
    MONTH = "month"
    TOTAL = "total"
    CONCURRENT = "concurrent"


def window_start(period: str, instant: int) -> int:
    """The first instant of the day or month around an instant; 0 for what has no windows."""
    if period == LimitPeriod.DAY:
        return instant // DAY * DAY
    if period == LimitPeriod.MONTH:
        moment = from_moment(instant)
        return to_moment(moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0))
    return 0


@dataclass(frozen=True, slots=True)
class Cycle:
    """Boundaries that come again: every `count` units from `anchor` on. A month's end stays a month's end.

    The n-th boundary is counted from the anchor, never from the one before, so the 31st comes back after February.

    >>> from datetime import UTC, datetime
    >>> monthly = Cycle("month", 1, to_moment(datetime(2026, 1, 31, tzinfo=UTC)))
    >>> [f"{from_moment(monthly.boundary(index)):%b %d}" for index in range(3)]
    ['Jan 31', 'Feb 28', 'Mar 31']
    """

    unit: str
    count: int
    anchor: int

    def boundary(self, index: int) -> int | None:
        """The index-th boundary, the anchor being number 0; None beyond the calendar's end."""
        if self.unit in _MICROS:
            instant = self.anchor + index * self.count * _MICROS[self.unit]
            return instant if instant <= MOMENT_MAX else None
        anchor = from_moment(self.anchor)
        months = anchor.month - 1 + index * self.count * _MONTHS[self.unit]
        year, month = anchor.year + months // 12, months % 12 + 1
        if not 1 <= year <= 9999:
            return None
        day = min(anchor.day, monthrange(year, month)[1])
        return to_moment(anchor.replace(year=year, month=month, day=day))

    def first_after(self, instant: int) -> int:
        """The number of the first boundary after an instant; it may lie before the anchor."""
        step = self.count * _MICROS.get(self.unit, 28 * DAY * _MONTHS.get(self.unit, 1))
        index = (instant - self.anchor) // step + 1
        # A month is longer than the 28 days counted here, so the guess may be too late, by far after many years.
        while (found := self.boundary(index - 1)) is None or found > instant:
            index -= max(1, ((found or MOMENT_MAX) - instant) // (32 * DAY * _MONTHS.get(self.unit, 1)) // self.count)
        while (found := self.boundary(index)) is not None and found <= instant:
            index += 1
        return index


@lru_cache(maxsize=256)
def duration(micros: int) -> timedelta:
    """A duration of whole microseconds."""
    return timedelta(microseconds=micros)
