"""The decisions, pure: (accounts in memory, commands) -> entries posted to those accounts, and one result a command.

A command is decided in four steps, the same for every command and every database:

1. its account must exist, and its key must be unbound (same request: the first answer again; other: a conflict);
2. what has lapsed by its moment is recorded first, each lapse at its own moment;
3. everything that could refuse it is looked at: not found, then wrong state, then insufficient credits;
4. from here it must succeed: it becomes one entry made of transfers.

    reservation   held ──capture──> captured      (what the capture leaves is freed)
                   ├───release──> released
                   └───moment of expiry──> expired

What a hold frees returns to its grants, or is expired where the grant has lapsed meanwhile. An account's time
never goes back: a moment before its latest entry is taken as that entry's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping, Sequence
from copy import deepcopy
from typing import Any

from estimator import RunPlan, RunResponse, affordable_rows
from estimator import settle as price_outcome
from estimator.credits import from_micro, to_micro
from estimator.errors import EstimatorError
from ledger import answers
from ledger.commands import (
    Capture,
    Command,
    ExpireDue,
    GetBalance,
    GrantCredits,
    LaunchRun,
    OpenAccount,
    Release,
    Reserve,
    SettleRun,
    expires_in_micros,
    format_reservation_id,
    format_run_id,
    key_scope,
)
from ledger.errors import (
    AccountNotFound,
    CaptureExceedsReservation,
    CommandInvalid,
    IdempotencyConflict,
    InsufficientCredits,
    LedgerError,
    ReservationNotFound,
    ReservationNotHeld,
    RunAlreadyActive,
    RunNotFound,
)
from ledger.instants import INSTANT_MAX, from_instant, to_instant
from ledger.states import AVAILABLE, CONSUMED, EXPIRED, HELD, ISSUED, AccountState, GrantState, Move, Posting
from ledger.states import ReservationState as Hold
from ledger.values import Account, Balance, EntryKind, ReservationState, Result

Rejection = LedgerError | EstimatorError
Binding = tuple[str, str, bytes] | None


def decide(
    accounts: MutableMapping[str, AccountState], commands: Iterable[Command], now: int
) -> list[Result | Rejection]:
    """Decide commands in order, each seeing the ones before; `now` (microseconds) is the moment of those without one.

    Accepted commands change `accounts`; a rejected one is answered by its error and disturbs no other.
    """
    results: list[Result | Rejection] = []
    for command in commands:
        try:
            results.append(_decide_one(accounts, command, now))
        except (LedgerError, EstimatorError) as rejection:
            results.append(rejection)
    return results


def _decide_one(accounts: MutableMapping[str, AccountState], command: Command, now: int) -> Result:
    state = accounts.get(command.account_id)
    if state is None:
        raise AccountNotFound(command.account_id)
    if isinstance(command, OpenAccount):
        return _open(state)
    if state.is_opened_here:
        # Its row is there for the command further on that opens it; to the ones before it is not.
        raise AccountNotFound(command.account_id)
    at = max(now if command.at is None else to_instant(command.at), state.at)
    if isinstance(command, GetBalance):
        return _balance(state, at)
    binding: Binding = None
    if not isinstance(command, ExpireDue) and command.key is not None:
        scope, key, digest = key_scope(command), command.key, command.digest()
        first = state.keys.get((scope, key))
        if first is not None:
            if first.digest != digest:
                raise IdempotencyConflict(key)
            return answers.answer(first, replayed=True)
        binding = (scope, key, digest)
    if state.due_at is None or state.due_at > at:
        return _apply(state, command, at, now, binding)
    before = deepcopy(state)
    try:
        lapses = record_lapses(state, at, now)
        return _apply(state, command, at, now, binding, lapses)
    except (LedgerError, EstimatorError):
        # A refused command moves nothing, not even what had lapsed before it.
        accounts[state.account_id] = before
        raise


def _apply(
    state: AccountState, command: Any, at: int, now: int, binding: Binding, lapses: Sequence[Posting] = ()
) -> Result:
    if isinstance(command, ExpireDue):
        # With lapses or without, its due moment has been worked out anew and is to be written.
        state.is_accepted = True
        return answers.expiry(state.account_id, lapses)
    posting = _RULES[type(command)](state, command, at, now, binding)
    state.is_accepted = True
    return answers.answer(posting, replayed=False)


def _open(state: AccountState) -> Account:
    is_first, state.is_opened_here = state.is_opened_here, False
    return Account(state.account_id, from_instant(state.opened_at), replayed=not is_first)


def _balance(state: AccountState, at: int) -> Balance:
    seen = state
    if state.due_at is not None and state.due_at <= at:
        seen = deepcopy(state)
        record_lapses(seen, at, at)
    return answers.balance(state.account_id, at, seen.buckets)


def record_lapses(state: AccountState, at: int, now: int) -> list[Posting]:
    """Post an entry for each hold and each grant that has lapsed by `at`, at its own moment and in order of time.

    At one moment holds lapse before grants, so that what a hold frees into a grant that ends with it expires.
    """
    if state.due_at is None or state.due_at > at:
        return []
    held = [hold for hold in state.reservations.values() if hold.state == ReservationState.HELD]
    events: list[tuple[int, int, int, Hold | GrantState]] = [
        (hold.expires_at, 0, hold.number, hold)
        for hold in held
        if hold.expires_at is not None and hold.expires_at <= at
    ]
    events += [
        (grant.expires_at, 1, grant.number, grant)
        for grant in state.grants.values()
        if grant.expires_at is not None and grant.expires_at <= at
    ]
    events.sort(key=lambda event: event[:3])
    postings = []
    for moment, _, _, lapsed in events:
        moment = max(moment, state.at)  # an account's time never goes back
        if isinstance(lapsed, Hold):
            postings.append(_close(state, lapsed, EntryKind.EXPIRE, 0, moment, now))
        elif lapsed.buckets[AVAILABLE]:
            moves = [(lapsed.number, AVAILABLE, EXPIRED, lapsed.buckets[AVAILABLE])]
            postings.append(state.post(EntryKind.EXPIRE, at=moment, recorded_at=now, details={}, moves=moves))
    _forecast_due(state, at)
    return postings


def _forecast_due(state: AccountState, at: int) -> None:
    """Find the next moment after `at` at which something lapses."""
    state.due_at = state.hold_due_after
    for hold in state.reservations.values():
        if hold.state == ReservationState.HELD:
            state.due_from(hold.expires_at)
    for grant in state.grants.values():
        if grant.buckets[AVAILABLE] and not grant.lapsed(at):
            state.due_from(grant.expires_at)


def _grant(state: AccountState, command: GrantCredits, at: int, now: int, binding: Binding) -> Posting:
    expires_at = None if command.expires_at is None else to_instant(command.expires_at)
    if expires_at is not None and expires_at <= at:
        raise CommandInvalid("expires_at", "is not after the grant takes effect. Give a later moment.")
    _check_room(state, command.amount_micro)
    number = state.sequence + 1
    state.grants[number] = GrantState(number, command.priority, expires_at, [0] * 6, is_new=True)
    state.due_from(expires_at)
    return state.post(
        EntryKind.GRANT,
        at=at,
        recorded_at=now,
        details={"priority": command.priority, "expires_at": expires_at},
        moves=[(number, ISSUED, AVAILABLE, command.amount_micro)],
        binding=binding,
    )


def _check_room(state: AccountState, amount: int) -> None:
    """Refuse an issue that would carry the account's total beyond int64."""
    if state.buckets[ISSUED] + amount >= 2**63:
        raise CommandInvalid("amount", "would carry the account beyond 9,223,372,036,854 credits. Grant less.")


