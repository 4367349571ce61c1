"""Grants: issue credits to an account, once or every period, take back what is left of them, list them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

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
from ledger.storage.stores import fetch


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
    (label -> values) pays only for holds that carry each of its labels with one of its values. With a `recurrence`
    the amount is granted again every period until `expires_at`. A grant without a scope first repays what the credit
    line has lent. Raises `CommandInvalid`, `IdempotencyConflict`, `AccountNotFound`.
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
    """Take back what is left of a grant; of a recurring grant, what is left of all its lots, and end the recurrence.

    Holds stay good; what they free later is taken back then. With `account_id` the grant must be that account's. Raises
    `CommandInvalid`, `IdempotencyConflict`, `GrantNotFound`, `GrantEnded`.
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
    """Correct a balance: an amount above 0 grants promotional credits that never expire, one below 0 consumes credits.

    It consumes available credits only: the credit line lends nothing for it. Raises `CommandInvalid`,
    `IdempotencyConflict`, `AccountNotFound`, `InsufficientCredits`.
    """
    return carry_out(session, Adjust(account_id, amount, reason, key, at), Adjustment)


def list_grants(
    session: Session, account_id: str, *, at: datetime | None = None, ended: bool = False
) -> list[GrantStanding]:
    """Where the credits of an account's live grants are now, or will be at a later moment, oldest grant first.

    Live are grants with credits available, held or scheduled, the credit line, and recurring grants. `ended` adds the
    others. Raises `AccountNotFound`.
    """
    moment = clock() if at is None else to_moment(at)
    state = read_present(session, account_id, moment, grants=True, entries=ended)
    grants = dict(state.grants)
    if ended:
        for row in fetch(connection_of(session), _ALL, account_id):
            grants.setdefault(row[1], grant_of(row))
    return [_standing(account_id, grants[number]) for number in sorted(grants) if ended or grants[number].is_live]


_ALL = f"SELECT {', '.join(RowShape.of(GrantRow).columns)} FROM ledger_grant WHERE account_id = $1"


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
