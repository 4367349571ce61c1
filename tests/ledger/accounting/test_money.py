"""Money is exact to the last digit, and figures of a closing are read back as they were written."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ledger.accounting.money import CreditCost, Figures, Terms, money_of, money_text, priced, total_figures
from ledger.accounting.rollforwards import Deferral, Flows, Lending, Receivable

EURO = CreditCost(Decimal("0.000000000001"), "EUR")
PAID = Terms("paid", EURO)


def test_the_smallest_credit_at_the_smallest_cost_is_not_rounded() -> None:
    sheet = priced(Deferral(1, Flows(sold=3, repaying=1), Flows(breakage=2)), EURO)
    assert sheet == Deferral(1, Flows(sold=3, repaying=1), Flows(breakage=2))
    assert (money_of(sheet.opening), money_text(sheet.flows.sold)) == (Decimal("1E-18"), "0.000000000000000003")


def test_the_largest_amounts_keep_every_digit() -> None:
    cost = CreditCost(Decimal("9223372036.854775807"), "EUR")
    sheet = priced(Deferral(2**63 - 1), cost)
    assert money_text(sheet.opening) == "85070591730234615847396.907784232501249"


def test_a_whole_amount_is_written_without_an_exponent() -> None:
    assert money_text(100 * 10**18) == "100"


@pytest.mark.parametrize(
    ("details", "expected"),
    [({}, None), ({"cost_basis": None}, None), ({"cost_basis": {"per_credit": "0.5", "currency": "EUR"}}, "0.5 EUR")],
)
def test_the_cost_of_a_credit_is_that_of_the_grants_entry(details: dict[str, object], expected: str | None) -> None:
    found = CreditCost.of(details)
    assert (None if found is None else f"{found.per_credit} {found.currency}") == expected


def figures() -> Figures:
    found = Figures()
    found.add_sheet(Deferral(5, Flows(sold=10, recognised=2), Flows(sold=1)), PAID)
    found.add_sheet(Deferral(1, Flows(sold=1)), PAID)
    found.add_sheet(Deferral(0, Flows(sold=3)), Terms("promotional", None))
    found.add_sheet(Deferral(), Terms("paid", None))
    found.add_sheet(Receivable(4, 2, Lending(lent=1)), Terms("credit_line", None))
    return found


def test_sheets_are_added_up_by_kind_and_currency_and_empty_ones_left_out() -> None:
    found = figures()
    assert [(total.kind, total.currency) for total in found.totals] == [("paid", "EUR"), ("promotional", None)]
    paid, given = found.totals
    assert paid.deferral == Deferral(6, Flows(sold=11, recognised=2), Flows(sold=1))
    assert (paid.credits("sold"), paid.money("sold")) == (Decimal("0.000011"), Decimal("1.1E-17"))
    assert (given.priced, given.money("sold")) == (None, None)
    assert (found.owed("opening"), found.owed("used_opening")) == (Decimal("0.000004"), Decimal("0.000002"))
    assert (found.has_any(), Figures().has_any()) == (True, False)


def test_the_text_of_a_closing_is_read_back_as_the_same_figures() -> None:
    written = figures().to_json()
    assert Figures.from_json(written) == figures()
    assert Figures.from_json(written).to_json() == written


def test_the_order_in_which_sheets_come_does_not_change_the_text() -> None:
    one, two = Figures(), Figures()
    sheets = [(Deferral(1), PAID), (Deferral(2), Terms("paid", CreditCost(Decimal(1), "CHF")))]
    for sheet, terms in sheets:
        one.add_sheet(sheet, terms)
    for sheet, terms in reversed(sheets):
        two.add_sheet(sheet, terms)
    assert one.to_json() == two.to_json()


def test_the_sum_of_accounts_is_exact_in_credits_and_money() -> None:
    total = total_figures([figures(), figures()])
    assert total.totals[0].deferral.opening == 12
    assert total.totals[0].money("opening") == Decimal("1.2E-17")
    assert total.receivable == Receivable(8, 4, Lending(lent=2))
