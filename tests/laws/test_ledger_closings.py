"""Any verbs, back-dated ones too, with closings between them: every period ties to the next and to the whole book."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from random import Random
from shutil import copyfile
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

import ledger
from ledger.accounting.money import Figures, total_figures
from ledger.accounting.rollforwards import DEFERRED, amount_of
from ledger.book.buckets import BUCKETS
from ledger.finance import AccountingPeriod, close_period, list_closings, stream_book, stream_revenue, total_revenue
from tests.laws import examples
from tests.laws.commands import START

DAYS = 6
END = START + timedelta(days=DAYS, microseconds=-1)
ACCOUNTS = ("acme", "beta", "late")
BASES = [None, ledger.CostBasis(Decimal("0.333333333333"), "EUR"), ledger.CostBasis(Decimal("0.02"), "USD")]
FLOWS = ("sold", "refunded", "recognised", "breakage", "revoked", "repaying")
LENDING = ("lent", "freed", "refunded", "repaid", "drawn")


def day_of(number: int) -> str:
    return f"{(START + timedelta(days=number)):%Y-%m-%d}"


def periods() -> list[AccountingPeriod]:
    return [AccountingPeriod.parse(day_of(number)) for number in range(DAYS)]


def act(session: Session, random: Random, name: str, at: Any) -> None:
    """One verb, refused or not."""
    amount = Decimal(random.randint(1, 4000)) / 100
    holds = [hold.reservation_id for hold in ledger.list_reservations(session, name, at=at)] or [f"{name}/r1"]
    hold = random.choice(holds)
    lasts = random.choice([None, timedelta(hours=5)])
    grants = [grant.grant_id for grant in ledger.list_grants(session, name, at=at)] or [f"{name}/g1"]
    verbs = [
        lambda: ledger.grant_credits(
            session, name, amount, cost_basis=random.choice(BASES), at=at,
            expires_at=None if lasts is None else at + lasts, kind=random.choice(["paid", "promotional"]),
            effective_at=random.choice([None, at + timedelta(hours=3)]) if lasts is None else None,
        ),
        lambda: ledger.grant_credits(
            session, name, amount, recurrence=ledger.Recurrence("day", rollover_max=1), cost_basis=BASES[1], at=at
        ),
        lambda: ledger.set_credit_line(session, name, random.choice([0, 30, 90]), at=at),
        lambda: ledger.adjust(session, name, random.choice([amount, -amount]), reason="a law", at=at),
        lambda: ledger.revoke_grant(session, random.choice(grants), at=at),
        *[lambda: ledger.reserve(session, name, amount, expires_in=lasts, at_most=random.random() < 0.5, at=at)] * 4,
        *[lambda: ledger.capture(session, hold, over="credit_line", at=at)] * 2,
        *[lambda: ledger.capture(session, hold, amount, final=random.random() < 0.5, over="if_available", at=at)] * 2,
        lambda: ledger.release(session, hold, at=at),
        *[lambda: ledger.refund(session, hold, at=at)] * 2,
    ]  # fmt: skip
    with suppress(ledger.LedgerError):
        random.choice(verbs)()


def snapshot(session: Session) -> list[str]:
    """The figures of what is closed, whole and by grant."""
    found = []
    for closing in list_closings(session):
        lines = [repr(account) for account in stream_revenue(session, closing.period)]
        found += [total_revenue(session, closing.period).to_json(), *lines]
    return found


def write(session: Session, random: Random, count: int) -> None:
    """Verbs at moments of any day, in any order, and closings between them; the last account is opened when it is."""
    kept: list[str] = []
    for name in ACCOUNTS[:2]:
        ledger.open_account(session, name, at=START)
        ledger.grant_credits(session, name, 20, cost_basis=BASES[2], at=START)
    closed = 0
    for step in range(count):
        name = random.choice(ACCOUNTS if step > count / 2 else ACCOUNTS[:2])
        at = START + timedelta(seconds=random.randint(0, 86400 * DAYS - 1) * random.choice([0.2, step / count, 1]))
        if name == ACCOUNTS[2]:
            ledger.open_account(session, name, at=at)
        act(session, random, name, at)
        if random.random() < 0.12 and closed < DAYS - 1:
            ledger.expire_due(session, at=START + timedelta(days=closed + 1))
            close_period(session, day_of(closed), by="a law")
            closed += 1
            assert snapshot(session)[: len(kept)] == kept
            kept = snapshot(session)
    ledger.expire_due(session, at=END)
    assert snapshot(session) == kept
    assert list(ledger.audit(session)) == []


def of_all(figures: Figures, kind: str, currency: str | None, name: str) -> tuple[Any, Any]:
    """A flow of a total, with its adjustments, in credits and in money; zeros where there is no such total."""
    for total in figures.totals:
        if (total.kind, total.currency) == (kind, currency):
            amount = total.credits(name) + total.credits(name, adjusted=True)
            return amount, (total.money(name) or 0) + (total.money(name, adjusted=True) or 0)
    return 0, 0


def check_totals(session: Session) -> None:
    """Each opening is the closing before; the flows of all periods sum to those of all time, to the last digit."""
    days = [total_revenue(session, period) for period in periods()]
    whole = total_revenue(session, AccountingPeriod.parse(f"{day_of(0)}..{day_of(DAYS - 1)}"))
    keys = {(total.kind, total.currency) for each in (*days, whole) for total in each.totals}
    for key in keys:
        for before, after in pairwise(days):
            assert of_all(before, *key, "closing") == of_all(after, *key, "opening")
        for flow in FLOWS:
            sums = [sum(parts) for parts in zip(*(of_all(day, *key, flow) for day in days), strict=True)]
            assert sums == list(of_all(whole, *key, flow)), (key, flow)
        assert of_all(days[-1], *key, "closing") == of_all(whole, *key, "closing")
    for before, after in pairwise(days):
        assert before.owed("closing") == after.owed("opening")
        assert before.owed("used_closing") == after.owed("used_opening")
    for flow in LENDING:
        each = [day.owed(flow) + day.owed(flow, adjusted=True) for day in days]
        assert sum(each) == whole.owed(flow) + whole.owed(flow, adjusted=True)


def check_book(session: Session) -> None:
    """What is deferred, used and owed at the end is what every account's last balance and credit line say."""
    whole = AccountingPeriod.parse(f"{day_of(0)}..{day_of(DAYS - 1)}")
    last = {entry.account_id: dict(zip(BUCKETS, entry.balances, strict=True)) for entry in stream_book(session)}
    for name, balances in last.items():
        figures = total_revenue(session, whole, account_id=name)
        owed, held = figures.receivable, figures.receivable.closing - figures.receivable.used_closing

        def total(flow: str, figures: Figures = figures) -> int:
            return sum(
                amount_of(each.deferral, flow) + amount_of(each.deferral, flow, adjusted=True)
                for each in figures.totals
            )

        assert total("closing") + held == sum(balances[bucket] for bucket in DEFERRED)
        assert total("recognised") - total("refunded") + owed.used_closing == balances["consumed"]
        assert (total("breakage"), total("revoked")) == (balances["expired"], balances["revoked"])
        assert total("repaying") == owed.flows.repaid + owed.adjustments.repaid
        assert figures.owed("closing") == ledger.get_balance(session, name, at=END).owed
    accounts = [found.figures for found in stream_revenue(session, whole)]
    assert total_figures(accounts).to_json() == total_revenue(session, whole).to_json()


@given(st.integers(0, 2**32))
@settings(max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_periods_tie_to_each_other_and_to_the_book_whatever_is_recorded_when(
    sqlite_template: Path, tmp_path: Path, seed: int
) -> None:
    path = tmp_path / f"{seed}.sqlite"
    copyfile(sqlite_template, path)
    engine = ledger.create_engine(f"sqlite:///{path}")
    with Session(engine) as session:
        write(session, Random(seed), 45)
        check_totals(session)
        check_book(session)
    engine.dispose()
    path.unlink()
