"""The notebook runs from its first cell to its last, and what it finds is what the bill would say."""

from __future__ import annotations

from decimal import Decimal

from tests.notebooks.what_if import app


def test_the_notebook_compares_sweeps_and_solves() -> None:
    _, found = app.run()
    comparison, prices, solution, target = (found[name] for name in ("comparison", "prices", "solution", "target"))
    (change,) = comparison.changes
    assert change.delta < 0
    assert sum(step.delta for step in change.steps) == change.delta
    assert [group.key for group in comparison.by("account").head(1)] == ["zeta"]
    assert [point.delta for point in prices][1] == 0
    assert abs(solution.total - target) <= Decimal("0.05")
    assert solution.target == target
    assert Decimal("0.010") < solution.value
