"""From an entry to the value that its command answers. A first answer and its replay are made by one function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from estimator import RunResponse
from estimator.credits import from_micro
from ledger.book import answers
from ledger.book.buckets import AVAILABLE, BUCKETS, CONSUMED, EXPIRED, HELD, ISSUED, OWED, REVOKED
from ledger.book.burning import PAID
from ledger.book.lifecycle import STATE_AFTER, state_at
from ledger.book.postings import PostedTransfer, Posting
from ledger.book.states import Hold
from ledger.model.cycles import LimitPeriod, duration
from ledger.model.ids import format_grant_id, format_reservation_id, format_run_id
from ledger.model.moments import from_moment, from_optional
from ledger.model.values import (
    Adjustment,
    Balance,
    Bucket,
    CreditLine,
    Entry,
    EntryKind,
    Expiry,
    Grant,
    Launch,
    Limit,
    Reservation,
    ReservationState,
    Result,
    Revocation,
    RunSettlement,
    Slice,
    Transfer,
)


def moved(posting: Posting, *targets: int) -> int:
    """Micro-credits that an entry moved into the given buckets."""
    return sum([amount for _, _, target, amount in posting.transfers if target in targets])


def answer(posting: Posting, *, replayed: bool) -> Result:
    """The value that the command behind an entry answers."""
    details = posting.parsed_details()
    other = _OTHERS.get(posting.kind)
    if other is not None:
        return other(posting, details, replayed)
    if "outcome" in details:
        return _settlement(posting, details, replayed)
    if "response" in details:
        return _launch(posting, details, replayed)
    return reservation(posting, details, replayed=replayed)


def _grant(posting: Posting, details: dict[str, Any], replayed: bool) -> Grant:
    issued = sum(amount for _, source, _, amount in posting.transfers if source == ISSUED)
    return Grant(
        grant_id=format_grant_id(posting.account_id, posting.sequence),
        account_id=posting.account_id,
        amount=from_micro(issued),
        priority=details["priority"],
        expires_at=from_optional(details["expires_at"]),
        granted_at=from_moment(posting.at),
        replayed=replayed,
        kind=details.get("kind", PAID),
        effective_at=from_moment(details.get("effective_at", posting.at)),
        repaid=from_micro(moved(posting, CONSUMED)),
        cost_basis=details.get("cost_basis"),
        scope=details.get("scope"),
        external_ref=details.get("external_ref"),
        metadata=details.get("metadata"),
        recurrence=_recurrence(details.get("recurrence")),
    )


def _recurrence(terms: dict[str, Any] | None) -> dict[str, Any] | None:
    """The terms of a recurrence as a caller gives them."""
    if terms is None:
        return None
    amounts = {name: from_micro(terms[name]) for name in ("amount", "rollover_min", "rollover_max")}
    return {"every": terms["every"], "count": terms["count"], "anchor": from_moment(terms["anchor"])} | amounts


def _revocation(posting: Posting, details: dict[str, Any], replayed: bool) -> Revocation:
    return Revocation(
        account_id=posting.account_id,
        grant_id=format_grant_id(posting.account_id, details["grant"]),
        amount=from_micro(moved(posting, REVOKED)),
        grants=tuple(format_grant_id(posting.account_id, number) for number in details["grants"]),
        replayed=replayed,
    )


def _adjustment(posting: Posting, details: dict[str, Any], replayed: bool) -> Adjustment:
    is_added = details["amount"] > 0
    return Adjustment(
        account_id=posting.account_id,
        amount=from_micro(details["amount"]),
        reason=details["reason"],
        grant_id=format_grant_id(posting.account_id, posting.sequence) if is_added else None,
        slices=()
        if is_added
        else tuple(
            Slice(format_grant_id(posting.account_id, n), from_micro(part)) for n, _, _, part in posting.transfers
        ),
        replayed=replayed,
    )


def _credit_line(posting: Posting, details: dict[str, Any], replayed: bool) -> CreditLine:
    return credit_line(posting.account_id, details["limit"], posting.buckets[OWED], replayed=replayed)


def credit_line(account_id: str, limit: int, owed: int, *, replayed: bool = False) -> CreditLine:
    """The public value of a credit line, from micro-credits."""
    return CreditLine(account_id, from_micro(limit), from_micro(owed), from_micro(max(0, limit - owed)), replayed)


def _limit(posting: Posting, details: dict[str, Any], replayed: bool) -> Limit:
    said = (details["label"], details["value"], details["period"], details["maximum"])
    return limit(posting.account_id, *said, replayed=replayed)


def limit(
    account_id: str, label: str, value: str, period: str, maximum: int | None, *, replayed: bool = False
) -> Limit:
    """The public value of a limit. `maximum` is micro-credits, or a number of holds where the period is concurrent."""
    amount = None if maximum is None else limit_units(period, maximum)
    return Limit(account_id, label, value, period, amount, replayed)


def limit_units(period: str, amount: int) -> Decimal:
    """A figure of a limit as its public value has it: credits, or a number of holds."""
    return Decimal(amount) if period == LimitPeriod.CONCURRENT else from_micro(amount)


_OTHERS: dict[str, Callable[[Posting, dict[str, Any], bool], Result]] = {
    EntryKind.GRANT.value: _grant,
    EntryKind.REVOKE.value: _revocation,
    EntryKind.ADJUST.value: _adjustment,
    EntryKind.CREDIT_LINE.value: _credit_line,
    EntryKind.LIMIT.value: _limit,
}


def reservation(posting: Posting, details: dict[str, Any], *, replayed: bool) -> Reservation:
    """The reservation as one entry of its hold left it."""
    number = posting.reservation
    if number is None:  # pragma: no cover - every entry of a reservation's life names it
        raise ValueError(f"entry {posting.sequence} of {posting.account_id!r} names no reservation")
    state = details.get("state")
    applied, captured, freed = _figures(posting)
    return _reservation(
        posting.account_id,
        number,
        details["amount"],
        ReservationState(state) if state else STATE_AFTER[posting.kind],
        details.get("captured", captured),
        details.get("freed", freed),
        details.get("reserved_at", posting.at),
        details["expires_at"],
        slices(posting),
        details.get("dataset_id"),
        details.get("started_ms"),
        details.get("grace", 0),
        details.get("refunded", 0),
        replayed,
        applied,
        details.get("rows"),
    )


def standing_hold(account_id: str, hold: Hold, drawn: Sequence[PostedTransfer], moment: int) -> Reservation:
    """The reservation of a hold at a moment. `drawn` are the transfers that reserved it."""
    state = state_at(hold.state, hold.lapses_at, moment)
    return _reservation(
        account_id,
        hold.number,
        hold.amount,
        state,
        hold.captured + hold.extra,
        hold.freed if state == hold.state else hold.held,
        hold.reserved_at,
        hold.expires_at,
        [Slice(format_grant_id(account_id, grant), from_micro(part)) for grant, _, _, part in drawn],
        hold.dataset_id,
        hold.started_ms,
        hold.grace,
        hold.refunded,
    )


def _reservation(
    account_id: str,
    number: int,
    amount: int,
    state: ReservationState,
    captured: int,
    freed: int,
    reserved_at: int,
    expires_at: int | None,
    parts: Sequence[Slice],
    dataset_id: str | None,
    started_ms: int | None,
    grace: int,
    refunded: int,
    replayed: bool = False,
    applied: int = 0,
    rows: int | None = None,
) -> Reservation:
    """A `Reservation` from micro-credits and microseconds. No other function makes one."""
    # By position, because matching sixteen names takes longer than making the values.
    return Reservation(
        format_reservation_id(account_id, number),
        account_id,
        from_micro(amount),
        state,
        from_micro(captured),
        from_micro(freed),
        from_moment(reserved_at),
        from_optional(expires_at),
        tuple(parts),
        dataset_id,
        None if dataset_id is None or started_ms is None else format_run_id(dataset_id, started_ms),
        replayed,
        from_micro(refunded),
        from_micro(applied),
        duration(grace) if grace else _NO_GRACE,
        rows,
    )


_NO_GRACE = duration(0)


def _figures(posting: Posting) -> tuple[int, int, int]:
    """Micro-credits that an entry of a hold applied, captured and freed."""
    if posting.kind == EntryKind.RESERVE:
        return moved(posting, HELD), 0, 0
    captured = moved(posting, CONSUMED)
    freed = sum(amount for _, source, target, amount in posting.transfers if source == HELD and target != CONSUMED)
    if posting.kind == EntryKind.REFUND:
        return sum(move[3] for move in posting.transfers), 0, 0
    return captured if posting.kind == EntryKind.CAPTURE else freed, captured, freed


def slices(posting: Posting) -> list[Slice]:
    """What an entry held, or took from its hold: one slice a grant, in burn order."""
    account_id, transfers = posting.account_id, posting.transfers
    if len(transfers) == 1:
        ((number, source, target, amount),) = transfers
        return [Slice(format_grant_id(account_id, number), from_micro(amount))] if HELD in (source, target) else []
    amounts: dict[int, int] = {}
    for number, source, target, amount in transfers:
        if target == HELD or source == HELD:
            amounts[number] = amounts.get(number, 0) + amount
    return [Slice(format_grant_id(account_id, number), from_micro(amount)) for number, amount in amounts.items()]


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
        captured=from_micro(_figures(posting)[1]),
        freed=from_micro(_figures(posting)[2]),
        line_items=tuple(details["line_items"]),
        replayed=replayed,
    )


def expiry(account_id: str, postings: Sequence[Posting]) -> Expiry:
    """The sum of the entries that recorded what had come due."""
    holds = [p.reservation for p in postings if p.reservation is not None]
    grants = [
        number for p in postings if p.kind == EntryKind.EXPIRE and p.reservation is None for number, *_ in p.transfers
    ]
    return Expiry(
        account_id=account_id,
        reservations=tuple(format_reservation_id(account_id, number) for number in holds),
        grants=tuple(format_grant_id(account_id, number) for number in grants),
        freed=from_micro(sum(moved(p, AVAILABLE) for p in postings if p.reservation is not None)),
        expired=from_micro(sum(moved(p, EXPIRED) for p in postings)),
    )


def balance(account_id: str, at: int, buckets: tuple[int, ...] | list[int]) -> Balance:
    """The public balance of an account's figures in micro-credits, in the order of `buckets.BALANCES`."""
    _, *amounts = buckets
    available, held, consumed, expired, revoked, scheduled, owed = map(from_micro, amounts)
    return Balance(account_id, from_moment(at), available, held, consumed, expired, revoked, scheduled, owed)


def to_entry(posting: Posting) -> Entry:
    """The public value of a posting."""
    number = posting.reservation
    return Entry(
        account_id=posting.account_id,
        sequence=posting.sequence,
        kind=EntryKind(posting.kind),
        at=from_moment(posting.at),
        recorded_at=from_moment(posting.recorded_at),
        key=posting.key,
        reservation_id=None if number is None else format_reservation_id(posting.account_id, number),
        details=posting.parsed_details(),
        transfers=tuple(
            Transfer(
                format_grant_id(posting.account_id, grant),
                Bucket(BUCKETS[source]),
                Bucket(BUCKETS[target]),
                from_micro(amount),
            )
            for grant, source, target, amount in posting.transfers
        ),
        balance=answers.balance(posting.account_id, posting.at, posting.buckets),
        hash=posting.hash.hex(),
    )
