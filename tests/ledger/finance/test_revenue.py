"""Revenue: flows that roll forward, tie to the book, and are exact in each currency."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

import ledger
from ledger import CostBasis
from ledger.finance import AccountingPeriod, RevenueLine, stream_book, stream_revenue, total_revenue
from ledger.finance.revenue import FLOWS
from ledger.states import BUCKETS
from tests.ledger.conftest import START, later

MONTHS = [f"2026-{month:02d}" for month in range(1, 13)]


def revenue(session: Session, name: str) -> dict[str, RevenueLine]:
    return {line.grant_id: line for line in stream_revenue(session, AccountingPeriod.parse(name))}


def flows(line: RevenueLine) -> dict[str, Decimal]:
    return {name: line.credits(name) for name in FLOWS if line.credits(name)}


@pytest.fixture
def sold(session: Session) -> Session:
    """March: 10 credits at a third of a cent or so, 4 at 0.02 USD, a credit line; April: refund, expiry, revocation."""
    ledger.open_account(session, "acme", at=START)
    euro, dollar = CostBasis(Decimal("0.003333333333"), "EUR"), CostBasis(Decimal("0.02"), "USD")
    ledger.grant_credits(session, "acme", 10, cost_basis=euro, expires_at=later(days=40), at=START)
    hold = ledger.reserve(session, "acme", 6, at=later(1)).reservation_id
    ledger.capture(session, hold, 5, at=later(2))
    ledger.grant_credits(session, "acme", 4, cost_basis=dollar, priority=9, at=later(3))
    ledger.refund(session, hold, 2, reason="empty", at=later(days=32))
    ledger.expire_due(session, at=later(days=41))
    ledger.revoke_grant(session, "acme/g4", at=later(days=42))
    ledger.set_credit_line(session, "acme", 3, at=later(days=43))
    ledger.capture(session, ledger.reserve(session, "acme", 2, at=later(days=44)).reservation_id, at=later(days=44))
    ledger.grant_credits(session, "acme", 1, at=later(days=45))
    return session


def test_each_grant_rolls_forward_from_month_to_month(sold: Session) -> None:
    march, april = revenue(sold, "2026-03"), revenue(sold, "2026-04")
    assert flows(march["acme/g1"]) == {"sold": 10, "recognised": 5, "closing": 5}
    assert flows(april["acme/g1"]) == {"opening": 5, "refunded": 2, "breakage": 7}
    assert flows(march["acme/g4"]) == {"sold": 4, "closing": 4}
    assert flows(april["acme/g4"]) == {"opening": 4, "revoked": 4}
    assert revenue(sold, "2026-05").keys() & {"acme/g1", "acme/g4"} == set()
    assert revenue(sold, "2026-02") == {}


def test_money_is_credits_times_their_cost_to_the_last_digit(sold: Session) -> None:
    line = revenue(sold, "2026-03")["acme/g1"]
    assert (line.currency, line.money("sold"), line.money("recognised")) == (
        "EUR",
        Decimal("0.03333333333"),
        Decimal("0.016666666665"),
    )
    by_currency = {(total.kind, total.currency): total for total in total_revenue(revenue(sold, "2026-03").values())}
    assert by_currency["paid", "EUR"].money["sold"] == Decimal("0.03333333333")
    assert by_currency["paid", "USD"].money == {"sold": Decimal("0.08"), "closing": Decimal("0.08")} | {
        name: Decimal(0) for name in FLOWS if name not in ("sold", "closing")
    }


def test_a_credit_line_is_no_sale_and_what_it_got_back_is_returned(sold: Session) -> None:
    april = revenue(sold, "2026-04")
    lent = next(line for line in april.values() if line.kind == "credit_line")
    assert (lent.currency, lent.money("sold")) == (None, None)
    assert flows(lent)["sold"] == 2
    owed = ledger.get_balance(sold, "acme", at=later(days=50)).owed
    assert lent.credits("sold") - lent.credits("returned") == owed


def test_every_month_ties_to_the_next_and_to_the_book(book: Engine) -> None:
    with Session(book) as session:
        for name in ("acme", "beta-2"):
            ledger.expire_due(session, account_id=name, at=later(days=35))
        before: dict[str, Decimal] = {}
        deferred: dict[str, Decimal] = {}
        for month in MONTHS:
            found = revenue(session, month)
            for grant_id, line in found.items():
                assert line.credits("opening") == before.get(grant_id, 0)
            before = {grant_id: line.credits("closing") for grant_id, line in found.items() if line.credits("closing")}
        year = revenue(session, "2026")
        assert {name: line.credits("closing") for name, line in year.items() if line.credits("closing")} == before
        for line in year.values():
            deferred[line.account_id] = deferred.get(line.account_id, Decimal(0)) + line.credits("closing")
        last = {entry.account_id: dict(zip(BUCKETS, entry.balances, strict=True)) for entry in stream_book(session)}
        for name, balances in last.items():
            expected = balances["available"] + balances["held"] + balances["scheduled"]
            assert deferred[name] * 10**6 == expected
            of_account = [line for line in year.values() if line.account_id == name]
            for flow, bucket in (("breakage", "expired"), ("revoked", "revoked")):
                assert sum(line.credits(flow) for line in of_account) * 10**6 == balances[bucket]
            consumed = sum(line.credits("recognised") - line.credits("refunded") for line in of_account)
            assert consumed * 10**6 == balances["consumed"]


def test_the_lots_of_a_recurrence_cost_what_the_first_did(session: Session) -> None:
    ledger.open_account(session, "acme", at=START)
    basis = CostBasis(Decimal("0.5"), "EUR")
    ledger.grant_credits(session, "acme", 4, cost_basis=basis, recurrence=ledger.Recurrence("month"), at=START)
    ledger.expire_due(session, at=later(days=70))
    lines = list(stream_revenue(session, AccountingPeriod.parse("2026-04")))
    assert {line.currency for line in lines} == {"EUR"}
    assert [line.money("sold") for line in lines if line.credits("sold")] == [Decimal("2.0")]
