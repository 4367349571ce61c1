"""Journals: days and months of a zone, and names that stay apart."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from ledger.finance import export_book
from ledger.finance.exports import journals


def export(engine: Engine, kind: str, path: Path, zone: str = "UTC") -> Path:
    with Session(engine) as session:
        count = export_book(session, kind, path, zone=ZoneInfo(zone))
        assert count == session.execute(text("SELECT count(*) FROM ledger_entry")).scalar_one()
    return path


@pytest.mark.parametrize("kind", ["beancount", "hledger"])
def test_days_and_months_are_those_of_the_zone(book: Engine, tmp_path: Path, kind: str) -> None:
    in_utc = export(book, kind, tmp_path / "utc").read_text(encoding="utf-8")
    in_new_york = export(book, kind, tmp_path / "ny", "America/New_York").read_text(encoding="utf-8")
    assert "2026-03-01 * " in in_utc
    assert "2026-02-28 * " in in_new_york
    assert "2026-02-28 * " not in in_utc


def test_accounts_whose_ids_look_alike_stay_apart() -> None:
    names = ("a b", "a;b", "a--b", "a-b", "A-b", "ä", "ö", "X-a-b")
    components = {journals._component(name) for name in names}
    assert len(components) == len(names)
    assert all(re.fullmatch(r"[A-Z][A-Za-z0-9-]*", component) for component in components)


@pytest.mark.parametrize("zone", ["UTC", "America/Sao_Paulo", "Asia/Beirut", "Pacific/Apia", "Africa/Monrovia"])
def test_a_moment_is_in_the_day_that_its_zone_says(zone: str) -> None:
    """Around midnights that were skipped, came twice, or were not on the hour, and a day that never was."""
    days, where = journals._Days(ZoneInfo(zone)), ZoneInfo(zone)
    for begins in (
        datetime(2011, 12, 28, tzinfo=UTC),
        datetime(2018, 11, 3, tzinfo=UTC),
        datetime(1972, 1, 5, tzinfo=UTC),
    ):
        for minutes in range(0, 5 * 24 * 60, 7):
            moment = begins + timedelta(minutes=minutes, microseconds=minutes % 2)
            instant = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
            assert days.of(instant) == moment.astimezone(where).date()
            assert days.moment(instant) == moment.astimezone(where).isoformat()
