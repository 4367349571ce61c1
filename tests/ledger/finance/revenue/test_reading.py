"""Revenue: flows that roll forward, tie to the book, and are exact in each currency."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

import ledger
from ledger import CostBasis
from ledger.accounting.rollforwards import FLOWS, LENDING
from ledger.book.buckets import BUCKETS
from ledger.finance import AccountingPeriod, Figures, RevenueLine, stream_book, stream_revenue, total_revenue
from tests.ledger.conftest import START, later

MONTHS = [f"2026-{month:02d}" for month in range(1, 13)]


def revenue(session: Session, name: str) -> dict[str, RevenueLine]:
    found = stream_revenue(session, AccountingPeriod.parse(name))
    return {line.grant_id: line for account in found for line in account.lines}


def figures(session: Session, name: str) -> Figures:
    return total_revenue(session, AccountingPeriod.parse(name))


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
    totals = figures(sold, "2026-03").totals
    assert [(total.kind, total.currency) for total in totals] == [("paid", "EUR"), ("paid", "USD")]
    assert totals[0].money("sold") == Decimal("0.03333333333")
    assert {name: totals[1].money(name) for name in FLOWS if totals[1].money(name)} == {
        "sold": Decimal("0.08"),
        "closing": Decimal("0.08"),
    }


def test_what_a_credit_line_lent_is_no_sale_but_owed_until_a_grant_repays_it(sold: Session) -> None:
    april = figures(sold, "2026-04")
    assert {name: april.owed(name) for name in LENDING if april.owed(name)} == {"lent": 2, "repaid": 1, "closing": 1}
    assert (april.owed("drawn"), april.owed("used_closing")) == (2, 1)
    assert april.owed("closing") == ledger.get_credit_line(sold, "acme").owed
    repaying = next(line for line in revenue(sold, "2026-04").values() if line.credits("repaying"))
    assert flows(repaying) == {"sold": 1, "recognised": 1}
    assert [total.kind for total in april.totals] == ["paid", "paid", "paid"]


def test_what_is_held_of_a_credit_line_is_owed_and_not_used_and_may_be_freed_or_refunded(session: Session) -> None:
    ledger.open_account(session, "acme", at=START)
    ledger.set_credit_line(session, "acme", 9, at=START)
    holds = [ledger.reserve(session, "acme", 3, at=later(1)).reservation_id for _ in range(2)]
    ledger.capture(session, holds[0], 2, at=later(2))
    march = figures(session, "2026-03")
    said = {name: march.owed(name) for name in ("lent", "freed", "drawn", "closing", "used_closing")}
    assert said == {"lent": 6, "freed": 1, "drawn": 2, "closing": 5, "used_closing": 2}
    ledger.refund(session, holds[0], at=later(days=32))
    ledger.release(session, holds[1], at=later(days=33))
    april = figures(session, "2026-04")
    assert {name: april.owed(name) for name in LENDING if april.owed(name)} == {"opening": 5, "freed": 3, "refunded": 2}
    assert (april.owed("used_opening"), april.owed("used_closing")) == (2, 0)
    assert ledger.get_credit_line(session, "acme").owed == 0


def test_revenue_of_what_was_used_on_credit_is_recognised_at_the_cost_of_the_grant_that_repays_it(
    session: Session,
) -> None:
    ledger.open_account(session, "acme", at=START)
    ledger.set_credit_line(session, "acme", 9, at=START)
    ledger.capture(session, ledger.reserve(session, "acme", 4, at=later(1)).reservation_id, at=later(2))
    assert figures(session, "2026-03").totals == []
    ledger.grant_credits(session, "acme", 10, cost_basis=CostBasis(Decimal("0.25"), "EUR"), at=later(days=32))
    ledger.adjust(session, "acme", -1, reason="a test", at=later(days=32))
    (total,) = figures(session, "2026-04").totals
    assert [total.money(name) for name in ("sold", "recognised", "repaying", "closing")] == [
        Decimal("2.5"),
        Decimal("1.25"),
        1,
        Decimal("1.25"),
    ]


def test_what_is_spent_and_refunded_beyond_64_bits_is_exact(session: Session) -> None:
    ledger.open_account(session, "acme", at=START)
    most = 9_000_000_000_000
    ledger.grant_credits(session, "acme", most, cost_basis=CostBasis(Decimal("0.000000000001"), "EUR"), at=START)
    for second in range(3):
        hold = ledger.reserve(session, "acme", most, at=later(second)).reservation_id
        ledger.capture(session, hold, at=later(second))
        ledger.refund(session, hold, at=later(second))
    (line,) = revenue(session, "2026-03").values()
    assert flows(line) == {"sold": most, "recognised": 3 * most, "refunded": 3 * most, "closing": most}
    assert line.money("recognised") == 27


def test_one_account_is_told_apart(sold: Session) -> None:
    ledger.open_account(sold, "beta", at=START)
    ledger.grant_credits(sold, "beta", 7, at=START)
    march = AccountingPeriod.parse("2026-03")
    assert [account.account_id for account in stream_revenue(sold, march)] == ["acme", "beta"]
    assert [account.account_id for account in stream_revenue(sold, march, account_id="beta")] == ["beta"]
    (total,) = total_revenue(sold, march, account_id="beta").totals
    assert total.credits("sold") == 7
    with pytest.raises(ledger.AccountNotFound):
        total_revenue(sold, march, account_id="gamma")


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
            owed = total_revenue(session, AccountingPeriod.parse("2026"), account_id=name).receivable
            assert deferred[name] * 10**6 + owed.closing - owed.used_closing == expected
            of_account = [line for line in year.values() if line.account_id == name]
            for flow, bucket in (("breakage", "expired"), ("revoked", "revoked")):
                assert sum(line.credits(flow) for line in of_account) * 10**6 == balances[bucket]
            consumed = sum(line.credits("recognised") - line.credits("refunded") for line in of_account)
            assert consumed * 10**6 + owed.used_closing == balances["consumed"]


def test_the_lots_of_a_recurrence_cost_what_the_first_did(session: Session) -> None:
    ledger.open_account(session, "acme", at=START)
    basis = CostBasis(Decimal("0.5"), "EUR")
    ledger.grant_credits(session, "acme", 4, cost_basis=basis, recurrence=ledger.Recurrence("month"), at=START)
    ledger.expire_due(session, at=later(days=70))
    lines = list(revenue(session, "2026-04").values())
    assert {line.currency for line in lines} == {"EUR"}
    assert [line.money("sold") for line in lines if line.credits("sold")] == [Decimal("2.0")]
