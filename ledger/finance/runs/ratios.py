"""Exact ratios of amounts, counted by group on disk, so that a quantile of millions of them takes little memory."""

from __future__ import annotations

import sqlite3
from collections import Counter
from fractions import Fraction
from math import gcd

_IN_MEMORY = 50_000
"""Distinct ratios that are counted in memory before they are written."""

_SCALE = 10**39
_DIGITS = 60
_BEYOND = "9" * _DIGITS
"""The place of a ratio to nothing, after all others."""


class RatioCounts:
    """How often each ratio occurs in each group, in a temporary file."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[int, int, int]] = Counter()
        # SQLite keeps a database without a name in a temporary file, and a part of it in memory.
        self._file = sqlite3.connect("", isolation_level=None)
        self._file.execute("PRAGMA journal_mode = OFF")
        self._file.execute(
            "CREATE TABLE ratio (owner INTEGER, place TEXT, part INTEGER, whole INTEGER, count INTEGER,"
            " PRIMARY KEY (owner, place)) WITHOUT ROWID"
        )

    def close(self) -> None:
        """Remove the file."""
        self._file.close()

    def add(self, group: int, part: int, whole: int) -> None:
        """Count one; both are from 0 to 2**63. Nothing of nothing is the ratio 0."""
        divisor = gcd(part, whole) or 1
        self._counts[group, part // divisor, whole // divisor if part or whole else 1] += 1
        if len(self._counts) >= _IN_MEMORY:
            self._write()

    def smallest(self, group: int, rank: int) -> Fraction | None:
        """The `rank`-th smallest ratio of a group, counted from 1; None for a ratio to nothing."""
        self._write()
        rows = self._file.execute("SELECT part, whole, count FROM ratio WHERE owner = ? ORDER BY place", (group,))
        for part, whole, count in rows:
            rank -= count
            if rank <= 0:
                return Fraction(part, whole) if whole else None
        raise ValueError(f"fewer than {rank} ratios are in group {group}")

    def _write(self) -> None:
        rows = [
            (group, _place(part, whole), part, whole, count) for (group, part, whole), count in self._counts.items()
        ]
        self._counts.clear()
        self._file.execute("BEGIN")
        self._file.executemany(
            "INSERT INTO ratio VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (owner, place) DO UPDATE SET count = count + excluded.count",
            rows,
        )
        self._file.execute("COMMIT")


def _place(part: int, whole: int) -> str:
    """A text by which ratios sort exactly: different ratios differ by at least 2**-126, which is above 1 / `_SCALE`."""
    return _BEYOND if not whole else f"{part * _SCALE // whole:0{_DIGITS}d}"
