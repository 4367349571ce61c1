"""Estimates and charges: what runs were estimated at when they were launched, and what they were charged.

A run is measured once it succeeded: by its settlement, or by a capture by hand that ended its hold. Its charge is all
that was captured of it, before refunds. Runs that failed, were cancelled, were released by hand, lapsed or are still
open say nothing about the estimate, and are counted apart. A hold that has lapsed and whose lapse is not recorded yet
counts as open: run `ledger.expire_due` first.

The hold factor says how much of an estimate to hold. For a share of 95% it is the smallest factor with which the
estimates of at least 95% of the measured runs would have covered their charges: the exact ratio of charge to estimate
of the run at that rank. It is below 1 where less than the estimate would have sufficed. It needs enough runs that at
least one is beyond the share (20 for 95%, 100 for 99%); it is None with fewer, and where the run at that rank was
estimated at nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from decimal import Decimal
from fractions import Fraction
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy.orm import Session

from estimator.credits import from_micro
from estimator.rates.sections import LENGTHS, RECIPES
from estimator.sentences import nearest
from ledger.errors import AuditFailed, CommandInvalid, Finding
from ledger.finance.calendar import AccountingPeriod
from ledger.finance.runs.ratios import RatioCounts
from ledger.finance.stream import BookEntry, moved_into, stream_book
from ledger.model.moments import from_moment, to_moment

DIMENSIONS = ("recipe", "length", "grounding", "account", "month")
APART = ("open", "cancelled", "failed", "released", "lapsed")
"""The states of runs that are not measured."""

SHARE = Fraction(19, 20)

_MEASURED = "succeeded"
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError)
_ORDER = {"recipe": (*RECIPES, "none"), "length": LENGTHS, "grounding": ("true", "false")}


@dataclass(slots=True)
class RunAccuracy:
    """The runs of one group: `key` in `dimension`, both empty for all runs together.

    `estimated` and `captured` are micro-credits of the measured runs, `deviation` is the sum of their differences
    without sign. `apart` counts the runs that are not measured. See the head of the module for `hold_factor`.
    """

    dimension: str
    key: str
    runs: int = 0
    estimated: int = 0
    captured: int = 0
    deviation: int = 0
    above: int = 0
    below: int = 0
    apart: dict[str, int] = field(default_factory=lambda: dict.fromkeys(APART, 0))
    hold_factor: Fraction | None = None

    @property
    def difference(self) -> Decimal:
        """Credits charged beyond what was estimated; below 0 where less was."""
        return from_micro(self.captured - self.estimated)

    @property
    def error(self) -> Fraction | None:
        """The difference as a share of what was estimated; None for nothing estimated."""
        return Fraction(self.captured - self.estimated, self.estimated) if self.estimated else None

    @property
    def spread(self) -> Fraction | None:
        """The deviation as a share of what was estimated: errors in both directions add up."""
        return Fraction(self.deviation, self.estimated) if self.estimated else None

    def take(self, run: _Run, state: str) -> None:
        """Count a run that ended, or did not."""
        if state != _MEASURED:
            self.apart[state] += 1
            return
        self.runs += 1
        self.estimated += run.estimated
        self.captured += run.captured
        self.deviation += abs(run.captured - run.estimated)
        self.above += run.captured > run.estimated
        self.below += run.captured < run.estimated


@dataclass(slots=True)
class _Run:
    """A launched run whose hold has not ended."""

    estimated: int
    keys: list[tuple[str, str]]
    captured: int = 0


def measure_accuracy(
    session: Session,
    period: AccountingPeriod | None = None,
    *,
    by: Sequence[str] = (),
    zone: tzinfo = UTC,
    share: Fraction | Decimal = SHARE,
) -> list[RunAccuracy]:
    """How far the charges of runs were from their estimates: for all runs first, then by the dimensions asked for.

    Args:
        session: nothing is changed in it.
        period: only runs that were launched in it, whenever they ended.
        by: any of `DIMENSIONS`. A run counts for each of its recipes; its month is that of its launch in `zone`.
        zone: whose months.
        share: the share of the measured runs that the hold factor covers; above 0 and below 1.

    In memory are the runs of an account that have not ended, and a few figures for each group. Raises `CommandInvalid`.
    """
    for dimension in by:
        if dimension not in DIMENSIONS:
            raise CommandInvalid("by", f"has {dimension!r}, which is no dimension. {nearest(dimension, DIMENSIONS)}")
    covered = Fraction(share)
    if not 0 < covered < 1:
        raise CommandInvalid("share", f"is {share}. Give a share above 0 and below 1, such as 0.95.")
    ends = None if period is None else (to_moment(period.since, "since"), to_moment(period.until, "until"))
    groups = {("", ""): RunAccuracy("", "")}
    numbers: dict[tuple[str, str], int] = {}
    with closing(RatioCounts()) as ratios:
        for account_id, entries in groupby(stream_book(session, details=True), attrgetter("account_id")):
            for run, state in _Launches(account_id, by, zone, ends).read(entries):
                for key in run.keys:
                    groups.setdefault(key, RunAccuracy(*key)).take(run, state)
                    if state == _MEASURED:
                        ratios.add(numbers.setdefault(key, len(numbers)), run.captured, run.estimated)
        for key, group in groups.items():
            group.hold_factor = _hold_factor(ratios, numbers.get(key, 0), group.runs, covered)
    return sorted(groups.values(), key=_place)


def runs_needed(share: Fraction | Decimal) -> int:
    """How many measured runs a hold factor for a share needs: enough that at least one is beyond the share.

    >>> runs_needed(Fraction(95, 100))
    20
    """
    return -(-1 // (1 - Fraction(share)))


def _hold_factor(ratios: RatioCounts, number: int, runs: int, share: Fraction) -> Fraction | None:
    if runs < runs_needed(share):
        return None
    return ratios.smallest(number, -(-share * runs // 1))


def _place(group: RunAccuracy) -> tuple[int, int, str]:
    """The order of groups: by dimension, and within it by its own order where it has one."""
    if not group.dimension:
        return -1, 0, ""
    order: Sequence[str] = _ORDER.get(group.dimension, ())
    return DIMENSIONS.index(group.dimension), order.index(group.key) if group.key in order else 0, group.key


@dataclass(slots=True)
class _Launches:
    """The runs of one account: each is answered when its hold ends, and those still open after the last entry."""

    account_id: str
    by: Sequence[str]
    zone: tzinfo
    ends: tuple[int, int] | None
    opened: dict[int, _Run] = field(default_factory=dict)

    def read(self, entries: Iterable[BookEntry]) -> Iterator[tuple[_Run, str]]:
        """Each run with its state. Raises `AuditFailed` for an entry that cannot be read."""
        for entry in entries:
            try:
                ended = self._look(entry)
            except _UNREADABLE as error:
                message = f"its details cannot be read ({type(error).__name__}: {error})"
                raise AuditFailed([Finding(self.account_id, entry.sequence, "entry_unreadable", message)]) from error
            if ended is not None:
                yield ended
        for run in self.opened.values():
            yield run, "open"

    def _look(self, entry: BookEntry) -> tuple[_Run, str] | None:
        """The run that an entry ends."""
        if entry.kind == "reserve":
            self._launch(entry)
        elif entry.reservation in self.opened:
            run = self.opened[entry.reservation]
            state = self._take(run, entry)
            if state is not None:
                del self.opened[entry.reservation]
                return run, state
        return None

    def _launch(self, entry: BookEntry) -> None:
        if self.ends is not None and not self.ends[0] <= entry.at < self.ends[1]:
            return
        details = json.loads(entry.details or "{}")
        if "plan" not in details or "card_id" not in details:
            return
        held = moved_into(entry, "held")
        self.opened[entry.sequence] = _Run(held, [("", ""), *self._keys(details["plan"], entry.at)])

    def _keys(self, plan: dict[str, Any], at: int) -> Iterator[tuple[str, str]]:
        for dimension in dict.fromkeys(self.by):
            if dimension == "recipe":
                yield from ((dimension, str(name)) for name in plan["recipes"] or ["none"])
            elif dimension == "account":
                yield dimension, self.account_id
            elif dimension == "month":
                yield dimension, from_moment(at).astimezone(self.zone).strftime("%Y-%m")
            else:
                value = plan[dimension]
                yield dimension, str(value).lower() if isinstance(value, bool) else str(value)

    @staticmethod
    def _take(run: _Run, entry: BookEntry) -> str | None:
        """The state of a run after an entry of its hold; None while the hold goes on."""
        if entry.kind == "expire":
            return "lapsed"
        if entry.kind not in ("capture", "release"):
            return None
        run.captured += moved_into(entry, "consumed")
        details = json.loads(entry.details or "{}")
        if details.get("final") is False:
            return None
        if "outcome" in details:
            return str(details["outcome"]["status"])
        return _MEASURED if entry.kind == "capture" else "released"
