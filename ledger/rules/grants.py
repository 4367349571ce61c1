"""Rules of grants: issue credits, revoke what is left, correct a balance, set what the account may owe."""

from __future__ import annotations

from typing import Any

from estimator.credits import from_micro
from ledger.book.buckets import AVAILABLE, BUCKETS, CONSUMED, HELD, ISSUED, REVOKED, SCHEDULED
from ledger.book.burning import CREDIT_LINE, PROMOTIONAL
from ledger.book.postings import Binding, PostedTransfer, Posting
from ledger.book.states import AccountState, GrantState
from ledger.commands import Adjust, GrantCredits, GrantKind, RevokeGrant, SetCreditLine
from ledger.errors import CommandInvalid, GrantEnded, GrantNotFound, InsufficientCredits
from ledger.model.cycles import Cycle
from ledger.model.moments import to_moment
from ledger.model.values import EntryKind
from ledger.rules.spending import NO_LABELS, draw, repayment, spendable, transfers_of
from ledger.rules.timeline import lot_end

_ADJUSTMENT_PRIORITY = 100
_BEFORE_ALL = -1  # the credit line lends last; as the first row in burn order it is always on the first page read


def grant(state: AccountState, command: GrantCredits, at: int, now: int, binding: Binding) -> Posting:
    """Issue credits, available at once or from a moment on, once or every period."""
    number = state.sequence + 1
    effective_at = at if command.effective_at is None else to_moment(command.effective_at)
    ends_at = None if command.expires_at is None else to_moment(command.expires_at)
    if ends_at is not None and ends_at <= max(at, effective_at):
        raise CommandInvalid("expires_at", "is not after the grant takes effect. Give a later moment.")
    check_room(state, command.amount_micro)
    # From here on the command must succeed.
    terms = _recurrence(command, number, max(at, effective_at), ends_at)
    expires_at = ends_at if terms is None else lot_end(terms, terms["next"])
    granted = GrantState(
        number, command.priority, expires_at, [0] * len(BUCKETS), str(command.kind), effective_at, command.scope,
        allowance=None if terms is None else number, recurrence=terms, is_new=True,
    )  # fmt: skip
    state.add_grant(granted)
    if granted.scope is not None:
        state.scoped_count, state.is_retermed = state.scoped_count + 1, True
    transfers: list[PostedTransfer] = [
        (number, ISSUED, SCHEDULED if effective_at > at else AVAILABLE, command.amount_micro)
    ]
    if effective_at > at:
        state.due_from(effective_at)
    else:
        state.due_from(expires_at)
        transfers += repayment(state, granted, command.amount_micro)
    details = {"priority": command.priority, "expires_at": expires_at} | _said(command, effective_at, terms)
    return state.post(EntryKind.GRANT, at=at, recorded_at=now, details=details, transfers=transfers, binding=binding)


def _said(command: GrantCredits, effective_at: int, terms: dict[str, Any] | None) -> dict[str, Any]:
    """The details of a grant's entry beyond priority and expiry: what the command gave, without its defaults."""
    said = {
        "kind": None if command.kind == GrantKind.PAID else str(command.kind),
        "effective_at": None if command.effective_at is None else effective_at,
        "cost_basis": None if command.cost_basis is None else command.cost_basis.to_dict(),
        "scope": command.scope,
        "external_ref": command.external_ref,
        "metadata": command.metadata or None,
        "recurrence": terms,
    }
    return {name: value for name, value in said.items() if value is not None}


def _recurrence(command: GrantCredits, number: int, effective_at: int, ends_at: int | None) -> dict[str, Any] | None:
    """The terms of a recurrence, which its latest lot carries. `next` numbers the boundary that ends its period."""
    recurrence = command.recurrence
    if recurrence is None:
        return None
    anchor = effective_at if recurrence.anchor is None else to_moment(recurrence.anchor)
    least, most = recurrence.rollover_micro
    return {
        "every": recurrence.every,
        "count": recurrence.count,
        "anchor": anchor,
        "amount": command.amount_micro if recurrence.amount_micro is None else recurrence.amount_micro,
        "rollover_min": least,
        "rollover_max": most,
        "ends_at": ends_at,
        "next": Cycle(recurrence.every, recurrence.count, anchor).first_after(effective_at),
    }


