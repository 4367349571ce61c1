"""Reservations: hold credits, capture or release a hold, record what lapsed, look holds up."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy.orm import Session

from estimator import RateCard, RunPlan
from ledger.book import answers
from ledger.clock import clock
from ledger.commands import Capture, ExpireDue, Extend, OverCapture, Refund, Release, Reserve
from ledger.errors import CommandInvalid, ReservationNotFound
from ledger.model.checks import check_limit
from ledger.model.ids import parse_reservation_id
from ledger.model.moments import MOMENT_MIN, to_moment
from ledger.model.values import Expiry, Reservation, ReservationState
from ledger.schema.tables import ReservationRow
from ledger.storage import journal
from ledger.storage.history import read_transfers, require_account
from ledger.storage.journal import carry_out
from ledger.storage.rows import reservation_of
from ledger.storage.sessions import connection_of, connection_to_all
from ledger.storage.shapes import RowShape
from ledger.storage.stores import fetch


def reserve(
    session: Session,
    account_id: str,
    amount: Decimal | int,
    *,
    key: str | None = None,
    expires_in: timedelta | None = None,
    at: datetime | None = None,
    grace: timedelta | None = None,
    labels: dict[str, str] | None = None,
    at_most: bool = False,
    plan: RunPlan | None = None,
    card: RateCard | None = None,
) -> Reservation:
    """Hold credits of an account for later work, for `expires_in` or until the hold is captured or released.

    `grace`: how long after its expiry the hold may still be captured or released. `labels` (such as project, API
    key, dataset): what spend limits count by and what scopes of grants look at. `at_most`: hold what there is, up to
    the amount. `Reservation.amount` says how much that is, and with `plan` and `card`, `Reservation.rows` says how many
    rows it pays.
    Raises `CommandInvalid`, `IdempotencyConflict`, `AccountNotFound`, `LimitExceeded`, `InsufficientCredits`.
    """
    command = Reserve(account_id, amount, key, expires_in, at, grace, labels, at_most, plan, card)
    return carry_out(session, command, Reservation)


def capture(
    session: Session,
    reservation_id: str,
    amount: Decimal | int | None = None,
    *,
    key: str | None = None,
    account_id: str = "",
    at: datetime | None = None,
    final: bool = True,
    over: OverCapture | str = OverCapture.REJECT,
) -> Reservation:
    """Consume part of a hold, or all of it when no amount is given, and free what is left.

    With `final=False` the rest stays held, for further captures. `over` says what happens to an amount above what is
    held: `reject` refuses the capture, `if_available` takes as much of the excess as is available, `credit_line` takes
    all of it and borrows if necessary. With `account_id` the reservation must be that account's. Raises
    `CommandInvalid`, `IdempotencyConflict`, `ReservationNotFound`, `ReservationNotHeld`, `CaptureExceedsReservation`,
    `InsufficientCredits`.
    """
    return carry_out(session, Capture(reservation_id, amount, key, account_id, at, final, over), Reservation)


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


def extend(
    session: Session,
    reservation_id: str,
    by: timedelta,
    *,
    key: str | None = None,
    account_id: str = "",
    at: datetime | None = None,
) -> Reservation:
    """Let a hold last longer by a duration. A hold in its grace has expired and cannot be extended.

    Raises `CommandInvalid`, `IdempotencyConflict`, `ReservationNotFound`, `ReservationNotHeld`.
    """
    return carry_out(session, Extend(reservation_id, by, key, account_id, at), Reservation)


def refund(
    session: Session,
    reservation_id: str,
    amount: Decimal | int | None = None,
    *,
    key: str | None = None,
    reason: str | None = None,
    account_id: str = "",
    at: datetime | None = None,
) -> Reservation:
    """Give captured credits back to the grants that they came from, last consumed first; without `amount`, all of them.

    Credits of a grant that has lapsed since are expired, those of a revoked grant are revoked. Credits that the credit
    line lent reduce what is owed. Raises `CommandInvalid`, `IdempotencyConflict`, `ReservationNotFound`,
    `RefundExceedsCapture`.
    """
    return carry_out(session, Refund(reservation_id, amount, key, reason, account_id, at), Reservation)


def expire_due(
    session: Session, *, account_id: str | None = None, at: datetime | None = None, limit: int = 1000
) -> list[Expiry]:
    """Record what has come due by a moment, in one account or in up to `limit` accounts that have something due.

    That is: holds and grants that lapse, grants that take effect, and periods of recurring grants that begin. Reads
    and writes count these whether or not they are recorded; recording them keeps the tables up to date for reports.
    Of all accounts, those that another transaction has locked are passed over. The accounts that it takes are locked
    until you commit: give a small `limit`, or call `ledger.sweep(engine)`, which commits as it goes. Call it until it
    answers an empty list. Raises `CommandInvalid`.
    """
    check_limit(limit)
    if account_id is not None:
        return [carry_out(session, ExpireDue(account_id, at), Expiry)]
    moment = clock() if at is None else to_moment(at)
    connection = connection_to_all(session)
    found: list[Expiry] = []
    place = (MOMENT_MIN, "")
    while len(found) < limit and (due := fetch(connection, _DUE_AFTER, moment, *place, limit - len(found))):
        found += journal.expire(session, sorted(account_id for _, account_id in due), at)
        place = due[-1]
    return found


_DUE_AFTER = (
    "SELECT due_at, account_id FROM ledger_account WHERE due_at IS NOT NULL AND due_at <= $1"
    " AND (due_at, account_id) > ($2, $3) ORDER BY due_at, account_id LIMIT $4"
)


def get_reservation(session: Session, reservation_id: str, *, at: datetime | None = None) -> Reservation:
    """One reservation at a moment, now by default. Raises `ReservationNotFound`."""
    account_id, number = parse_reservation_id(reservation_id)
    found = _select(session, account_id, "t.number = $3", number, at, 1)
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

    A hold that has lapsed by `at` is listed as expired. Raises `AccountNotFound`, `CommandInvalid`.
    """
    check_limit(limit)
    chosen = None if state is None else _state_of(state)
    number = _number_after(account_id, after)
    require_account(session, account_id)
    conditions = "t.number > $3"
    if chosen is not None:
        conditions += f" AND ({_CONDITIONS[chosen]})"
    return _select(session, account_id, conditions, number, at, limit)


