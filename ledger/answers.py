"""From an entry to the value that its command answers: the same function for a first answer and for its replay."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from estimator import RunResponse
from estimator.credits import from_micro
from ledger.commands import format_grant_id, format_reservation_id, format_run_id
from ledger.instants import from_instant, from_optional
from ledger.states import AVAILABLE, CONSUMED, EXPIRED, HELD, Posting
from ledger.values import (
    Balance,
    EntryKind,
    Expiry,
    Grant,
    Launch,
    Reservation,
    ReservationState,
    Result,
    RunSettlement,
    Slice,
)

_STATE_AFTER = {
    EntryKind.RESERVE.value: ReservationState.HELD,
    EntryKind.CAPTURE.value: ReservationState.CAPTURED,
    EntryKind.RELEASE.value: ReservationState.RELEASED,
    EntryKind.EXPIRE.value: ReservationState.EXPIRED,
}


def moved(posting: Posting, *targets: int) -> int:
    """Micro-credits that an entry moved into the given buckets."""
    return sum(amount for _, _, target, amount in posting.moves if target in targets)


def answer(posting: Posting, *, replayed: bool) -> Result:
    """The value that the command behind an entry answers."""
    details = posting.parsed_details()
    if posting.kind == EntryKind.GRANT:
        return _grant(posting, details, replayed)
    if "outcome" in details:
        return _settlement(posting, details, replayed)
    if "response" in details:
        return _launch(posting, details, replayed)
    return reservation(posting, details, replayed=replayed)


def _grant(posting: Posting, details: dict[str, Any], replayed: bool) -> Grant:
    return Grant(
        grant_id=format_grant_id(posting.account_id, posting.sequence),
        account_id=posting.account_id,
        amount=from_micro(moved(posting, AVAILABLE)),
        priority=details["priority"],
        expires_at=from_optional(details["expires_at"]),
        granted_at=from_instant(posting.at),
        replayed=replayed,
    )


def reservation(posting: Posting, details: dict[str, Any], *, replayed: bool) -> Reservation:
    """The reservation as an entry of its life left it."""
    number = posting.reservation
    if number is None:  # pragma: no cover - every entry of a reservation's life names it
        raise ValueError(f"entry {posting.sequence} of {posting.account_id!r} names no reservation")
    dataset_id, started_ms = details.get("dataset_id"), details.get("started_ms")
    held = posting.kind == EntryKind.RESERVE
    return Reservation(
        reservation_id=format_reservation_id(posting.account_id, number),
        account_id=posting.account_id,
        amount=from_micro(details["amount"]),
        state=_STATE_AFTER[posting.kind],
        captured=from_micro(moved(posting, CONSUMED)),
        freed=Decimal(0) if held else from_micro(moved(posting, AVAILABLE, EXPIRED)),
        reserved_at=from_instant(details.get("reserved_at", posting.at)),
        expires_at=from_optional(details["expires_at"]),
        slices=tuple(slices(posting)),
        dataset_id=dataset_id,
        run_id=None if dataset_id is None or started_ms is None else format_run_id(dataset_id, started_ms),
        replayed=replayed,
    )


def slices(posting: Posting) -> list[Slice]:
    """What an entry held, or took from its hold, by grant and in burn order."""
    amounts: dict[int, int] = {}
    for number, source, target, amount in posting.moves:
        if HELD in (source, target):
            amounts[number] = amounts.get(number, 0) + amount
    return [
        Slice(format_grant_id(posting.account_id, number), from_micro(amount)) for number, amount in amounts.items()
    ]


def _launch(posting: Posting, details: dict[str, Any], replayed: bool) -> Launch:
    return Launch(
        account_id=posting.account_id,
        dataset_id=details["dataset_id"],
        run_id=details["response"]["run_id"],
        reservation_id=format_reservation_id(posting.account_id, posting.sequence),
        response=RunResponse.from_wire(details["response"]),
        replayed=replayed,
    )


def _settlement(posting: Posting, details: dict[str, Any], replayed: bool) -> RunSettlement:
    return RunSettlement(
        run_id=format_run_id(details["dataset_id"], details["started_ms"]),
        reservation_id=format_reservation_id(posting.account_id, posting.reservation or 0),
        status=details["outcome"]["status"],
        captured=from_micro(moved(posting, CONSUMED)),
        freed=from_micro(moved(posting, AVAILABLE, EXPIRED)),
        line_items=tuple(details["line_items"]),
        replayed=replayed,
    )


def expiry(account_id: str, postings: Sequence[Posting]) -> Expiry:
    """What the entries that recorded lapses add up to."""
    holds = [p.reservation for p in postings if p.reservation is not None]
    grants = [number for p in postings if p.reservation is None for number, *_ in p.moves]
    return Expiry(
        account_id=account_id,
        reservations=tuple(format_reservation_id(account_id, number) for number in holds),
        grants=tuple(format_grant_id(account_id, number) for number in grants),
        freed=from_micro(sum(moved(p, AVAILABLE) for p in postings)),
        expired=from_micro(sum(moved(p, EXPIRED) for p in postings)),
    )


def balance(account_id: str, at: int, buckets: tuple[int, ...] | list[int]) -> Balance:
    """The public balance of six buckets in micro-credits."""
    _, *amounts = buckets
    available, held, consumed, expired, revoked = map(from_micro, amounts)
    return Balance(account_id, from_instant(at), available, held, consumed, expired, revoked)
