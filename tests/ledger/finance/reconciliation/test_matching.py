"""What of both sides belongs together, what is wrong with it, and in which order it is told."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from ledger.finance import AccountingPeriod, ResultKind
from tests.ledger.finance.reconciliation.conftest import IN_MONEY, MAPPING, Compare, Line, at

OTHERS = [Line(f"other-{number:05d}", amount=f"{number}.5", at=at(days=number)) for number in range(1, 6)]
ONE = Line()


def kinds(results: list[Any]) -> list[str]:
    return [result.kind.value for result in results]


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


def parts(*amounts: str) -> list[Line]:
    return [ONE._replace(amount=amount) for amount in amounts]


@pytest.mark.parametrize(
    ("ours", "theirs", "shape"),
    [
        (["5.25"], ["2", "3.25"], "1:2"),
        (["5", "0.25"], ["5.25"], "2:1"),
        (["1", "2", "3"], ["3.5", "2.5"], "3:2"),
        (["2", "2"], ["2", "2"], "2:2"),
        (["5.25"], ["6", "-0.75"], "1:2"),
    ],
)
def test_several_records_of_a_reference_match_by_their_sum(
    compare: Compare, ours: list[str], theirs: list[str], shape: str
) -> None:
    assert compare(parts(*ours), parts(*theirs)) == []
    (found,) = compare(parts(*ours), parts(*theirs), matched=True)
    assert (found.cardinality, found.kind) == (shape, ResultKind.MATCHED)


@pytest.mark.parametrize(
    ("ours", "theirs", "kind"),
    [
        (["5.25"], ["2", "3"], "amount_differs"),
        (["5.25"], ["2", "3.25", "3.25"], "duplicate_there"),
        (["5.25"], ["5.25", "5.25", "5.25"], "duplicate_there"),
        (["4", "6"], ["4"], "missing_there"),
        (["4"], ["4", "6"], "missing_here"),
        (["4", "4", "6"], ["4", "6"], "duplicate_here"),
        (["4", "6"], ["4", "7"], "amount_differs"),
    ],
)
def test_several_records_that_do_not_add_up_are_one_finding(
    compare: Compare, ours: list[str], theirs: list[str], kind: str
) -> None:
    (found,) = compare(parts(*ours), parts(*theirs))
    assert found.kind == kind
    assert found.amount_here == sum(map(Decimal, ours))
    assert found.amount_there == sum(map(Decimal, theirs))


def test_a_second_charge_at_another_time_is_no_copy(compare: Compare) -> None:
    assert kinds(compare([ONE], [ONE, ONE._replace(at=at(days=20))])) == ["missing_here"]


def test_without_a_reference_amount_and_time_match(compare: Compare) -> None:
    unnamed = ONE._replace(reference="", at=at(minutes=30))
    assert compare([ONE], [unnamed]) == []
    (found,) = compare([ONE], [unnamed], matched=True)
    assert (found.basis.value, found.here[0].reference, found.there[0].reference) == (
        "amount and time",
        "run-000001",
        None,
    )
    assert kinds(compare([ONE], [unnamed._replace(at=at(hours=20))])) == ["timing"]
    assert sorted(kinds(compare([ONE], [unnamed._replace(at=at(hours=25))]))) == ["missing_here", "missing_there"]
    assert sorted(kinds(compare([ONE], [unnamed._replace(account="beta")]))) == ["missing_here", "missing_there"]
    within = MAPPING | {"tolerance": {"amount": "0.5", "time": "1h", "window": "1d"}}
    assert compare([ONE], [unnamed._replace(amount="5.75")], within) == []


def test_records_without_a_reference_match_the_nearest_amount_and_the_earliest_moment(compare: Compare) -> None:
    mapping = MAPPING | {"tolerance": {"amount": "1", "time": "1d", "window": "1d"}}
    ours = [ONE._replace(reference=f"run-{n}", amount=amount) for n, amount in enumerate(["5", "5.5", "6"])]
    theirs = [ONE._replace(reference="", at=at(hours=n), amount=amount) for n, amount in enumerate(["5.6", "5"])]
    assert kinds(compare(ours, theirs, mapping)) == ["missing_there"]
    pairs = {m.here[0].amount: m.there[0].amount for m in compare(ours, theirs, mapping, matched=True)}
    assert pairs == {Decimal("5.5"): Decimal("5.6"), Decimal(5): Decimal(5)}


def test_a_copy_without_a_reference_is_a_duplicate(compare: Compare) -> None:
    unnamed = ONE._replace(reference="")
    assert kinds(compare([ONE], [unnamed, unnamed])) == ["duplicate_there"]
    assert kinds(compare([unnamed, unnamed], [ONE])) == ["duplicate_here"]


def test_references_that_are_unlike_are_two_things_whatever_their_amounts(compare: Compare) -> None:
    found = compare([ONE], [ONE._replace(reference="refund-77")])
    assert sorted(kinds(found)) == ["missing_here", "missing_there"]


def test_nothing_without_a_moment_matches_by_amount(compare: Compare) -> None:
    assert sorted(kinds(compare([ONE], [ONE._replace(reference="", at="")]))) == ["missing_here", "missing_there"]
    assert compare([ONE], [ONE._replace(at="")]) == []


def test_several_records_of_one_side_alone_are_one_finding(compare: Compare) -> None:
    (found,) = compare([], parts("1", "2", "3"))
    assert (found.kind, found.count_there, found.amount_there) == (ResultKind.MISSING_HERE, 3, Decimal(6))
    assert [record.amount for record in found.there] == [1, 2, 3]


def test_a_payment_in_one_sum_matches_its_parts_by_amount_and_time(compare: Compare) -> None:
    assert compare(parts("1", "4.25"), [ONE._replace(reference="")]) == []
    ours = [ONE._replace(reference=f"run-{n}", amount=amount, at=at(minutes=n)) for n, amount in enumerate("123")]
    whole = ONE._replace(reference="", amount="6")
    assert compare(ours, [whole]) == []
    (found,) = compare(ours, [whole], matched=True)
    assert (found.cardinality, found.basis.value) == ("3:1", "amount and time")
    assert compare([whole], ours) == []
    assert kinds(compare(ours, [whole._replace(amount="7")])).count("missing_there") == 3
    assert len(compare(ours, [whole._replace(reference="payout-1")])) == 4


def test_a_group_of_very_many_records_is_compared_by_its_sums(compare: Compare) -> None:
    many = parts(*["0.001"] * 2_000)
    assert compare([ONE._replace(amount="2")], many) == []
    (found,) = compare([ONE._replace(amount="2.5")], many)
    assert (found.kind, found.count_there, len(found.there)) == (ResultKind.AMOUNT_DIFFERS, 2_000, 20)


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


def test_findings_come_by_time_and_reference_whatever_order_the_files_have(compare: Compare) -> None:
    lines = [Line(f"run-{n:06d}", amount=str(n % 7 + 1), at=at(hours=n % 5)) for n in range(60)]
    theirs = [line._replace(amount="9") if n % 2 else line for n, line in enumerate(lines)]
    found = compare(lines, theirs)
    order = [(result.here[0].at, result.reference) for result in found]
    assert order == sorted(order)
    assert compare(reversed(lines), [*theirs[1::2], *theirs[::2]]) == found
