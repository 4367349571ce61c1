"""What comes due without a command: holds and grants that lapse, grants that take effect, periods that begin.

Each event becomes an entry at its own moment, in the order of time. At one and the same moment holds lapse first, then
grants lapse or are renewed, then scheduled grants take effect. So what a hold frees into a grant that lapses at that
moment expires with it.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Any

from ledger.book.buckets import AVAILABLE, EXPIRED, ISSUED, SCHEDULED
from ledger.book.lifecycle import is_due
from ledger.book.postings import PostedTransfer, Posting
from ledger.book.states import AccountState, GrantState
from ledger.model.cycles import Cycle
from ledger.model.values import EntryKind, ReservationState
from ledger.rules.settling import close_hold
from ledger.rules.skipping import skip_periods
from ledger.rules.spending import repayment

_HOLD_LAPSES, _GRANT_ENDS, _GRANT_TAKES_EFFECT = range(3)
Event = tuple[int, int, int]
"""A moment, what happens at it, and the number of the hold or grant to which it happens."""

Lots = dict[int | None, list[GrantState]]
"""The lots of each recurrence that have not ended. They are kept apart so that an account which slept for years is not
searched through for every period."""


def record_due(state: AccountState, at: int, now: int) -> list[Posting]:
    """Post an entry for everything that has come due by `at`, recorded at `now`. Answers the entries.

    In a sketch no entry is made, and periods in which nothing else happens are skipped.
    """
    if state.due_at is None or state.due_at > at:
        return []
    first = len(state.postings)
    events = [
        (hold.lapses_at, _HOLD_LAPSES, hold.number)
        for hold in state.holds.values()
        if hold.lapses_at is not None and is_due(hold.state, hold.lapses_at, at)
    ]
    events += [event for grant in state.grants.values() for event in _event_of(grant, at)]
    heapify(events)
    lots: Lots = {}
    for grant in state.grants.values():
        lots.setdefault(grant.allowance, []).append(grant)
    is_skippable = state.is_sketch and _is_of_one_recurrence(state, events)
    while events:
        due, happening, number = heappop(events)
        moment = max(due, state.at)  # an account's time never goes back
        if happening == _HOLD_LAPSES:
            close_hold(state, state.holds[number], EntryKind.EXPIRE, 0, moment, now)
            continue
        grant = state.grants[number]
        if happening == _GRANT_TAKES_EFFECT:
            changed = _take_effect(state, grant, moment, now)
        else:
            head = _head(lots, grant) if is_skippable else None
            is_renewal = head is not None and grant.expires_at == head.expires_at == due
            changed = skip_periods(state, lots[head.allowance], head, due, at) if head and is_renewal else []
            changed = changed or _end(state, lots, grant, due, moment, now)
        for again in changed:
            for event in _event_of(again, at):
                heappush(events, event)
    _forecast_due(state, at)
    return state.postings[first:]


def _event_of(grant: GrantState, at: int) -> list[Event]:
    """The next event of a grant, where it comes by `at`."""
    if grant.buckets[SCHEDULED]:
        return [(grant.effective_at, _GRANT_TAKES_EFFECT, grant.number)] if grant.effective_at <= at else []
    if grant.expires_at is not None and grant.expires_at <= at:
        return [(grant.expires_at, _GRANT_ENDS, grant.number)]
    return []


def _take_effect(state: AccountState, grant: GrantState, moment: int, now: int) -> list[GrantState]:
    amount = grant.buckets[SCHEDULED]
    transfers = [(grant.number, SCHEDULED, AVAILABLE, amount), *repayment(state, grant, amount)]
    state.post(EntryKind.ACTIVATE, at=moment, recorded_at=now, details={}, transfers=transfers)
    return [grant]


def _is_of_one_recurrence(state: AccountState, events: list[Event]) -> bool:
    """True where all that is due are ends of lots of one recurrence."""
    if any(happening != _GRANT_ENDS for _, happening, _ in events):
        return False
    allowances = {state.grants[number].allowance for _, _, number in events}
    return len(allowances) == 1 and None not in allowances


def _end(state: AccountState, lots: Lots, grant: GrantState, due: int, moment: int, now: int) -> list[GrantState]:
    """Let a grant lapse, or begin the next period of its recurrence. Answers the lots that may have another event."""
    if grant.expires_at != due:
        return []  # it was carried over meanwhile, and ends later
    head = _head(lots, grant)
    if head is not None and head.expires_at == due and _renews(head.recurrence, due):
        changed = _renew(state, lots[head.allowance], head, due, moment, now)
        rest = [lot for lot in lots[head.allowance] if lot.expires_at is None or lot.expires_at > due]
        lots[head.allowance] = [*rest, *(lot for lot in changed if lot not in rest)]
        return changed
    transfers = [(grant.number, AVAILABLE, EXPIRED, grant.buckets[AVAILABLE])] if grant.buckets[AVAILABLE] else []
    if grant.recurrence is not None:
        grant.recurrence, grant.is_retermed = None, True
        details: dict[str, Any] = {"allowance": grant.allowance}
        state.post(EntryKind.EXPIRE, at=moment, recorded_at=now, details=details, transfers=transfers)
    elif transfers:
        state.post(EntryKind.EXPIRE, at=moment, recorded_at=now, details={}, transfers=transfers)
    return []


def _head(lots: Lots, grant: GrantState) -> GrantState | None:
    """The lot that carries the terms of the recurrence to which a grant belongs; None without one."""
    if grant.recurrence is not None or grant.allowance is None:
        return grant if grant.recurrence is not None else None
    return next((other for other in lots[grant.allowance] if other.recurrence is not None), None)


def _renews(terms: dict[str, Any] | None, due: int) -> bool:
    return terms is not None and (terms["ends_at"] is None or due < terms["ends_at"])


def lot_end(terms: dict[str, Any], index: int) -> int | None:
    """When a lot lapses: at the index-th boundary, or at the end of the recurrence where that is earlier."""
    boundary = Cycle(terms["every"], terms["count"], terms["anchor"]).boundary(index)
    moments = [moment for moment in (boundary, terms["ends_at"]) if moment is not None]
    return min(moments) if moments else None


def _renew(
    state: AccountState, lots: list[GrantState], head: GrantState, due: int, moment: int, now: int
) -> list[GrantState]:
    """Begin a period: carry over up to `rollover_max`, let the rest expire, and grant the period's lot."""
    terms = dict(head.recurrence or {})
    index = terms["next"]
    terms["next"] = index + 1
    expires_at = lot_end(terms, index + 1)
    lots = [lot for lot in lots if lot.expires_at == due and lot.buckets[AVAILABLE]]
    lots.sort(key=lambda lot: lot.number)
    left = sum(lot.buckets[AVAILABLE] for lot in lots)
    kept = min(left, terms["rollover_max"])
    transfers = _expire_oldest(lots, left - kept)
    gone = {number: amount for number, _, _, amount in transfers}
    carried = [lot for lot in lots if lot.buckets[AVAILABLE] > gone.get(lot.number, 0)]
    amount = terms["amount"] + max(0, terms["rollover_min"] - kept)
    amount = min(amount, 2**63 - 1 - state.buckets[ISSUED])
    granted = _next_lot(state, head, terms, amount, moment, expires_at) if amount else None
    if granted is None:
        head.recurrence, head.is_retermed = terms, True
        carried = [*carried, head] if head not in carried else carried
    else:
        transfers.append((granted.number, ISSUED, AVAILABLE, amount))
        transfers += repayment(state, granted, amount)
    for lot in carried:
        lot.expires_at, lot.is_retermed = expires_at, True
    details = {
        "allowance": head.allowance,
        "period": index,
        "carried": [lot.number for lot in carried],
        "expires_at": expires_at,
    }
    state.post(EntryKind.RENEW, at=moment, recorded_at=now, details=details, transfers=transfers)
    return carried if granted is None else [*carried, granted]