def _reserve(state: AccountState, command: Reserve, at: int, now: int, binding: Binding) -> Posting:
    amount = command.amount_micro
    expires_at = _lapse_of(command, at)
    _check_available(state, amount)
    details = {"amount": amount, "expires_at": expires_at}
    return _hold(state, amount, at, now, details, binding)


def _lapse_of(command: Reserve | LaunchRun, at: int) -> int | None:
    """The moment at which a hold made at `at` lapses."""
    expires_in = expires_in_micros(command.expires_in)
    if expires_in is None:
        return None
    if at + expires_in > INSTANT_MAX:
        raise CommandInvalid("expires_in", "would end the hold after the year 9999. Give a shorter one.")
    return at + expires_in


def _check_available(state: AccountState, amount: int, payable: Callable[[], int] | None = None) -> None:
    available = state.buckets[AVAILABLE]
    if available < amount:
        rows = None if payable is None else payable()
        raise InsufficientCredits(state.account_id, from_micro(amount), from_micro(available), rows)


def _hold(state: AccountState, amount: int, at: int, now: int, details: dict[str, Any], binding: Binding) -> Posting:
    """Move an amount that is there from available to held, slice by slice in burn order."""
    slices = _draw(state, amount)
    number = state.sequence + 1
    expires_at = details["expires_at"]
    dataset_id, started_ms = details.get("dataset_id"), details.get("started_ms")
    state.reservations[number] = Hold(
        number, amount, ReservationState.HELD, 0, 0, at, expires_at, slices, dataset_id, started_ms, is_new=True
    )
    state.due_from(expires_at)
    moves = [(grant, AVAILABLE, HELD, part) for grant, part in slices]
    return state.post(
        EntryKind.RESERVE,
        at=at,
        recorded_at=now,
        details=details,
        moves=moves,
        reservation=number,
        binding=binding,
    )


