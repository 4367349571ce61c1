"""Runs a year: writes it, has every sum compared and every discrepancy looked for, and tells how it went."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.orm import Session

import ledger
from tests.finance_year.figures import PROBLEMS_MAX
from tests.finance_year.reconciling import Reconciled, reconcile_year
from tests.finance_year.ties import Ties
from tests.finance_year.writing import Settings, Year, write_year


@dataclass
class Report:
    """How a year went."""

    year: Year
    seconds: dict[str, float] = field(default_factory=dict)
    problems: dict[str, list[str]] = field(default_factory=dict)
    reconciled: Reconciled | None = None

    @property
    def is_clean(self) -> bool:
        """True when all ties, and what was altered, and nothing else, was found."""
        return not any(self.problems.values())

    def __str__(self) -> str:
        """Figures for a person."""
        year = self.year
        mebibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        lines = [f"seed {year.settings.seed}: {year.entries:,} entries of {year.settings.accounts:,} accounts"]
        lines[0] += f", {len(year.runs):,} runs settled, {len(year.purchases):,} purchases, {mebibytes:,} MiB at most"
        for name, counter in {"verbs": year.verbs, "refusals": year.refusals}.items():
            lines.append(f"{name}: " + ", ".join(f"{what} {count:,}" for what, count in counter.most_common()))
        for name, seconds in self.seconds.items():
            found = self.problems.get(name, [])
            lines.append(f"{name}: {seconds:,.1f} s" + (f", {len(found):,} PROBLEMS" if found else ""))
            lines += [f"  {problem}" for problem in found[:PROBLEMS_MAX]]
        return "\n".join([*lines, str(self.reconciled)])


def run_year(url: str, settings: Settings, folder: Path, say: Callable[[str], None] | None = None) -> Report:
    """Write a year into a new database, and compare everything that can be compared."""
    tell = say or (lambda _line: None)
    engine = ledger.create_engine(url)
    try:
        ledger.upgrade(engine)
        began = time.monotonic()
        year = write_year(engine, settings, tell)
        report = Report(year, {"writing": time.monotonic() - began})
        tell(f"writing: {report.seconds['writing']:,.1f} s, {year.entries:,} entries")
        with Session(engine) as session:
            ties = Ties(session, year.purchases, folder)
            for name, found in ties.problems():
                report.problems[name], report.seconds[name] = found, ties.seconds[name]
                tell(f"{name}: {ties.seconds[name]:,.1f} s, {len(found):,} problems")
            began = time.monotonic()
            report.reconciled = reconcile_year(session, year, folder)
            report.problems["reconciliation"] = report.reconciled.problems
            report.seconds["reconciliation"] = time.monotonic() - began
        return report
    finally:
        engine.dispose()
