"""A book with every verb, over several months, of accounts whose ids are awkward in every file format."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

import ledger
from tests.ledger.auditing.test_every_value import write_book
from tests.ledger.conftest import START, later

AWKWARD = ("acme", "Acme", 'q"uo\\te', "zürich; a:b  c,d", "a\nb", "日本")


def write_year(session: Session) -> None:
    """Two accounts with every verb, and the awkward ones with a grant and holds in three months."""
    for name in ("acme", "beta-2"):
        write_book(session, name)
    for name in AWKWARD[1:]:
        ledger.open_account(session, name, at=START)
        ledger.grant_credits(session, name, 10, key=f"key of {name}", at=START)
        for days in (1, 32, 33, 200):
            hold = ledger.reserve(session, name, Decimal("1.000001"), at=later(days=days)).reservation_id
            ledger.capture(session, hold, Decimal("0.5"), at=later(days=days))


@pytest.fixture
def book(engine: Engine) -> Engine:
    """The book, committed."""
    with Session(engine) as session, session.begin():
        write_year(session)
    return engine


def write_months(session: Session) -> None:
    """The awkward accounts over a year: lots every month, holds and a grant that lapse, half of it not recorded."""
    for index, name in enumerate(AWKWARD):
        ledger.open_account(session, name, at=START)
        ledger.grant_credits(session, name, 10, key=f"key of {name}", at=START)
        ledger.grant_credits(session, name, Decimal("0.000001"), recurrence=ledger.Recurrence("month"), at=START)
        ledger.grant_credits(session, name, 3, expires_at=later(days=45), at=later(days=1))
        for days in (1, 32, 33, 200)[: 4 - index % 2]:
            lasts = timedelta(days=3)
            hold = ledger.reserve(session, name, Decimal("1.000001"), expires_in=lasts, at=later(days=days))
            ledger.reserve(session, name, Decimal("0.000001"), expires_in=lasts, at=later(days=days))
            ledger.capture(session, hold.reservation_id, Decimal("0.5"), at=later(days=days))


@pytest.fixture
def months(engine: Engine) -> Engine:
    """The book of the awkward accounts over a year, committed."""
    with Session(engine) as session, session.begin():
        write_months(session)
    return engine
