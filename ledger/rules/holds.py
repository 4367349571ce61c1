"""Rules of holds: reserve, capture, release, extend, refund."""

from __future__ import annotations

from typing import Any

from estimator import affordable_rows
from estimator.credits import from_micro
from ledger.book.buckets import AVAILABLE, CONSUMED, HELD, ISSUED
from ledger.book.burning import CREDIT_LINE
from ledger.book.postings import Binding, PostedTransfer, Posting
from ledger.book.states import AccountState, Hold
from ledger.commands import Capture, Extend, OverCapture, Refund, Release, Reserve
from ledger.errors import (
    CaptureExceedsReservation,
    CommandInvalid,
    RefundExceedsCapture,
    ReservationNotFound,
    ReservationNotHeld,
)
from ledger.model.ids import format_run_id
from ledger.model.moments import MOMENT_MAX
from ledger.model.values import EntryKind, ReservationState
from ledger.rules.limits import check_limits, count_hold, left_of_limits, matching
from ledger.rules.settling import close_hold, consume, count_spent, life_of, totals_of
from ledger.rules.spending import NO_LABELS, check_spendable, draw, spendable, transfers_of


def reserve(state: AccountState, command: Reserve, at: int, now: int, binding: Binding) -> Posting:
    """Hold the amount or refuse; with `at_most`, hold what there is up to the amount."""
    amount = command.amount_micro
    labels = command.labels or NO_LABELS
    expires_at = lapse_of(command.expires_micros, command.grace_micros, at)
    details: dict[str, Any] = {"amount": amount, "expires_at": expires_at}
    if command.at_most:
        amount = min(amount, spendable(state, labels), left_of_limits(state, labels, at))
        details = {"amount": amount, "expires_at": expires_at, "requested": command.amount_micro}
        if command.plan is not None and command.card is not None:
            details["rows"] = affordable_rows(command.plan, command.card, from_micro(amount))
    check_limits(state, labels, amount, at)
    if not command.at_most:
        check_spendable(state, amount, labels)
    # From here on the command must succeed.
    return hold_credits(
        state, amount, at, now, details, binding, labels, kept=command.labels, grace=command.grace_micros
    )


def lapse_of(expires_micros: int | None, grace_micros: int, at: int) -> int | None:
    """The moment at which a hold made at `at` expires; None for never. Raises `CommandInvalid` after the year 9999."""
    if expires_micros is None:
        return None
    if at + expires_micros + grace_micros > MOMENT_MAX:
        raise CommandInvalid("expires_in", "would end the hold after the year 9999. Give a shorter one.")
    return at + expires_micros


def hold_credits(
    state: AccountState,
    amount: int,
    at: int,
    now: int,
    details: dict[str, Any],
    binding: Binding,
    labels: dict[str, str],
    *,
    kept: dict[str, str] | None,
    grace: int = 0,
) -> Posting:
    """Move an amount to `held`, slice by slice in burn order, and count it against its limits. Refuses nothing.

    The caller has checked that the amount can be spent. `labels` are all labels of the hold, which limits and scopes
    look at; `kept` are those that the caller gave, which are stored.
    """
    slices = draw(state, amount, labels)
    number = state.sequence + 1
    parts = [[grant, part, 0] for grant, part in slices]
    hold = Hold(
        number, amount, ReservationState.HELD, 0, 0, at, details["expires_at"], parts,
        details.get("dataset_id"), details.get("started_ms"), grace, is_new=True,
    )  # fmt: skip
    if grace:
        details["grace"] = grace
    if kept:
        hold.labels = details["labels"] = kept
    if limits := matching(state, labels, at):
        hold.counted = details["counted"] = count_hold(state, limits, amount)
    state.holds[number] = hold
    state.due_from(hold.lapses_at)
    return state.post(
        EntryKind.RESERVE,
        at=at,
        recorded_at=now,
        details=details,
        transfers=transfers_of(state, slices, HELD),
        reservation=number,
        binding=binding,
    )


def capture(state: AccountState, command: Capture, at: int, now: int, binding: Binding) -> Posting:
    """Consume part of a hold, all of it, or more than it, as far as the command's policy allows."""
    hold = held(state, command.number, command.reservation_id)
    amount = hold.held if command.amount_micro is None else command.amount_micro
    over = amount - hold.held
    extra: list[PostedTransfer] = []
    if over > 0:
        extra = _beyond(state, command, hold, over, amount)
        amount = hold.held
    # From here on the command must succeed.
    if command.final:
        details = {"requested": command.amount_micro} if over > 0 else None
        return close_hold(state, hold, EntryKind.CAPTURE, amount, at, now, binding, details, extra)
    transfers = consume(hold, amount) + extra
    return state.post(
        EntryKind.CAPTURE,
        at=at,
        recorded_at=now,
        details=life_of(hold) | {"final": False} | totals_of(hold),
        transfers=transfers,
        reservation=hold.number,
        binding=binding,
    )


