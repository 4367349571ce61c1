"""Records of one reference: several of a side are compared by their sum."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ledger.finance import ResultKind
from tests.ledger.finance.reconciliation.conftest import ONE, Compare, parts


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


def test_a_group_of_very_many_records_is_compared_by_its_sums(compare: Compare) -> None:
    many = parts(*["0.001"] * 2_000)
    assert compare([ONE._replace(amount="2")], many) == []
    (found,) = compare([ONE._replace(amount="2.5")], many)
    assert (found.kind, found.count_there, len(found.there)) == (ResultKind.AMOUNT_DIFFERS, 2_000, 20)
