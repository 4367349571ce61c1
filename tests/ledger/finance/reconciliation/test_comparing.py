"""What is compared: a period, an account, and records of one side alone."""

from __future__ import annotations

from decimal import Decimal

from ledger.finance import AccountingPeriod, ResultKind
from tests.ledger.finance.reconciliation.conftest import ONE, Compare, Line, at, kinds, parts


def test_several_records_of_one_side_alone_are_one_finding(compare: Compare) -> None:
    (found,) = compare([], parts("1", "2", "3"))
    assert (found.kind, found.count_there, found.amount_there) == (ResultKind.MISSING_HERE, 3, Decimal(6))
    assert [record.amount for record in found.there] == [1, 2, 3]


def test_a_period_leaves_out_what_is_outside_and_tells_what_crosses_its_end(compare: Compare) -> None:
    march = AccountingPeriod.parse("2026-03")
    late, early = ONE._replace(at=at(days=30, hours=23)), ONE._replace(reference="before-1", at=at(hours=-2))
    after = late._replace(at=at(days=31, hours=1))
    assert kinds(compare([late], [after], period=march)) == ["timing"]
    assert compare([after, early], [], period=march) == []
    assert compare([], [after._replace(at=at(days=90)), early._replace(reference="")], period=march) == []
    assert compare([early], [early], period=march, matched=True) != []
    assert kinds(compare([late], [after._replace(at=at(days=40))], period=march)) == ["missing_there"]


def test_only_one_account_is_compared(compare: Compare) -> None:
    beta = Line("run-000002", account="beta")
    assert kinds(compare([ONE, beta], [])) == ["missing_there", "missing_there"]
    (found,) = compare([ONE, beta], [], account_id="beta")
    assert found.account_id == "beta"
