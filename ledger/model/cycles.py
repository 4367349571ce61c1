"""Calendar arithmetic in UTC on whole microseconds: windows of spend limits, periods of recurring grants."""

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
"""The units of a recurrence. An hour is the shortest, so a year has a bounded number of periods."""


class LimitPeriod(StrEnum):
    """What a spend limit counts: credits in a UTC day or month, credits ever, or holds open at one time."""

    DAY = "day"
    MONTH = "month"
    TOTAL = "total"
    CONCURRENT = "concurrent"


def window_start(period: str, moment: int) -> int:
    """The first moment of the UTC day or month that a moment is in; 0 for a period without windows."""
    if period == LimitPeriod.DAY:
        return moment // DAY * DAY
    if period == LimitPeriod.MONTH:
        return to_moment(from_moment(moment).replace(day=1, hour=0, minute=0, second=0, microsecond=0))
    return 0


@dataclass(frozen=True, slots=True)
class Cycle:
    """Boundaries every `count` units, counted from `anchor`.

    Where a month is too short for the anchor's day, its last day is taken. Each boundary is counted from the anchor,
    never from the one before, so the 31st comes back after February:

    >>> from datetime import UTC, datetime
    >>> cycle = Cycle("month", 1, to_moment(datetime(2027, 12, 31, tzinfo=UTC)))
    >>> [from_moment(cycle.boundary(number)).date().isoformat() for number in (1, 2, 3)]
    ['2028-01-31', '2028-02-29', '2028-03-31']
    """

    unit: str
    count: int
    anchor: int

    def boundary(self, index: int) -> int | None:
        """The index-th boundary, the anchor being number 0; None outside the years 1 to 9999."""
        if self.unit in _MICROS:
            moment = self.anchor + index * self.count * _MICROS[self.unit]
            return moment if moment <= MOMENT_MAX else None
        anchor = from_moment(self.anchor)
        months = anchor.month - 1 + index * self.count * _MONTHS[self.unit]
        year, month = anchor.year + months // 12, months % 12 + 1
        if not 1 <= year <= 9999:
            return None
        day = min(anchor.day, monthrange(year, month)[1])
        return to_moment(anchor.replace(year=year, month=month, day=day))

    def first_after(self, moment: int) -> int:
        """The number of the first boundary after a moment; it may lie before the anchor."""
        step = self.count * _MICROS.get(self.unit, 28 * DAY * _MONTHS.get(self.unit, 1))
        index = (moment - self.anchor) // step + 1
        # The guess counts 28 days a month. Months are longer, so after many years the guess is far too late.
        while not self._is_past(index - 1, moment):
            found = self.boundary(index - 1)
            distance = (MOMENT_MAX if found is None else found) - moment
            index -= max(1, distance // (32 * DAY * _MONTHS.get(self.unit, 1)) // self.count)
        while self._is_past(index, moment):
            index += 1
        return index

    def _is_past(self, index: int, moment: int) -> bool:
        """True for a boundary at or before a moment. One before the year 1 is past, one after the year 9999 is not."""
        found = self.boundary(index)
        return index < 0 if found is None else found <= moment


@lru_cache(maxsize=256)
def duration(micros: int) -> timedelta:
    """A duration of whole microseconds."""
    return timedelta(microseconds=micros)