def _state_of(state: ReservationState | str) -> ReservationState:
    try:
        return ReservationState(state)
    except ValueError:
        raise CommandInvalid("state", f"is {state!r}; give one of {', '.join(ReservationState)}.") from None


def _number_after(account_id: str, after: object) -> int:
    """The number of the reservation with which the page before ended; 0 for the first page."""
    if after is None:
        return 0
    try:
        owner, number = parse_reservation_id(after)  # type: ignore[arg-type]  # it refuses what is no text
    except ReservationNotFound:
        raise CommandInvalid(
            "after", f"is {after!r}, which is no reservation's id. Give the last one listed."
        ) from None
    if owner != account_id:
        raise CommandInvalid("after", f"is a reservation of {owner!r}. Give the last one listed of {account_id!r}.")
    return number


_IS_HELD = "t.state = 'held' AND (t.lapses_at IS NULL OR t.lapses_at > $4)"
_CONDITIONS = {
    ReservationState.HELD: _IS_HELD,
    ReservationState.CAPTURED: "t.state = 'captured'",
    ReservationState.RELEASED: "t.state = 'released'",
    ReservationState.EXPIRED: "t.state = 'expired' OR (t.state = 'held' AND t.lapses_at <= $4)",
}


def _select(
    session: Session, account_id: str, conditions: str, number: int, at: datetime | None, limit: int
) -> list[Reservation]:
    moment = clock() if at is None else to_moment(at)
    connection = connection_of(session)
    columns = ", ".join(f"t.{name}" for name in RowShape.of(ReservationRow).columns)
    statement = (
        f"SELECT {columns} FROM ledger_reservation t WHERE t.account_id = $1 AND {conditions}"
        " ORDER BY t.number LIMIT $2"
    )
    values = (account_id, limit, number, moment) if "$4" in conditions else (account_id, limit, number)
    rows = fetch(connection, statement, *values)
    transfers = read_transfers(connection, [(row[0], row[1]) for row in rows])
    return [
        answers.standing_hold(row[0], reservation_of(row[1:]), transfers.get((row[0], row[1]), []), moment)
        for row in rows
    ]
