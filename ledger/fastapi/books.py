"""An account's balance, statement and reservations as JSON: what the routes of the book do in their transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from estimator.credits import number
from ledger.accounts import get_balance, require_account
from ledger.documents import moment_text
from ledger.errors import ReservationNotFound
from ledger.model.ids import parse_reservation_id
from ledger.model.values import Balance, Entry, Reservation
from ledger.reservations import get_reservation, list_reservations
from ledger.statements import get_statement

_BUCKETS = ("available", "held", "consumed", "expired", "revoked", "scheduled", "owed", "issued")


def describe_balance(session: Session, account_id: str, at: datetime | None) -> dict[str, Any]:
    """The account's credits by bucket at a moment. Raises `AccountNotFound`."""
    balance = get_balance(session, account_id, at=at)
    return {"account_id": account_id, "at": moment_text(balance.at)} | _buckets(balance)


def describe_statement(
    session: Session, account_id: str, since: datetime | None, until: datetime | None, after: int, limit: int
) -> dict[str, Any]:
    """One page of an account's entries, between the balance before and after it. Raises `AccountNotFound`."""
    page = get_statement(session, account_id, since=since, until=until, after=after, limit=limit)
    return {
        "account_id": account_id,
        "since": None if since is None else moment_text(since),
        "until": moment_text(page.until),
        "opening": _buckets(page.opening),
        "entries": [_entry(entry) for entry in page.entries],
        "closing": _buckets(page.closing),
        "next_after": page.entries[-1].sequence if len(page.entries) == limit else None,
    }


def describe_reservations(
    session: Session, account_id: str, state: str | None, after: str | None, limit: int
) -> dict[str, Any]:
    """One page of an account's holds, oldest first. Raises `AccountNotFound`, `ReservationNotFound`."""
    if after is not None:
        _require_own(after, account_id)
    found = list_reservations(session, account_id, state=state, after=after, limit=limit)
    return {
        "account_id": account_id,
        "reservations": [_reservation(reservation) for reservation in found],
        "next_after": found[-1].reservation_id if len(found) == limit else None,
    }


def describe_reservation(session: Session, account_id: str, reservation_id: str) -> dict[str, Any]:
    """One hold of the account. Raises `ReservationNotFound`, for another account's as for one that never was."""
    require_account(session, account_id)
    _require_own(reservation_id, account_id)
    return _reservation(get_reservation(session, reservation_id))


def _require_own(reservation_id: str, account_id: str) -> None:
    if parse_reservation_id(reservation_id)[0] != account_id:
        raise ReservationNotFound(reservation_id)


def _buckets(balance: Balance) -> dict[str, Any]:
    return {name: number(getattr(balance, name)) for name in _BUCKETS}


def _entry(entry: Entry) -> dict[str, Any]:
    """An entry without its details, which are the operator's own."""
    return {
        "sequence": entry.sequence,
        "kind": entry.kind.value,
        "at": moment_text(entry.at),
        "recorded_at": moment_text(entry.recorded_at),
        "key": entry.key,
        "reservation_id": entry.reservation_id,
        "transfers": [
            {
                "grant_id": transfer.grant_id,
                "source": transfer.source.value,
                "target": transfer.target.value,
                "amount": number(transfer.amount),
            }
            for transfer in entry.transfers
        ],
        "balance": _buckets(entry.balance),
        "hash": entry.hash,
    }


def _reservation(reservation: Reservation) -> dict[str, Any]:
    expires_at = reservation.expires_at
    return {
        "reservation_id": reservation.reservation_id,
        "account_id": reservation.account_id,
        "state": reservation.state.value,
        "amount": number(reservation.amount),
        "captured": number(reservation.captured),
        "freed": number(reservation.freed),
        "refunded": number(reservation.refunded),
        "reserved_at": moment_text(reservation.reserved_at),
        "expires_at": None if expires_at is None else moment_text(expires_at),
        "dataset_id": reservation.dataset_id,
        "run_id": reservation.run_id,
        "slices": [{"grant_id": part.grant_id, "amount": number(part.amount)} for part in reservation.slices],
    }