def _draw(state: AccountState, amount: int) -> list[tuple[int, int]]:
    """The slices that pay an amount: whole grants in burn order, and part of the last."""
    slices: list[tuple[int, int]] = []
    order = state.burn_order()
    spent = 0
    for grant in order:
        available = grant.buckets[AVAILABLE]
        part = min(available, amount)
        if part:
            slices.append((grant.number, part))
            amount -= part
        if part < available or not amount:
            break
        spent += 1
    # Spent grants leave the order, so that a batch of many draws does not walk over them again.
    del order[:spent]
    return slices


def _capture(state: AccountState, command: Capture, at: int, now: int, binding: Binding) -> Posting:
    hold = _held(state, command.number, command.reservation_id)
    amount = hold.amount if command.amount_micro is None else command.amount_micro
    if amount > hold.amount:
        raise CaptureExceedsReservation(command.reservation_id, from_micro(amount), from_micro(hold.amount))
    return _close(state, hold, EntryKind.CAPTURE, amount, at, now, binding)


def _release(state: AccountState, command: Release, at: int, now: int, binding: Binding) -> Posting:
    hold = _held(state, command.number, command.reservation_id)
    return _close(state, hold, EntryKind.RELEASE, 0, at, now, binding)


def _held(state: AccountState, number: int, name: str) -> Hold:
    hold = state.reservations.get(number)
    if hold is None:
        raise ReservationNotFound(name)
    if hold.state != ReservationState.HELD:
        raise ReservationNotHeld(name, hold.state)
    return hold


_STATE_BY_KIND = {
    EntryKind.CAPTURE: ReservationState.CAPTURED,
    EntryKind.RELEASE: ReservationState.RELEASED,
    EntryKind.EXPIRE: ReservationState.EXPIRED,
}


