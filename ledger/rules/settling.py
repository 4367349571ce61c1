"""The end of a hold: part of it is consumed, the rest is freed, and one entry records both.

    reservation   held ──capture──> captured      (what the capture leaves is freed, or stays held)
                   ├───release──> released
                   └───moment of expiry, and grace──> expired

Freed credits return to their grants. Those of a grant that has lapsed meanwhile are expired, those of a revoked grant
are revoked, and those that the credit line lent go back to it.
"""

from __future__ import annotations

from typing import Any

from ledger.book.buckets import AVAILABLE, CONSUMED, HELD
from ledger.book.lifecycle import STATE_AFTER
from ledger.book.postings import Binding, PostedTransfer, Posting
from ledger.book.states import AccountState, Hold
from ledger.model.values import EntryKind


def close_hold(
    state: AccountState,
    hold: Hold,
    kind: EntryKind,
    captured: int,
    at: int,
    now: int,
    binding: Binding = None,
    details: dict[str, Any] | None = None,
    extra: list[PostedTransfer] | None = None,
) -> Posting:
    """End a hold: consume `captured` of it in burn order and free the rest. Refuses nothing.

    `captured` is at most what is held. `extra` are transfers of credits that the hold did not hold.
    """
    transfers = consume(hold, captured) + free(state, hold, at) + (extra or [])
    has_history = hold.captured > captured or hold.extra or hold.refunded
    hold.state = STATE_AFTER[kind]
    count_settled(state, hold, hold.freed)
    if hold.dataset_id is not None:
        state.active.pop(hold.dataset_id, None)
    said = life_of(hold)
    if has_history:
        said |= totals_of(hold)
    return state.post(
        kind,
        at=at,
        recorded_at=now,
        details=said | (details or {}),
        transfers=transfers,
        reservation=hold.number,
        binding=binding,
    )


def consume(hold: Hold, amount: int) -> list[PostedTransfer]:
    """Consume an amount that is held, first slice first."""
    transfers: list[PostedTransfer] = []
    hold.captured += amount
    hold.is_changed = True
    for part in hold.slices:
        taken = min(part[1], amount)
        if taken:
            amount -= taken
            part[1] -= taken
            part[2] += taken
            transfers.append((part[0], HELD, CONSUMED, taken))
    return transfers


def free(state: AccountState, hold: Hold, at: int) -> list[PostedTransfer]:
    """Free all that is still held."""
    transfers: list[PostedTransfer] = []
    for part in hold.slices:
        if part[1]:
            grant = state.grants[part[0]]
            target = grant.place_of_freed(at)
            transfers.append((part[0], HELD, target, part[1]))
            hold.freed += part[1]
            part[1] = 0
            if target == AVAILABLE:
                state.due_from(grant.expires_at)
    hold.is_changed = True
    return transfers


def count_settled(state: AccountState, hold: Hold, freed: int) -> None:
    """Subtract what a hold freed from the limits that counted it, and one from their open holds."""
    for number, value, window in hold.counted or ():
        usage = state.usage_of((number, value, window))
        usage.spent -= freed
        usage.holds -= 1
        usage.is_changed = True


def count_spent(state: AccountState, hold: Hold, amount: int) -> None:
    """Count an amount consumed above the hold against the hold's limits; an amount below 0 was refunded."""
    for number, value, window in hold.counted or ():
        usage = state.usage_of((number, value, window))
        usage.spent += amount
        usage.is_changed = True


def life_of(hold: Hold) -> dict[str, Any]:
    """The details that every entry of a hold's life has."""
    said: dict[str, Any] = {
        "amount": hold.amount,
        "reserved_at": hold.reserved_at,
        "expires_at": hold.expires_at,
    }
    if hold.grace:
        said["grace"] = hold.grace
    if hold.dataset_id is not None:
        said |= {"dataset_id": hold.dataset_id, "started_ms": hold.started_ms}
    return said


def totals_of(hold: Hold) -> dict[str, Any]:
    """The hold's state and totals, for entries whose own transfers do not tell them."""
    return {
        "state": str(hold.state),
        "captured": hold.captured + hold.extra,
        "freed": hold.freed,
        "refunded": hold.refunded,
    }
