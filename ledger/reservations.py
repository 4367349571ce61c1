"""Reservations: holding credits, capturing or releasing a hold, recording what lapsed, and looking holds up."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from estimator.credits import from_micro
from ledger import journal
from ledger.accounts import require_account
from ledger.bulk import RowShape
from ledger.commands import (
    Capture,
    ExpireDue,
    Release,
    Reserve,
    format_grant_id,
    format_reservation_id,
    format_run_id,
    parse_reservation_id,
)
from ledger.errors import ReservationNotFound
from ledger.instants import clock, from_instant, from_optional, to_instant
from ledger.snapshots import read_moves
from ledger.tables import ReservationRow
from ledger.values import Expiry, Reservation, ReservationState, Slice
from ledger.verbs import carry_out


def reserve(
    session: Session,
    account_id: str,
    amount: Decimal | int,
    *,
    key: str | None = None,
    expires_in: timedelta | None = None,
    at: datetime | None = None,
) -> Reservation:
    """Hold credits of an account for work to come, for `expires_in` or until settled.

    Raises `CommandInvalid`, `IdempotencyConflict`, `AccountNotFound`, `InsufficientCredits`.
    """
    return carry_out(session, Reserve(account_id, amount, key, expires_in, at), Reservation)


def capture(
    session: Session,
    reservation_id: str,
    amount: Decimal | int | None = None,
    *,
    key: str | None = None,
    account_id: str = "",
    at: datetime | None = None,
) -> Reservation:
    """Consume part of a hold, or all of it when no amount is given, and free what is left.

    Give `account_id` to be sure that the reservation is that account's. Raises `CommandInvalid`,
    `IdempotencyConflict`, `ReservationNotFound`, `ReservationNotHeld`, `CaptureExceedsReservation`.
    """
    return carry_out(session, Capture(reservation_id, amount, key, account_id, at), Reservation)


def release(
    session: Session,
    reservation_id: str,
    *,
    key: str | None = None,
    account_id: str = "",
    at: datetime | None = None,
) -> Reservation:
    """Free all of a hold. Raises `IdempotencyConflict`, `ReservationNotFound`, `ReservationNotHeld`."""
    return carry_out(session, Release(reservation_id, key, account_id, at), Reservation)


def expire_due(
    session: Session, *, account_id: str | None = None, at: datetime | None = None, limit: int = 1000
) -> list[Expiry]:
    """Record what has lapsed by a moment, in one account or in up to `limit` accounts that have something due.

    Reads and writes see lapses whether or not this has run; running it keeps tables and reports up to date.
    Call it until it answers an empty list.
    """
    if account_id is not None:
        return [carry_out(session, ExpireDue(account_id, at), Expiry)]
    moment = clock() if at is None else to_instant(at)
    due = session.connection().execute(_DUE_ACCOUNTS, {"moment": moment, "limit": limit}).scalars().all()
    results = journal.execute(session, [ExpireDue(found, at) for found in sorted(due)])
    return [result for result in results if isinstance(result, Expiry)]


_DUE_ACCOUNTS = text(
    "SELECT account_id FROM ledger_account WHERE due_at IS NOT NULL AND due_at <= :moment ORDER BY due_at LIMIT :limit"
)


def get_reservation(session: Session, reservation_id: str, *, at: datetime | None = None) -> Reservation:
    """One reservation as it stands at a moment, now by default. Raises `ReservationNotFound`."""
    account_id, number = parse_reservation_id(reservation_id)
    found = _select(session, account_id, "t.number = :number", {"number": number}, at, 1)
    if not found:
        raise ReservationNotFound(reservation_id)
    return found[0]


def list_reservations(
    session: Session,
    account_id: str,
    *,
    state: ReservationState | str | None = None,
    at: datetime | None = None,
    after: str | None = None,
    limit: int = 100,
) -> list[Reservation]:
    """An account's reservations, oldest first, a page at a time: pass the last id as `after` for the next page.

    A hold past its expiry is listed as expired. Raises `AccountNotFound`.
    """
    require_account(session, account_id)
    number = parse_reservation_id(after)[1] if after else 0
    conditions, values = "t.number > :number", {"number": number}
    if state is not None:
        conditions += f" AND ({_CONDITIONS[ReservationState(state)]})"
    return _select(session, account_id, conditions, values, at, limit)


_IS_HELD = "t.state = 'held' AND (t.expires_at IS NULL OR t.expires_at > :moment)"
_CONDITIONS = {
    ReservationState.HELD: _IS_HELD,
    ReservationState.CAPTURED: "t.state = 'captured'",
    ReservationState.RELEASED: "t.state = 'released'",
    ReservationState.EXPIRED: "t.state = 'expired' OR (t.state = 'held' AND t.expires_at <= :moment)",
}


def _select(
    session: Session, account_id: str, conditions: str, values: dict[str, Any], at: datetime | None, limit: int
) -> list[Reservation]:
    moment = clock() if at is None else to_instant(at)
    connection = session.connection()
    columns = ", ".join(f"t.{name}" for name in RowShape.of(ReservationRow).columns)
    statement = text(
        f"SELECT {columns} FROM ledger_reservation t WHERE t.account_id = :account_id AND {conditions}"
        " ORDER BY t.number LIMIT :limit"
    )
    values = values | {"account_id": account_id, "limit": limit}
    rows = connection.execute(statement, values | ({"moment": moment} if ":moment" in conditions else {})).all()
    moves = read_moves(connection, [(row[0], row[1]) for row in rows])
    return [_reservation(row, moves.get((row[0], row[1]), []), moment) for row in rows]


def _reservation(row: Any, moves: list[Any], moment: int) -> Reservation:
    account_id, number, state, amount, captured, freed, reserved_at, expires_at, dataset_id, started_ms = row
    if state == ReservationState.HELD and expires_at is not None and expires_at <= moment:
        state, freed = ReservationState.EXPIRED, amount
    return Reservation(
        reservation_id=format_reservation_id(account_id, number),
        account_id=account_id,
        amount=from_micro(amount),
        state=ReservationState(state),
        captured=from_micro(captured),
        freed=from_micro(freed),
        reserved_at=from_instant(reserved_at),
        expires_at=from_optional(expires_at),
        slices=tuple(Slice(format_grant_id(account_id, grant), from_micro(part)) for grant, _, _, part in moves),
        dataset_id=dataset_id,
        run_id=None if dataset_id is None else format_run_id(dataset_id, started_ms),
    )
