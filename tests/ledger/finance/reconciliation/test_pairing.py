"""Records without a common reference, matched by amount and time."""

from __future__ import annotations

from decimal import Decimal

from tests.ledger.finance.reconciliation.conftest import MAPPING, ONE, Compare, at, kinds


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
