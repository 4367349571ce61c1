"""The life of a hold: its state after each kind of entry, and its state at a moment.

    entry       before      after
    reserve     none        held
    extend      held        held
    capture     held        captured, or held when it is not final
    release     held        released
    expire      held        expired
    refund      captured    captured

A hold leaves `held` once. The state that it gets then is final.
"""

from __future__ import annotations

from ledger.model.values import EntryKind, ReservationState

STATE_AFTER: dict[str, ReservationState] = {
    EntryKind.RESERVE: ReservationState.HELD,
    EntryKind.EXTEND: ReservationState.HELD,
    EntryKind.CAPTURE: ReservationState.CAPTURED,
    EntryKind.RELEASE: ReservationState.RELEASED,
    EntryKind.EXPIRE: ReservationState.EXPIRED,
}
"""The state after an entry. A refund, or a capture that is not final, has the state in its details instead."""


def is_due(state: str, lapses_at: int | None, moment: int) -> bool:
    """True for a hold that is held and lapses by a moment."""
    return state == ReservationState.HELD and lapses_at is not None and lapses_at <= moment


def state_at(state: str, lapses_at: int | None, moment: int) -> ReservationState:
    """The state of a hold at a moment, whether or not its lapse has been recorded."""
    return ReservationState.EXPIRED if is_due(state, lapses_at, moment) else ReservationState(state)
