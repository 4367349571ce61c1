"""Periods of a recurrence in which nothing else happens, skipped in a sketch of an account that slept for long.

Once a renewal leaves an account with as many credits as the one before, every further one does: it lets the same amount
expire that it grants. A reading of such an account need not go through thousands of periods one by one. The last ones
are gone through as ever, so that the lots which are left are those that recording would leave, by number too.
"""

from __future__ import annotations

from ledger.book.buckets import AVAILABLE, CONSUMED, EXPIRED, HELD, ISSUED
from ledger.book.states import AccountState, GrantState
from ledger.model.cycles import Cycle


def skip_periods(state: AccountState, lots: list[GrantState], head: GrantState, due: int, at: int) -> list[GrantState]:
    """Move the lots that end at `due` to a later boundary of their recurrence, and count what the periods did.

    Nothing else may come due by `at`. Answers the moved lots; none where no period can be skipped.
    """
    terms = dict(head.recurrence or {})
    ending = [lot for lot in lots if lot.expires_at == due and (lot.buckets[AVAILABLE] or lot is head)]
    left = sum(lot.buckets[AVAILABLE] for lot in ending)
    kept = min(left, terms["rollover_max"])
    amount = terms["amount"] + max(0, terms["rollover_min"] - kept)
    is_repaying = state.line is not None and head.scope is None and state.line.buckets[CONSUMED] > 0
    # A lot of which something is held is listed with its expiry for as long as that lasts: it drains first.
    is_held = any(lot.buckets[HELD] for lot in ending)
    if not amount or kept + amount != left or is_repaying or is_held:
        return []
    until = at if terms["ends_at"] is None else min(at, terms["ends_at"] - 1)
    cycle = Cycle(terms["every"], terms["count"], terms["anchor"])
    lots_left = -(-kept // amount) + 2
    skipped = cycle.first_after(until) - terms["next"] - lots_left
    issued = skipped * amount
    if skipped <= 0 or state.buckets[ISSUED] + issued + lots_left * amount >= 2**63:
        return []
    latest, end = (cycle.boundary(terms["next"] + skipped - back) for back in (1, 0))
    if latest is None or end is None:  # pragma: no cover - both are boundaries before the moment of the reading
        return []
    state.sequence, state.at = state.sequence + skipped, max(state.at, latest)
    state.buckets[ISSUED] += issued
    state.buckets[EXPIRED] += issued
    terms["next"] += skipped
    head.recurrence = terms
    for lot in ending:
        lot.expires_at = end
    return ending
