"""One sum of one side and its parts on the other."""

from __future__ import annotations

from tests.ledger.finance.reconciliation.conftest import ONE, Compare, at, kinds, parts


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
