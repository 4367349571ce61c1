"""What differs between records that belong together, told in a sentence and by the first kind."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ledger.finance import ResultKind
from tests.ledger.finance.reconciliation.conftest import IN_MONEY, MAPPING, ONE, Compare, Line, at, kinds

OTHERS = [Line(f"other-{number:05d}", amount=f"{number}.5", at=at(days=number)) for number in range(1, 6)]
DISCREPANCIES = {
    ResultKind.AMOUNT_DIFFERS: ([ONE], [ONE._replace(amount="5.250001")]),
    ResultKind.ACCOUNT_DIFFERS: ([ONE], [ONE._replace(account="Acme")]),
    ResultKind.STATUS_DIFFERS: ([ONE], [ONE._replace(status="lost")]),
    ResultKind.TIMING: ([ONE], [ONE._replace(at=at(hours=1, microseconds=1))]),
    ResultKind.REFERENCE_DIFFERS: ([ONE], [ONE._replace(reference="run-00O001")]),
    ResultKind.MISSING_HERE: ([], [ONE]),
    ResultKind.MISSING_THERE: ([ONE], []),
    ResultKind.DUPLICATE_HERE: ([ONE, ONE], [ONE]),
    ResultKind.DUPLICATE_THERE: ([ONE], [ONE, ONE._replace(id="again")]),
}


@pytest.mark.parametrize("kind", DISCREPANCIES)
def test_each_discrepancy_is_one_finding_of_its_kind(compare: Compare, kind: ResultKind) -> None:
    ours, theirs = DISCREPANCIES[kind]
    (found,) = compare([*OTHERS, *ours], [*theirs, *reversed(OTHERS)])
    assert found.kind is kind
    assert found.cause.endswith(".")
    assert (found.count_here, found.count_there) == (len(ours), len(theirs))
    assert [record.amount for record in found.here] == [Decimal(line.amount) for line in ours]


def test_a_currency_that_differs_is_told_before_an_amount_that_cannot_be_compared(compare: Compare) -> None:
    (found,) = compare([ONE], [ONE._replace(currency="usd", amount="6")], IN_MONEY)
    assert (found.kind, found.cause) == (ResultKind.CURRENCY_DIFFERS, "Here it is in EUR, there in USD.")
    assert [record.currency for record in (*found.here, *found.there)] == ["EUR", "USD"]


def test_what_is_within_the_tolerances_is_no_finding(compare: Compare) -> None:
    mapping = MAPPING | {"tolerance": {"amount": "0.01", "time": "1h", "window": "1d"}}
    assert compare([ONE], [ONE._replace(amount="5.26", at=at(hours=-1))], mapping) == []
    assert kinds(compare([ONE], [ONE._replace(amount="5.260001")], mapping)) == ["amount_differs"]


def test_a_finding_says_everything_that_is_wrong_and_is_of_the_first_kind(compare: Compare) -> None:
    (found,) = compare([ONE], [ONE._replace(amount="4", at=at(days=2, hours=3), status="x")])
    assert found.kind is ResultKind.AMOUNT_DIFFERS
    assert found.cause == (
        "Here it is 5.25 credits, there 4 credits: 1.25 credits less there. Here it is capture, there x."
        " There it is 2 days 3 hours later than here (2026-03-03T03:00:00Z, here 2026-03-01T00:00:00Z)."
    )
    assert found.difference == Decimal("-1.25")


def test_a_second_charge_at_another_time_is_no_copy(compare: Compare) -> None:
    assert kinds(compare([ONE], [ONE, ONE._replace(at=at(days=20))])) == ["missing_here"]