def _beyond(state: AccountState, command: Capture, hold: Hold, over: int, amount: int) -> list[PostedTransfer]:
    """Consume what a capture asks for above its hold, from other credits of the account, as its policy allows."""
    if command.over == OverCapture.REJECT:
        raise CaptureExceedsReservation(command.reservation_id, from_micro(amount), from_micro(hold.held))
    labels = labels_of(hold)
    if command.over == OverCapture.IF_AVAILABLE:
        over = min(over, spendable(state, labels, lend=False))
    else:
        check_spendable(state, over, labels)
    # From here on the capture must succeed.
    slices = draw(state, over, labels)
    hold.extra += over
    hold.slices += [[number, 0, part] for number, part in slices]
    count_spent(state, hold, over)
    return transfers_of(state, slices, CONSUMED)


def labels_of(hold: Hold) -> dict[str, str]:
    """The labels of a hold: `dataset` and `run` where it pays a run, and those that the caller gave."""
    own = hold.labels or NO_LABELS
    if hold.dataset_id is None:
        return own
    return {"dataset": hold.dataset_id, "run": format_run_id(hold.dataset_id, hold.started_ms or 0)} | own


def release(state: AccountState, command: Release, at: int, now: int, binding: Binding) -> Posting:
    """Free all that is still held."""
    hold = held(state, command.number, command.reservation_id)
    # From here on the command must succeed.
    return close_hold(state, hold, EntryKind.RELEASE, 0, at, now, binding)


def extend(state: AccountState, command: Extend, at: int, now: int, binding: Binding) -> Posting:
    """Let a hold last longer, before it has expired."""
    hold = held(state, command.number, command.reservation_id)
    if hold.expires_at is None:
        raise CommandInvalid("by", "cannot be added: the hold never expires. There is nothing to extend.")
    if hold.expires_at <= at:
        raise ReservationNotHeld(command.reservation_id, ReservationState.EXPIRED)
    if hold.expires_at + command.by_micros + hold.grace > MOMENT_MAX:
        raise CommandInvalid("by", "would end the hold after the year 9999. Give a shorter one.")
    # From here on the command must succeed.
    hold.expires_at += command.by_micros
    hold.is_changed = True
    return state.post(
        EntryKind.EXTEND,
        at=at,
        recorded_at=now,
        details=life_of(hold) | totals_of(hold),
        transfers=[],
        reservation=hold.number,
        binding=binding,
    )


def refund(state: AccountState, command: Refund, at: int, now: int, binding: Binding) -> Posting:
    """Give captured credits back to the grants that they came from, last consumed first."""
    hold = state.holds.get(command.number)
    if hold is None:
        raise ReservationNotFound(command.reservation_id)
    refundable = hold.captured + hold.extra - hold.refunded
    amount = refundable if command.amount_micro is None else command.amount_micro
    if not refundable or amount > refundable:
        raise RefundExceedsCapture(command.reservation_id, from_micro(amount), from_micro(refundable))
    # From here on the command must succeed.
    hold.refunded += amount
    hold.is_changed = True
    transfers: list[PostedTransfer] = []
    stood_in: list[list[int]] = []
    left = amount
    for part in reversed(hold.slices):
        given = min(part[2], left)
        if given:
            left -= given
            part[2] -= given
            _give_back(state, part[0], given, at, transfers, stood_in)
    count_spent(state, hold, -amount)
    details = life_of(hold) | totals_of(hold)
    if stood_in:
        details["stood_in"] = stood_in
    if command.reason is not None:
        details["reason"] = command.reason
    return state.post(
        EntryKind.REFUND,
        at=at,
        recorded_at=now,
        details=details,
        transfers=transfers,
        reservation=hold.number,
        binding=binding,
    )


def _give_back(
    state: AccountState, number: int, amount: int, at: int, transfers: list[PostedTransfer], stood_in: list[list[int]]
) -> None:
    """Give one slice back to its grant.

    A slice of the credit line first reduces what is owed. The rest of it was repaid by later grants, and goes back to
    those, the latest first.
    """
    grant = state.grants[number]
    if grant.kind != CREDIT_LINE:
        transfers.append(_given(state, number, amount, at))
        return
    lent = grant.buckets[CONSUMED] - sum(move[3] for move in transfers if move[0] == number)
    if owed := min(amount, lent):
        transfers.append((number, CONSUMED, ISSUED, owed))
        amount -= owed
    for other in sorted(state.grants.values(), key=lambda other: -other.number):
        if part := min(amount, other.repaid):
            amount -= part
            other.repaid -= part
            other.is_retermed = True
            stood_in.append([other.number, part])
            transfers.append(_given(state, other.number, part, at))


def _given(state: AccountState, number: int, amount: int, at: int) -> PostedTransfer:
    grant = state.grants[number]
    target = grant.place_of_freed(at)
    if target == AVAILABLE:
        state.due_from(grant.expires_at)
    return (number, CONSUMED, target, amount)


def held(state: AccountState, number: int, name: str) -> Hold:
    """The hold that a command names. Raises `ReservationNotFound`, and `ReservationNotHeld` unless it is held."""
    hold = state.holds.get(number)
    if hold is None:
        raise ReservationNotFound(name)
    if hold.state != ReservationState.HELD:
        raise ReservationNotHeld(name, hold.state)
    return hold
