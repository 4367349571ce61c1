"""The examples of the docstrings run, and give what they say."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import estimator
import ledger

ROOTS = [Path(str(package.__file__)).parent for package in (estimator, ledger)]
WITH_EXAMPLES = [
    ".".join(path.relative_to(root.parent).with_suffix("").parts).removesuffix(".__init__")
    for root in ROOTS
    for path in sorted(root.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]
"""The modules that have any: no other is imported for this, nor what it needs."""


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_of_a_module_give_what_they_say(name: str) -> None:
    """In the names of the module itself, so that an example need not import what it shows."""
    report: list[str] = []
    failed, tried = 0, 0
    for examples in doctest.DocTestFinder().find(import_module(name)):
        result = doctest.DocTestRunner().run(examples, out=report.append)
        failed, tried = failed + result.failed, tried + result.attempted
    assert not failed, "".join(report)
    assert tried


@pytest.mark.parametrize(
    "name",
    [
        *("estimator.credits", "estimator.rates", "estimator.estimates"),
        *("ledger.model.ids", "ledger.model.cycles", "ledger.finance.calendar"),
    ],
)
def test_what_is_shown_in_one_line_has_an_example(name: str) -> None:
    """Credits, rate cards, estimates, ids, cycles and accounting periods."""
    assert name in WITH_EXAMPLES
