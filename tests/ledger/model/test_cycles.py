"""Calendar arithmetic in UTC: windows of limits, and boundaries of recurring grants, month ends included."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from ledger.model.cycles import DAY, HOUR, UNITS, Cycle, LimitPeriod, duration, window_start
from ledger.model.moments import MOMENT_MAX, MOMENT_MIN, from_moment, to_moment


def moment(year: int, month: int = 1, day: int = 1, hour: int = 0) -> int:
    """A moment of the UTC calendar."""
    return to_moment(datetime(year, month, day, hour, tzinfo=UTC))


def boundaries(unit: str, count: int, anchor: int, numbers: range) -> list[str | None]:
    """The days of boundaries, by their numbers."""
    found = [Cycle(unit, count, anchor).boundary(number) for number in numbers]
    return [None if each is None else from_moment(each).date().isoformat() for each in found]


@pytest.mark.parametrize("at", [moment(2026, 3, 1), moment(2026, 3, 31, 23), moment(1969, 12, 31, 5), MOMENT_MIN])
def test_a_window_begins_with_the_utc_day_or_month_around_a_moment(at: int) -> None:
    """The first moment of a window is in it, and so is the last; before 1970 too."""
    said = from_moment(at)
    midnight = said.replace(hour=0, minute=0, second=0, microsecond=0)
    for last in (at, to_moment(midnight) + DAY - 1, to_moment(midnight)):
        assert window_start(LimitPeriod.DAY, last) == to_moment(midnight)
        assert window_start(LimitPeriod.MONTH, last) == to_moment(midnight.replace(day=1))


@pytest.mark.parametrize("period", [LimitPeriod.TOTAL, LimitPeriod.CONCURRENT])
def test_what_has_no_windows_has_one_for_all_time(period: str) -> None:
    assert {window_start(period, at) for at in (MOMENT_MIN, 0, MOMENT_MAX)} == {0}


def test_a_months_end_stays_a_months_end_and_the_31st_comes_back() -> None:
    assert boundaries("month", 1, moment(2027, 12, 31), range(-1, 5)) == [
        "2027-11-30", "2027-12-31", "2028-01-31", "2028-02-29", "2028-03-31", "2028-04-30",
    ]  # fmt: skip


def test_the_29th_of_february_comes_back_in_every_leap_year() -> None:
    """1900 and 2100 are none."""
    assert boundaries("year", 1, moment(2096, 2, 29), range(9)) == [
        "2096-02-29", "2097-02-28", "2098-02-28", "2099-02-28", "2100-02-28",
        "2101-02-28", "2102-02-28", "2103-02-28", "2104-02-29",
    ]  # fmt: skip
    assert boundaries("year", 4, moment(1896, 2, 29), range(2)) == ["1896-02-29", "1900-02-28"]


def test_beyond_the_calendar_there_is_no_boundary() -> None:
    assert boundaries("month", 1, moment(9999, 11, 30), range(3)) == ["9999-11-30", "9999-12-30", None]
    assert boundaries("week", 1, moment(9999, 12, 30), range(2)) == ["9999-12-30", None]
    assert boundaries("month", 1, moment(1, 2, 28), range(-2, 0)) == [None, "0001-01-28"]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("count", [1, 7])
def test_boundaries_are_in_order_and_each_is_the_first_after_the_one_before(unit: str, count: int) -> None:
    """`first_after` numbers what `boundary` answers: a boundary itself is not after itself."""
    cycle = Cycle(unit, count, moment(2024, 1, 31, 6))
    found = [cycle.boundary(number) for number in range(-20, 40)]
    for number, (early, late) in enumerate(pairwise(found), -19):
        assert early is not None
        assert late is not None
        assert early < late
        assert cycle.first_after(early) == cycle.first_after(late - 1) == number
    assert cycle.boundary(0) == cycle.anchor


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("anchor", [moment(1, 1, 31), moment(2026, 8, 31), moment(9998, 12, 31)])
def test_the_first_boundary_after_a_moment_is_found_over_thousands_of_years(unit: str, anchor: int) -> None:
    cycle = Cycle(unit, 3, anchor)
    for at in (moment(1, 1, 2), moment(1900, 3, 1), moment(2026, 2, 28), moment(9998, 1, 1)):
        number = cycle.first_after(at)
        after, before = cycle.boundary(number), cycle.boundary(number - 1)
        assert after is None or after > at
        assert before is None or before <= at


def test_a_duration_is_told_to_the_microsecond() -> None:
    assert duration(HOUR + 1) == timedelta(hours=1, microseconds=1)
