"""Grants: issuing credits to an account, and what is left of each lot."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy.orm import Session

from ledger.commands import GrantCredits
from ledger.values import Grant
from ledger.verbs import carry_out


def grant_credits(
    session: Session,
    account_id: str,
    amount: Decimal | int,
    *,
    key: str | None = None,
    priority: int = 100,
    expires_at: datetime | None = None,
    at: datetime | None = None,
) -> Grant:
    """Issue credits to an account, available at once.

    Grants burn in order of priority (lower first), then expiry (earliest first, none last), then age. From
    `expires_at` on, what is still available of a grant is expired. Raises `CommandInvalid`, `IdempotencyConflict`,
    `AccountNotFound`.
    """
    return carry_out(session, GrantCredits(account_id, amount, key, priority, expires_at, at), Grant)
