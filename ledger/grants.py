"""Grants: issuing credits to an account, once or every period, and taking back what is left of them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from estimator.credits import from_micro
from ledger.book.states import GrantState
from ledger.clock import clock
from ledger.commands import Adjust, CostBasis, GrantCredits, GrantKind, Recurrence, RevokeGrant
from ledger.model.ids import format_grant_id
from ledger.model.moments import from_moment, from_optional, to_moment
from ledger.model.values import Adjustment, Grant, GrantStanding, Revocation
from ledger.schema.tables import GrantRow
from ledger.storage.journal import carry_out
from ledger.storage.present import read_present
from ledger.storage.rows import grant_of
from ledger.storage.sessions import connection_of
from ledger.storage.shapes import RowShape


def grant_credits(
    session: Session,
    account_id: str,
    amount: Decimal | int,
    *,
    key: str | None = None,
    priority: int = 100,
    expires_at: datetime | None = None,
    at: datetime | None = None,
    kind: GrantKind | str = GrantKind.PAID,
    effective_at: datetime | None = None,
    cost_basis: CostBasis | None = None,
    scope: dict[str, list[str]] | None = None,
    external_ref: str | None = None,
    metadata: dict[str, Any] | None = None,
    recurrence: Recurrence | None = None,
) -> Grant:
    """Issue credits to an account, available at once or from `effective_at` on.

    Grants burn in a total order: lowest priority, earliest expiry (none last), promotional before paid, earliest
    effect, oldest. From `expires_at` on, what is still available of a grant is expired. A grant with a `scope`
    (label -> values) pays only for holds that have, for each of its labels, one of its values. With a `recurrence`
    the amount comes again every period, and `expires_at` is when that ends. What a credit line has lent is repaid
    first. Raises `CommandInvalid`, `IdempotencyConflict`, `AccountNotFound`.
    """
    command = GrantCredits(
        account_id, amount, key, priority, expires_at, at, kind, effective_at, cost_basis, scope, external_ref,
        metadata, recurrence,
    )  # fmt: skip
    return carry_out(session, command, Grant)


def revoke_grant(
    session: Session,
    grant_id: str,
    *,
    key: str | None = None,
    reason: str | None = None,
    account_id: str = "",
    at: datetime | None = None,
) -> Revocation:
    """Take back what is left of a grant, now and when holds free more of it; of a recurring one, of all its lots.

    Holds stay good. Give `account_id` to be sure that the grant is that account's. Raises `CommandInvalid`,
    `IdempotencyConflict`, `GrantNotFound`, `GrantEnded`.
    """
    return carry_out(session, RevokeGrant(grant_id, key, reason, account_id, at), Revocation)


def adjust(
    session: Session,
    account_id: str,
    amount: Decimal | int,
    *,
    reason: str,
    key: str | None = None,
    at: datetime | None = None,
) -> Adjustment:
    """Correct a balance: above 0 grants promotional credits that never expire, below 0 consumes available ones.

    The credit line lends nothing for it. Raises `CommandInvalid`, `IdempotencyConflict`, `AccountNotFound`,
    `InsufficientCredits`.
    """
    return carry_out(session, Adjust(account_id, amount, reason, key, at), Adjustment)


def list_grants(
    session: Session, account_id: str, *, at: datetime | None = None, ended: bool = False
) -> list[GrantStanding]:
    """Where the credits of an account's live grants are now, or will be at a moment to come, oldest grant first.

    Live is a grant with credits available, held or scheduled, the credit line, and what recurs; with `ended`, the
    others too. Raises `AccountNotFound`.
    """
    moment = clock() if at is None else to_moment(at)
    state = read_present(session, account_id, moment, grants=True)
    grants = dict(state.grants)
    if ended:
        for row in connection_of(session).execute(_ALL, {"account_id": account_id}):
            grants.setdefault(row[1], grant_of(row))
    return [_standing(account_id, grants[number]) for number in sorted(grants)]


_ALL = text(f"SELECT {', '.join(RowShape.of(GrantRow).columns)} FROM ledger_grant WHERE account_id = :account_id")


def _standing(account_id: str, grant: GrantState) -> GrantStanding:
    return GrantStanding(
        format_grant_id(account_id, grant.number),
        account_id,
        grant.kind,
        grant.priority,
        from_moment(grant.effective_at),
        from_optional(grant.expires_at),
        from_optional(grant.revoked_at),
        grant.scope,
        None if grant.allowance is None else format_grant_id(account_id, grant.allowance),
        *map(from_micro, grant.buckets),
    )
