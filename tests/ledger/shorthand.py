"""Helpers of the ledger's tests: grants and holds of the account `acme`, and an account in memory."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.orm import Session

import ledger
from ledger.book.postings import genesis
from ledger.book.states import AccountState
from ledger.model.moments import to_moment
from tests.ledger.conftest import START

NOW = to_moment(START)


def account(name: str = "acme") -> AccountState:
    """An account just opened."""
    return AccountState(name, NOW, 0, NOW, genesis(name, NOW), [0] * 8, None)


def grant(session: Session, amount: int = 10, **terms: Any) -> str:
    """A grant's id."""
    terms.setdefault("at", START)
    return ledger.grant_credits(session, "acme", amount, **terms).grant_id


def drawn(session: Session, amount: int, **terms: Any) -> list[tuple[str, Decimal]]:
    """What a hold of an amount takes from which grants."""
    terms.setdefault("at", START)
    hold = ledger.reserve(session, "acme", amount, **terms)
    return [(part.grant_id, part.amount) for part in hold.slices]


def standing(session: Session, grant_id: str, at: datetime = START) -> ledger.GrantStanding:
    """Where a grant's credits are."""
    found = ledger.list_grants(session, "acme", at=at, ended=True)
    return next(grant for grant in found if grant.grant_id == grant_id)


def is_sound(session: Session) -> bool:
    """True when the book proves itself."""
    return not list(ledger.audit(session))


def owed(session: Session, at: Any = START) -> Decimal:
    """What the account owes."""
    return ledger.get_credit_line(session, "acme", at=at).owed


def fund(engine: Engine) -> None:
    """An account with 10 credits."""
    with Session(engine) as session, session.begin():
        ledger.open_account(session, "acme", at=START)
        ledger.grant_credits(session, "acme", 10, at=START)
