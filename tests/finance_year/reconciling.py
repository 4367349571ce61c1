"""Has the year reconciled with what others have written down, and every finding compared with what was altered."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from ledger.finance import ReconciliationResult, ReconciliationSummary, reconcile
from tests.finance_year.discrepancies import Expected, Plan, compare, plan_discrepancies
from tests.finance_year.outside import (
    CHARGES,
    SECOND_LEDGER,
    USAGE,
    OutsideFile,
    charge_records,
    entry_records,
    usage_records,
    with_alterations,
    write_charges,
    write_second_ledger,
    write_usage,
)
from tests.finance_year.writing import Year

_WRITERS: dict[str, Any] = {"usage": write_usage, "charges": write_charges, "second ledger": write_second_ledger}
_MAPPINGS: dict[str, Any] = {"usage": USAGE, "charges": CHARGES, "second ledger": SECOND_LEDGER}


@dataclass
class Reconciled:
    """What was put in, what was found, and what of it does not agree."""

    plan: Plan
    problems: list[str] = field(default_factory=list)
    found: Counter[str] = field(default_factory=Counter)
    false_findings: int = 0
    summaries: dict[str, ReconciliationSummary] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        """Figures for a person."""
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(self.found.items()))
        lines = [f"found {self.found.total():,} of {len(self.plan.expected):,} discrepancies"]
        lines[0] += f", {self.false_findings:,} false findings ({kinds})"
        for name, summary in self.summaries.items():
            shapes = ", ".join(f"{shape} {count:,}" for shape, count in summary.matched_as.items() if count)
            lines.append(
                f"{name}: {summary.records_here:,} records here, {summary.records_there:,} there,"
                f" {summary.findings:,} findings, matched {shapes}, {self.seconds[name]:,.1f} s"
            )
        return "\n".join(lines)


def write_outside(session: Session, year: Year, plan: Plan, folder: Path) -> dict[str, OutsideFile]:
    """Write the three files with the plan's discrepancies in them."""
    records: dict[str, Callable[[], Iterator[list[Any]]]] = {
        "usage": lambda: usage_records(year),
        "charges": lambda: charge_records(session, year),
        "second ledger": lambda: entry_records(session),
    }
    files: dict[str, OutsideFile] = {}
    for name, write in _WRITERS.items():
        file = files[name] = OutsideFile(name, folder / f"{name.replace(' ', '_')}.csv", _MAPPINGS[name])
        altered = plan.altered[name]
        write(file, with_alterations(records[name](), altered, file))
        if missing := altered.keys() - file.altered:
            raise RuntimeError(f"{name} has no {sorted(missing)[:5]}, which were to be altered")
    return files


def reconcile_year(session: Session, year: Year, folder: Path) -> Reconciled:
    """Write what others have, put discrepancies into it, and look for them."""
    plan = plan_discrepancies(session, year)
    return reconcile_files(session, plan, write_outside(session, year, plan, folder))


def reconcile_files(session: Session, plan: Plan, files: dict[str, OutsideFile]) -> Reconciled:
    """Reconcile each file, and compare its findings with the plan."""
    done = Reconciled(plan)
    made: list[Expected] = []
    for name, file in files.items():
        began = time.monotonic()
        with reconcile(session, file.path, file.mapping) as reconciliation:
            made += [_finding(name, result) for result in reconciliation]
            done.summaries[name] = reconciliation.summary
        done.seconds[name] = time.monotonic() - began
    done.found.update(one.kind for one in plan.expected & set(made))
    done.false_findings = len(made) - done.found.total()
    done.problems = list(compare(plan.expected, made))
    return done


def _finding(name: str, result: ReconciliationResult) -> Expected:
    if not result.cause:
        raise RuntimeError(f"{result} has no cause")
    return Expected(name, result.kind.value, result.reference or "")
