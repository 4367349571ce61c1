"""What each transfer counts as: sold, recognised, refunded, broken or revoked; lent, drawn, freed or repaid."""

from __future__ import annotations

import pytest

from ledger.accounting.rollforwards import (
    ADJUSTING,
    BEFORE,
    WITHIN,
    AccountedTransfer,
    Deferral,
    Flows,
    Lending,
    Receivable,
    amount_of,
    is_of_debt,
    name_of,
    sheets_of,
)

FLOWS_OF_TRANSFERS = [
    ("issued", "available", {"sold": 7}),
    ("issued", "scheduled", {"sold": 7}),
    ("scheduled", "available", {}),
    ("available", "held", {}),
    ("held", "available", {}),
    ("held", "consumed", {"recognised": 7}),
    ("consumed", "available", {"refunded": 7}),
    ("available", "expired", {"breakage": 7}),
    ("expired", "available", {"breakage": -7}),
    ("available", "revoked", {"revoked": 7}),
    ("revoked", "available", {"revoked": -7}),
    ("consumed", "expired", {"refunded": 7, "breakage": 7}),
    ("consumed", "revoked", {"refunded": 7, "revoked": 7}),
]


@pytest.mark.parametrize(("source", "target", "counted"), FLOWS_OF_TRANSFERS)
def test_a_transfer_of_a_grant_counts_by_its_buckets(source: str, target: str, counted: dict[str, int]) -> None:
    flows = Flows()
    flows.move(source, target, 7)
    assert flows == Flows(**counted)


def test_a_grant_that_repays_what_was_lent_says_so_of_what_it_recognises() -> None:
    flows = Flows()
    flows.move("issued", "consumed", 7, is_of_debt=True)
    assert flows == Flows(sold=7, recognised=7, repaying=7)
    assert flows.net == 0


LENDING_OF_TRANSFERS = [
    ("issued", "held", False, {"lent": 7}, 7, 0),
    ("issued", "available", False, {"lent": 7}, 7, 0),
    ("held", "consumed", False, {"drawn": 7}, 0, 7),
    ("held", "issued", False, {"freed": 7}, -7, 0),
    ("consumed", "issued", True, {"refunded": 7}, -7, -7),
    ("consumed", "issued", False, {"repaid": 7}, -7, -7),
]


@pytest.mark.parametrize(("source", "target", "is_refund", "counted", "net", "net_used"), LENDING_OF_TRANSFERS)
def test_a_transfer_of_a_credit_line_counts_as_lent_returned_or_repaid(
    source: str, target: str, is_refund: bool, counted: dict[str, int], net: int, net_used: int
) -> None:
    flows = Lending()
    flows.move(source, target, 7, is_refund=is_refund)
    assert flows == Lending(**counted)
    assert (flows.net, flows.net_used) == (net, net_used)


SALE = AccountedTransfer("issued", "available", 10)
USE = AccountedTransfer("available", "consumed", 4)


def test_a_sheet_rolls_forward_from_its_opening_with_flows_and_adjustments() -> None:
    sheet = Deferral()
    for part, transfer in ((BEFORE, SALE), (WITHIN, USE), (ADJUSTING, SALE)):
        sheet.count(part, transfer)
    assert (sheet.opening, sheet.flows, sheet.adjustments) == (10, Flows(recognised=4), Flows(sold=10))
    assert sheet.closing == sheet.rolled().opening == 16
    assert amount_of(sheet, "recognised") == 4
    assert amount_of(sheet, "sold") == 0
    assert amount_of(sheet, "sold", adjusted=True) == amount_of(sheet, "adjustments") == 10
    assert amount_of(sheet, "opening", adjusted=True) == 0


def test_a_credit_line_rolls_forward_what_is_owed_and_what_of_it_was_used() -> None:
    sheet = Receivable()
    sheet.count(BEFORE, AccountedTransfer("issued", "held", 10))
    sheet.count(BEFORE, AccountedTransfer("held", "consumed", 6))
    sheet.count(WITHIN, AccountedTransfer("held", "issued", 4))
    sheet.count(WITHIN, AccountedTransfer("consumed", "issued", 1))
    assert (sheet.opening, sheet.used_opening) == (10, 6)
    assert (sheet.closing, sheet.used_closing) == (5, 5)
    assert sheet.rolled() == Receivable(5, 5)


def test_sheets_add_up_and_know_whether_anything_moved() -> None:
    total, other = Deferral(1, Flows(sold=2), Flows()), Deferral(3, Flows(sold=4, recognised=1), Flows(breakage=1))
    total.add(other)
    assert total == Deferral(4, Flows(sold=6, recognised=1), Flows(breakage=1))
    owed = Receivable(1, 1)
    owed.add(Receivable(2, 0, Lending(lent=3)))
    assert owed == Receivable(3, 1, Lending(lent=3))
    assert (Deferral().has_any(), Receivable().has_any()) == (False, False)
    assert (total.has_any(), owed.has_any()) == (True, True)


@pytest.mark.parametrize(
    ("kind", "sequence", "grant", "expected"),
    [
        ("grant", 3, 3, True),
        ("renew", 9, 3, True),
        ("activate", 9, 3, True),
        ("capture", 9, 3, False),
        ("adjust", 3, 3, True),
        ("adjust", 9, 3, False),
    ],
)
def test_only_a_grant_as_it_comes_repays_what_was_lent(kind: str, sequence: int, grant: int, expected: bool) -> None:
    assert is_of_debt(kind, sequence, grant) is expected


def test_a_credit_line_has_a_sheet_of_its_own_kind() -> None:
    lent = AccountedTransfer("issued", "held", 5)
    sheets = sheets_of({1: [(WITHIN, SALE)], 2: [(WITHIN, lent)]}, {1: "paid", 2: "credit_line"})
    assert sheets == {1: Deferral(0, Flows(sold=10)), 2: Receivable(0, 0, Lending(lent=5))}


def test_a_bucket_is_named_by_its_index_or_its_name() -> None:
    assert (name_of(3), name_of("held")) == ("consumed", "held")