def check_room(state: AccountState, amount: int) -> None:
    """Raise `CommandInvalid` for an amount that would carry the account's total beyond int64."""
    if state.buckets[ISSUED] + amount >= 2**63:
        raise CommandInvalid("amount", "would carry the account beyond 9,223,372,036,854 credits. Grant less.")


def revoke(state: AccountState, command: RevokeGrant, at: int, now: int, binding: Binding) -> Posting:
    """Take back what is left of a grant. Of a recurring grant take back every lot, and end the recurrence."""
    named = state.grants.get(command.number)
    if named is None or named.kind == CREDIT_LINE:
        raise GrantNotFound(command.grant_id)
    lots = [named]
    if named.allowance is not None:
        lots = [lot for lot in state.grants.values() if lot.allowance == named.allowance]
        lots = [lot for lot in lots if lot is named or lot.recurrence or any(lot.buckets[i] for i in _LEFT)]
    if all(lot.revoked_at is not None or _is_over(lot, at) for lot in lots):
        raise GrantEnded(command.grant_id, "revoked" if named.revoked_at is not None else "expired")
    # From here on the command must succeed.
    transfers: list[PostedTransfer] = []
    for lot in sorted(lots, key=lambda lot: lot.number):
        transfers += [(lot.number, i, REVOKED, lot.buckets[i]) for i in (AVAILABLE, SCHEDULED) if lot.buckets[i]]
        lot.revoked_at, lot.recurrence, lot.is_retermed = at, None, True
    details: dict[str, Any] = {"grant": command.number, "grants": sorted(lot.number for lot in lots)}
    if command.reason is not None:
        details["reason"] = command.reason
    return state.post(EntryKind.REVOKE, at=at, recorded_at=now, details=details, transfers=transfers, binding=binding)


_LEFT = (AVAILABLE, HELD, SCHEDULED)


def _is_over(lot: GrantState, at: int) -> bool:
    return lot.lapsed(at) and not lot.buckets[HELD]


def adjust(state: AccountState, command: Adjust, at: int, now: int, binding: Binding) -> Posting:
    """Correct a balance: add credits as a promotional grant without expiry, or consume available ones."""
    amount = command.amount_micro
    details: dict[str, Any] = {"reason": command.reason, "amount": amount}
    if amount > 0:
        check_room(state, amount)
        # From here on the command must succeed.
        number = state.sequence + 1
        added = GrantState(
            number, _ADJUSTMENT_PRIORITY, None, [0] * len(BUCKETS), PROMOTIONAL, at, is_new=True
        )  # fmt: skip
        state.add_grant(added)
        transfers: list[PostedTransfer] = [(number, ISSUED, AVAILABLE, amount), *repayment(state, added, amount)]
        details |= {"priority": added.priority, "expires_at": None, "kind": PROMOTIONAL}
    else:
        there = spendable(state, NO_LABELS, lend=False)
        if there < -amount:
            raise InsufficientCredits(state.account_id, from_micro(-amount), from_micro(there))
        # From here on the command must succeed.
        transfers = transfers_of(state, draw(state, -amount, NO_LABELS), CONSUMED)
    return state.post(EntryKind.ADJUST, at=at, recorded_at=now, details=details, transfers=transfers, binding=binding)


def set_credit_line(state: AccountState, command: SetCreditLine, at: int, now: int, binding: Binding) -> Posting:
    """Set how much the account may owe. With a limit below what it owes, it borrows nothing until that is repaid."""
    if state.line is None:
        state.add_grant(
            GrantState(state.sequence + 1, _BEFORE_ALL, None, [0] * len(BUCKETS), CREDIT_LINE, at, is_new=True)
        )
    state.credit_limit, state.is_retermed = command.limit_micro, True
    details = {"limit": command.limit_micro}
    return state.post(EntryKind.CREDIT_LINE, at=at, recorded_at=now, details=details, transfers=[], binding=binding)
