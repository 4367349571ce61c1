"""Suggested corrections: only where an exact adjustment of our account would correct the finding."""

from __future__ import annotations

import shlex
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from ledger.finance import ReconciliationResult, Record, RecordMapping, ResultKind
from ledger.finance.reconciliation import Basis
from ledger.finance.reconciliation.corrections import suggest
from tests.ledger.finance.reconciliation.conftest import IN_MONEY, MAPPING

RECORD = Record("run-1", "acme", Decimal(5), None, None, None, "r1")
RESULT = ReconciliationResult(
    ResultKind.AMOUNT_DIFFERS, Basis.REFERENCE, (RECORD,), (RECORD,), 1, 1, Decimal(5), Decimal("6.5"), "x"
)
CAPTURES = RecordMapping.from_dict(MAPPING)
GRANTS = RecordMapping.from_dict(IN_MONEY)
ROWS: dict[str, Any] = {"side": "runs", "amount": {"unit": "rows"}, "status": {"of": "outcome"}}


def amount_of(command: str) -> str:
    return shlex.split(command)[3]


def test_more_used_takes_credits_and_more_granted_gives_them() -> None:
    used, granted = suggest(RESULT, CAPTURES, None), suggest(RESULT, GRANTS, "0.5")
    assert used is not None
    assert granted is not None
    assert (amount_of(used[0]), amount_of(granted[0])) == ("-1.5", "3")
    assert f"--key {used[1]}" in used[0]
    assert "run-1 amount differs" in used[0]


@pytest.mark.parametrize(
    ("result", "mapping", "rate"),
    [
        (replace(RESULT, kind=ResultKind.TIMING), CAPTURES, None),
        (replace(RESULT, here=(), there=(replace(RECORD, account_id=None),)), CAPTURES, None),
        (RESULT, RecordMapping.from_dict(MAPPING | {"side": "entries"}), None),
        (RESULT, RecordMapping.from_dict(MAPPING | ROWS), None),
        (RESULT, GRANTS, None),
        (RESULT, GRANTS, "0"),
        (RESULT, GRANTS, "0.7"),
        (replace(RESULT, amount_there=Decimal("5.0000001")), GRANTS, "1"),
        (replace(RESULT, amount_there=Decimal(5)), CAPTURES, None),
    ],
    ids=["timing", "no account", "entries", "rows", "no cost", "no price", "inexact", "too fine", "nothing"],
)
def test_nothing_is_suggested_where_no_exact_adjustment_corrects(
    result: ReconciliationResult, mapping: RecordMapping, rate: str | None
) -> None:
    assert suggest(result, mapping, rate) is None


def test_the_key_is_made_of_what_is_corrected() -> None:
    def key(result: ReconciliationResult) -> str:
        suggestion = suggest(result, CAPTURES, None)
        assert suggestion is not None
        return suggestion[1]

    assert key(RESULT) == key(replace(RESULT, cause="y")) == "reconcile-6999e98decd3f64c883fb480"
    assert key(replace(RESULT, amount_there=Decimal(7))) != key(RESULT)
    assert key(replace(RESULT, here=(replace(RECORD, record_id="r2"),))) != key(RESULT)
