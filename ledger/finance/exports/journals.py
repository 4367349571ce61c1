"""The book as plain-text accounting: journals that beancount, hledger and ledger accept, and a CSV of the same.

A credit is a commodity, CREDIT, at six decimals. Each account of the ledger is seven accounts of the journal, one for
each bucket; `Issued`, where its credits come from, is equity and never above zero. A transfer is a posting out of one
and a posting into another. The balance of each bucket is asserted at the end of every month that has an entry, so that
the tool proves the ledger's figures by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from hashlib import sha256
from typing import TextIO

from ledger.book.buckets import BUCKETS
from ledger.finance.stream import BookEntry
from ledger.model.ids import format_grant_id, format_reservation_id
from ledger.model.moments import EPOCH, from_moment

COMMODITY = "CREDIT"

_NEEDS_QUOTES = re.compile(r'[",\r\n]')
_PLAIN = re.compile(r"[A-Za-z0-9-]+")
_SECOND = 1_000_000
_DAY = 24 * 60 * 60 * _SECOND
_TWO_DIGITS = [f"{number:02}" for number in range(60)]
_CLOCK = [f"{minute // 60:02}:{minute % 60:02}:" for minute in range(24 * 60)]
_DECIMALS = 6
_DIGEST = 10


def write_beancount(entries: Iterable[BookEntry], out: TextIO, *, zone: tzinfo = UTC) -> int:
    """Write a beancount file; answers how many entries it has. Days and months are those of `zone`."""
    out.write(f'option "title" "run-credits"\n1970-01-01 commodity {COMMODITY}\n')
    count = 0
    for entry, day, is_first, ended in _by_month(entries, zone):
        if ended is not None:
            _assert_beancount(out, ended, _month_end(_local(ended.at, zone).date()) + timedelta(days=1))
        if entry is None:
            continue
        count += 1
        if is_first:
            out.writelines(f"{day} open {_account(entry.account_id, bucket)} {COMMODITY}\n" for bucket in BUCKETS)
        if not entry.moves:
            continue
        out.write(f'{day} * "{entry.kind}"\n  account-id: "{_quoted(entry.account_id)}"\n')
        out.writelines(f'  {name}: "{_quoted(value)}"\n' for name, value in _facts(entry))
        for account, amount in _postings(entry):
            out.write(f"  {account}  {_amount(amount)} {COMMODITY}\n")
    return count


def _assert_beancount(out: TextIO, entry: BookEntry, day: date) -> None:
    """Balances at the beginning of a day, to the last micro-credit."""
    for account, amount in _standing(entry):
        out.write(f"{day} balance {account}  {_amount(amount)} ~ 0 {COMMODITY}\n")


def write_hledger(entries: Iterable[BookEntry], out: TextIO, *, zone: tzinfo = UTC) -> int:
    """Write a journal that hledger and ledger read; answers how many entries it has."""
    count = 0
    for entry, day, _, ended in _by_month(entries, zone):
        if ended is not None:
            out.write(f"{_month_end(_local(ended.at, zone).date())} * month's end\n")
            out.writelines(
                f"    {account}  0.000000 {COMMODITY} = {_amount(amount)} {COMMODITY}\n"
                for account, amount in _standing(ended)
            )
            out.write("\n")
        if entry is None:
            continue
        count += 1
        if entry.moves:
            out.write(f"{day} * {entry.kind}\n    ; account-id: {_line(entry.account_id)}\n")
            out.writelines(f"    ; {name}: {_line(value)}\n" for name, value in _facts(entry))
            out.writelines(f"    {account}  {_amount(amount)} {COMMODITY}\n" for account, amount in _postings(entry))
            out.write("\n")
    return count


JOURNAL_COLUMNS = (
    "account_id",
    "sequence",
    "at",
    "recorded_at",
    "kind",
    "key",
    "reservation_id",
    "grant_id",
    "source",
    "target",
    "credits",
)


CSV_LINE_END = "\r\n"


def write_journal(entries: Iterable[BookEntry], out: TextIO, *, zone: tzinfo = UTC) -> int:
    """Write a CSV, a line for each transfer and one for each entry without any; answers how many entries it has."""
    out.write(",".join(JOURNAL_COLUMNS) + CSV_LINE_END)
    days = _Days(zone)
    count = 0
    for entry in entries:
        count += 1
        name, number = entry.account_id, entry.reservation
        hold = "" if number is None else _csv_text(format_reservation_id(name, number))
        key = "" if entry.key is None else _csv_text(entry.key)
        at = days.moment(entry.at)
        recorded_at = at if entry.recorded_at == entry.at else days.moment(entry.recorded_at)
        head = f"{_csv_text(name)},{entry.sequence},{at},{recorded_at},{entry.kind},{key},{hold}"
        if not entry.moves:
            out.write(f"{head},,,,{CSV_LINE_END}")
        for grant, source, target, amount in entry.moves:
            paid_by = _csv_text(format_grant_id(name, grant))
            out.write(f"{head},{paid_by},{source},{target},{_amount(amount)}{CSV_LINE_END}")
    return count


_InMonth = tuple[BookEntry | None, date | None, bool, BookEntry | None]


def _by_month(entries: Iterable[BookEntry], zone: tzinfo) -> Iterator[_InMonth]:
    """Each entry, its day, whether it is its account's first, and the last one of a month that ended before it."""
    days = _Days(zone)
    last: BookEntry | None = None
    last_day: date | None = None
    for entry in entries:
        day = days.of(entry.at)
        is_first = last is None or last.account_id != entry.account_id
        ends = last is not None and (is_first or last_day is None or _month(day) != _month(last_day))
        yield entry, day, is_first, last if ends else None
        last, last_day = entry, day
    if last is not None:
        yield None, None, False, last