def _expire_oldest(lots: list[GrantState], amount: int) -> list[PostedTransfer]:
    transfers: list[PostedTransfer] = []
    for lot in lots:
        part = min(lot.buckets[AVAILABLE], amount)
        amount -= part
        if part:
            transfers.append((lot.number, AVAILABLE, EXPIRED, part))
    return transfers


def _next_lot(
    state: AccountState, head: GrantState, terms: dict[str, Any], amount: int, moment: int, expires_at: int | None
) -> GrantState:
    """Add the lot of the period that begins, which now carries the terms of the recurrence."""
    lot = GrantState(
        state.sequence + 1,
        head.priority,
        expires_at,
        [0] * len(head.buckets),
        head.kind,
        moment,
        head.scope,
        allowance=head.allowance,
        recurrence=terms,
        is_new=True,
    )
    head.recurrence, head.is_retermed = None, True
    state.add_grant(lot)
    return lot


def _forecast_due(state: AccountState, at: int) -> None:
    """Set the account's next due moment, after `at`."""
    state.due_at = state.hold_due_after
    for hold in state.holds.values():
        if hold.state == ReservationState.HELD:
            state.due_from(hold.lapses_at)
    for grant in state.grants.values():
        if grant.buckets[SCHEDULED]:
            state.due_from(grant.effective_at)
        elif (grant.buckets[AVAILABLE] or grant.recurrence is not None) and not grant.lapsed(at):
            state.due_from(grant.expires_at)
