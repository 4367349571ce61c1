"""The verbs of limits: setting, changing and lifting one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.orm import Session

import ledger
from tests.ledger.conftest import START, later
from tests.ledger.shorthand import is_sound


def test_a_limit_is_changed_and_lifted_by_setting_it_again(session: Session, acme: str) -> None:
    first = ledger.set_limit(session, "acme", "total", 2, key="a", at=START)
    assert ledger.set_limit(session, "acme", "total", 2, key="a", at=later(1)).replayed
    ledger.reserve(session, "acme", 2, at=START)
    ledger.set_limit(session, "acme", "total", 3, at=START)
    ledger.reserve(session, "acme", 1, at=START)
    ledger.set_limit(session, "acme", "total", None, at=START)
    ledger.reserve(session, "acme", 5, at=START)
    assert [limit.maximum for limit in ledger.list_limits(session, "acme")] == [None]
    assert ledger.list_limit_usage(session, "acme", at=START) == []
    ledger.set_limit(session, "acme", "total", 4, at=START)
    ledger.reserve(session, "acme", 1, at=START)
    assert (first.label, first.value, first.period, first.maximum) == ("", "*", "total", 2)
    assert is_sound(session)


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"period": "week", "maximum": 1}, "period"),
        ({"period": "day", "maximum": -1}, "maximum"),
        ({"period": "day", "maximum": 0.5}, "maximum"),
        ({"period": "concurrent", "maximum": Decimal(1)}, "maximum"),
        ({"period": "concurrent", "maximum": -1}, "maximum"),
        ({"period": "day", "maximum": 1, "value": "p1"}, "value"),
        ({"period": "day", "maximum": 1, "label": "x" * 300}, "label"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(session: Session, acme: str, terms: Any, field: str) -> None:
    with pytest.raises(ledger.CommandInvalid) as refused:
        ledger.set_limit(session, "acme", at=START, **terms)
    assert refused.value.field == field
