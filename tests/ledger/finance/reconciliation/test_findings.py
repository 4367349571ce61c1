"""The order of findings."""

from __future__ import annotations

from tests.ledger.finance.reconciliation.conftest import Compare, Line, at


def test_findings_come_by_time_and_reference_whatever_order_the_files_have(compare: Compare) -> None:
    lines = [Line(f"run-{n:06d}", amount=str(n % 7 + 1), at=at(hours=n % 5)) for n in range(60)]
    theirs = [line._replace(amount="9") if n % 2 else line for n, line in enumerate(lines)]
    found = compare(lines, theirs)
    order = [(result.here[0].at, result.reference) for result in found]
    assert order == sorted(order)
    assert compare(reversed(lines), [*theirs[1::2], *theirs[::2]]) == found
