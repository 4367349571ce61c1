"""Runs cases: each on an account of its own, each step held against what the case expects, then the audit."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from tests.cases import burndown, operations
from tests.cases.book import Book
from tests.cases.policies import policy_for

_numbers = itertools.count()
_BURNDOWN = {"grant", "usage", "consume", "evaluate", "reset", "expired_by"}


@dataclass(frozen=True)
class Verdict:
    """How a case came out: `pass`, `policy` with what the policies say, or `fail` with the step and what was found."""

    case: str
    outcome: str
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line for a person."""
        return f"{self.outcome:<6} {self.case}" + (f": {' '.join(self.reasons)}" if self.reasons else "")


def load_cases(path: Path) -> list[dict[str, Any]]:
    """The cases of a file. Raises `ValueError` for a file that holds none."""
    document = json.loads(path.read_text(encoding="utf-8"))
    cases = document.get("cases") if isinstance(document, dict) else document
    if not isinstance(cases, list) or not all(isinstance(case, dict) and "steps" in case for case in cases):
        raise ValueError("holds no list `cases` of objects with `steps`")
    return cases


def run_case(engine: Engine, case: dict[str, Any]) -> Verdict:
    """Run one case to its end, or to the first step that nothing explains."""
    policy = dict(case.get("policy") or {})
    steps = list(case["steps"])
    is_burndown = any(step["op"] in _BURNDOWN for step in steps)
    if any(step["op"] in ("usage", "evaluate") for step in steps):
        # Usage is never refused in these cases: what no grant pays is overage.
        policy.setdefault("unlimited", True)
    book = Book(engine, f"case-{next(_numbers)}", policy)
    book.open()
    if is_burndown:
        steps = burndown.in_time(steps)
    reasons: list[str] = []
    for index, step in enumerate(steps):
        try:
            found = _run_step(book, step, steps)
        except (LookupError, TypeError, ValueError, ArithmeticError) as error:
            found = f"{type(error).__name__}: {error}"
        if found is None:
            continue
        explained = policy_for([{"op": "policy", **policy}, *steps[: index + 1]], found)
        if explained is None:
            return Verdict(str(case.get("id")), "fail", (f"step {index + 1} {json.dumps(step)}", f"-> {found}"))
        if explained.says not in reasons:
            reasons.append(explained.says)
    findings = book.audit()
    if findings:
        return Verdict(str(case.get("id")), "fail", tuple(map(str, findings)))
    return Verdict(str(case.get("id")), "policy" if reasons else "pass", tuple(reasons))


def _run_step(book: Book, step: dict[str, Any], steps: list[dict[str, Any]]) -> str | None:
    name = step["op"]
    if name == "grant":
        return burndown.grant(book, step, [other for other in steps if other["op"] == "reset"])
    if name == "reset":
        return None if sum(other["op"] == "reset" for other in steps) == 1 else "more than one reset"
    if name == "reserve" and "at" in step:
        book.now = max(book.now, operations.amount_of(step["at"]))
    operation = burndown.OPERATIONS.get(name) or operations.OPERATIONS.get(name)
    return f"no operation {name!r} is known" if operation is None else operation(book, step)