def _month(day: date) -> tuple[int, int]:
    return day.year, day.month


def _month_end(day: date) -> date:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


class _Days:
    """The days of a zone; keeps the last one, as entries come in order and many are of the same day."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._day = date.min
        self._text = ""
        self._begins = self._ends = 0
        self._offset = ""
        """The offset from UTC of every moment of the day; empty where it changes within the day."""

    def of(self, moment: int) -> date:
        """The day that a moment is in."""
        if not self._begins <= moment < self._ends:
            self._find(moment)
        return self._day

    def moment(self, moment: int) -> str:
        """A moment in ISO 8601, to the microsecond where it has some."""
        if not self._begins <= moment < self._ends:
            self._find(moment)
        if not self._offset:
            return _local(moment, self._zone).isoformat()
        seconds, micros = divmod(moment - self._begins, _SECOND)
        minutes, seconds = divmod(seconds, 60)
        fraction = f".{micros:06}" if micros else ""
        return f"{self._text}T{_CLOCK[minutes]}{_TWO_DIGITS[seconds]}{fraction}{self._offset}"

    def _find(self, moment: int) -> None:
        self._day = _local(moment, self._zone).date()
        self._text = self._day.isoformat()
        self._begins, self._ends = (self._midnight(day) for day in (self._day, self._day + timedelta(days=1)))
        first, last = _local(self._begins, self._zone), _local(self._ends - 1, self._zone)
        is_even = self._ends - self._begins == _DAY and first.utcoffset() == last.utcoffset()
        self._offset = first.isoformat()[len("YYYY-MM-DDThh:mm:ss") :] if is_even else ""

    def _midnight(self, day: date) -> int:
        return (datetime.combine(day, time(), self._zone) - EPOCH) // timedelta(microseconds=1)


def _local(moment: int, zone: tzinfo) -> datetime:
    return from_moment(moment).astimezone(zone)


@lru_cache(maxsize=1024)
def _account(account_id: str, bucket: str) -> str:
    top = "Equity" if bucket == "issued" else "Assets"
    return f"{top}:Credits:{_component(account_id)}:{bucket.capitalize()}"


def _component(account_id: str) -> str:
    """The part of a journal's account name that is the account's own: letters, digits and hyphens, and unique.

    An id with other characters keeps its letters and digits, and gets a part of its hash.
    """
    if _PLAIN.fullmatch(account_id):
        return f"A-{account_id}"
    kept = re.sub(r"[^A-Za-z0-9]+", "-", account_id).strip("-")
    return f"X-{kept}-{sha256(account_id.encode()).hexdigest()[:_DIGEST]}"


def _postings(entry: BookEntry) -> Iterator[tuple[str, int]]:
    """What each bucket gained or lost; the amounts sum to zero."""
    changes: dict[str, int] = {}
    for _, source, target, amount in entry.moves:
        changes[source] = changes.get(source, 0) - amount
        changes[target] = changes.get(target, 0) + amount
    return ((_account(entry.account_id, bucket), amount) for bucket, amount in changes.items() if amount)


def _standing(entry: BookEntry) -> Iterator[tuple[str, int]]:
    """The balance of each bucket after an entry; that of `issued` is below zero."""
    for bucket, amount in zip(BUCKETS, entry.balances, strict=True):
        yield _account(entry.account_id, bucket), -amount if bucket == "issued" else amount


def _facts(entry: BookEntry) -> Iterator[tuple[str, str]]:
    yield "sequence", str(entry.sequence)
    if entry.reservation is not None:
        yield "reservation-id", format_reservation_id(entry.account_id, entry.reservation)
    if entry.key is not None:
        yield "key", entry.key


def _amount(micro: int) -> str:
    digits = str(abs(micro)).zfill(_DECIMALS + 1)
    return f"{'-' if micro < 0 else ''}{digits[:-_DECIMALS]}.{digits[-_DECIMALS:]}"


def _csv_text(value: str) -> str:
    """A field of a CSV that is read back as the same text, whatever characters it has."""
    return value if _NEEDS_QUOTES.search(value) is None else '"' + value.replace('"', '""') + '"'


def _line(value: str) -> str:
    """A text on one line: characters that cannot be printed become spaces."""
    return value if value.isprintable() else "".join(one if one.isprintable() else " " for one in value)


def _quoted(value: str) -> str:
    return _line(value).replace("\\", "\\\\").replace('"', '\\"')