def _close(
    state: AccountState,
    hold: Hold,
    kind: EntryKind,
    captured: int,
    at: int,
    now: int,
    binding: Binding = None,
    details: dict[str, Any] | None = None,
) -> Posting:
    """End a hold: consume `captured` of it in burn order, free the rest."""
    moves: list[Move] = []
    left = captured
    for number, amount in hold.slices:
        part = min(amount, left)
        left -= part
        if part:
            moves.append((number, HELD, CONSUMED, part))
        if amount > part:
            target = EXPIRED if state.grants[number].lapsed(at) else AVAILABLE
            moves.append((number, HELD, target, amount - part))
            if target == AVAILABLE:
                state.due_from(state.grants[number].expires_at)
    hold.state = _STATE_BY_KIND[kind]
    hold.captured, hold.freed = captured, hold.amount - captured
    hold.is_changed = True
    if hold.dataset_id is not None:
        state.active.pop(hold.dataset_id, None)
    life: dict[str, Any] = {
        "amount": hold.amount,
        "reserved_at": hold.reserved_at,
        "expires_at": hold.expires_at,
    }
    if hold.dataset_id is not None:
        life |= {"dataset_id": hold.dataset_id, "started_ms": hold.started_ms}
    return state.post(
        kind,
        at=at,
        recorded_at=now,
        details=life | (details or {}),
        moves=moves,
        reservation=hold.number,
        binding=binding,
    )


def _launch(state: AccountState, command: LaunchRun, at: int, now: int, binding: Binding) -> Posting:
    if command.request.estimate:
        raise CommandInvalid("request", "asks for an estimate only. Price it with `estimate`, or ask for a run.")
    dataset_id, quote = command.dataset_id, command.estimate
    active = state.active.get(dataset_id)
    if active is not None:
        started = state.reservations[active].started_ms or 0
        raise RunAlreadyActive(dataset_id, format_run_id(dataset_id, started))
    amount = to_micro(quote.credits)
    expires_at = _lapse_of(command, at)
    _check_available(
        state,
        amount,
        lambda: affordable_rows(command.plan, command.card, from_micro(state.buckets[AVAILABLE])),
    )
    # Two launches in one millisecond, after a quick end of the first, still get two run ids.
    started_ms = max(at // 1000, state.started_ms_last.get(dataset_id, -1) + 1)
    response = RunResponse.of(
        quote,
        run_id=format_run_id(dataset_id, started_ms),
        available_credits=from_micro(state.buckets[AVAILABLE] - amount),
        itemised=True,
    )
    details = {
        "amount": amount,
        "expires_at": expires_at,
        "dataset_id": dataset_id,
        "started_ms": started_ms,
        "card_id": command.card.id,
        "plan": command.plan.to_dict(),
        "request": command.request.to_wire(),
        "response": response.to_dict(),
    }
    if command.card.id not in state.cards:
        state.cards[command.card.id] = state.cards_new[command.card.id] = command.card
    posting = _hold(state, amount, at, now, details, binding)
    state.active[dataset_id] = state.runs[dataset_id, started_ms] = posting.sequence
    state.started_ms_last[dataset_id] = started_ms
    state.holds[posting.sequence] = posting
    return posting


def _settle(state: AccountState, command: SettleRun, at: int, now: int, binding: Binding) -> Posting:
    number = state.runs.get((command.dataset_id, command.started_ms))
    if number is None:
        raise RunNotFound(command.run_id)
    hold = _held(state, number, format_reservation_id(state.account_id, number))
    launched = state.holds[number].parsed_details()
    card_id = launched["card_id"]
    card = state.cards[card_id]
    outcome = command.outcome
    priced = price_outcome(RunPlan.from_dict(launched["plan"]), card, outcome)
    captured = to_micro(priced.credits)
    details = {
        "outcome": outcome.to_dict(),
        "card_id": card_id,
        "line_items": [item.to_dict() for item in priced.line_items],
    }
    kind = EntryKind.CAPTURE if captured or outcome.rows_processed else EntryKind.RELEASE
    return _close(state, hold, kind, captured, at, now, binding, details)


_RULES: dict[type[Any], Callable[[AccountState, Any, int, int, Binding], Posting]] = {
    GrantCredits: _grant,
    Reserve: _reserve,
    Capture: _capture,
    Release: _release,
    LaunchRun: _launch,
    SettleRun: _settle,
}
