"""Rules of runs: launch one on a dataset without an active run, and settle it by what it delivered."""

from __future__ import annotations

from estimator import RunPlan, RunResponse, affordable_rows
from estimator import settle as price_outcome
from estimator.credits import from_micro, to_micro
from ledger.book.postings import Binding, Posting
from ledger.book.states import AccountState
from ledger.commands import LaunchRun, SettleRun
from ledger.errors import (
    CaptureExceedsReservation,
    CommandInvalid,
    InsufficientCredits,
    RunAlreadyActive,
    RunNotFound,
)
from ledger.model.ids import format_reservation_id, format_run_id
from ledger.model.values import EntryKind
from ledger.rules.holds import held, hold_credits, lapse_of
from ledger.rules.limits import check_limits
from ledger.rules.settling import close_hold
from ledger.rules.spending import spendable


def launch(state: AccountState, command: LaunchRun, at: int, now: int, binding: Binding) -> Posting:
    """Hold what a run is estimated to cost."""
    if command.request.estimate:
        raise CommandInvalid("request", "asks for an estimate only. Price it with `estimate`, or ask for a run.")
    dataset_id, quote = command.dataset_id, command.estimate
    active = state.active.get(dataset_id)
    if active is not None:
        started = state.holds[active].started_ms or 0
        raise RunAlreadyActive(dataset_id, format_run_id(dataset_id, started))
    amount = to_micro(quote.credits)
    expires_at = lapse_of(command.expires_micros, command.grace_micros, at)
    # Two launches of a dataset in one millisecond get two run ids: the first may have ended within it.
    started_ms = max(at // 1000, state.started_ms_last.get(dataset_id, -1) + 1)
    labels = {"dataset": dataset_id, "run": format_run_id(dataset_id, started_ms)} | (command.labels or {})
    check_limits(state, labels, amount, at)
    there = spendable(state, labels)
    if there < amount:
        rows = affordable_rows(command.plan, command.card, from_micro(there))
        raise InsufficientCredits(state.account_id, from_micro(amount), from_micro(there), rows)
    # From here on the command must succeed.
    response = RunResponse.of(
        quote,
        run_id=format_run_id(dataset_id, started_ms),
        available_credits=from_micro(there - amount),
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
    if command.outbox:
        details["outbox"] = True
    if command.card.id not in state.cards:
        state.cards[command.card.id] = state.cards_new[command.card.id] = command.card
    posting = hold_credits(
        state, amount, at, now, details, binding, labels, kept=command.labels, grace=command.grace_micros
    )
    state.active[dataset_id] = state.runs[dataset_id, started_ms] = posting.sequence
    state.started_ms_last[dataset_id] = started_ms
    state.launches[posting.sequence] = posting
    if command.outbox:
        # Where the account's time is ahead of the clock, the run's start is due at the clock's time, not later.
        state.starts_new.append((posting.sequence, at, min(at, now)))
    return posting


def settle(state: AccountState, command: SettleRun, at: int, now: int, binding: Binding) -> Posting:
    """Charge a run for its outcome, under the card and plan it was launched with."""
    number = state.runs.get((command.dataset_id, command.started_ms))
    if number is None:
        raise RunNotFound(command.run_id)
    reservation_id = format_reservation_id(state.account_id, number)
    hold = held(state, number, reservation_id)
    launched = state.launches[number].parsed_details()
    card_id = launched["card_id"]
    card = state.cards[card_id]
    outcome = command.outcome
    priced = price_outcome(RunPlan.from_dict(launched["plan"]), card, outcome)
    captured = to_micro(priced.credits)
    if captured > hold.held:  # captures in parts have taken some of what was held for the run
        raise CaptureExceedsReservation(reservation_id, from_micro(captured), from_micro(hold.held))
    # From here on the command must succeed.
    details = {
        "outcome": outcome.to_dict(),
        "card_id": card_id,
        "line_items": [item.to_dict() for item in priced.line_items],
    }
    kind = EntryKind.CAPTURE if captured or outcome.rows_processed else EntryKind.RELEASE
    return close_hold(state, hold, kind, captured, at, now, binding, details)
