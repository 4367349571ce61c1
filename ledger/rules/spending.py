"""Which grants pay: what may be spent, and the slices that a hold or a charge takes, in burn order."""

from __future__ import annotations

from estimator.credits import from_micro
from ledger.book.buckets import AVAILABLE, CONSUMED, ISSUED
from ledger.book.burning import burn_key
from ledger.book.postings import PostedTransfer
from ledger.book.states import AccountState, GrantsIncomplete, GrantState
from ledger.errors import InsufficientCredits

NO_LABELS: dict[str, str] = {}


def spendable(state: AccountState, labels: dict[str, str], *, lend: bool = True) -> int:
    """Micro-credits that a hold with these labels may take, from grants and, with `lend`, from the credit line."""
    if state.scoped_count:
        available = sum(grant.buckets[AVAILABLE] for grant in state.burn_order() if grant.pays_for(labels))
    else:
        available = state.buckets[AVAILABLE]
    return available + state.lendable() if lend and state.credit_limit else available


def check_spendable(state: AccountState, amount: int, labels: dict[str, str]) -> None:
    """Raise `InsufficientCredits` unless the amount can be taken."""
    there = spendable(state, labels)
    if there < amount:
        raise InsufficientCredits(state.account_id, from_micro(amount), from_micro(there))


def draw(state: AccountState, amount: int, labels: dict[str, str]) -> list[tuple[int, int]]:
    """The slices (grant number, micro-credits) that pay an amount: grants in burn order, then the credit line.

    The caller has checked that the amount is there. Raises `GrantsIncomplete` where grants beyond the page that was
    read may be needed.
    """
    slices: list[tuple[int, int]] = []
    order = state.burn_order()
    spent, is_leading = 0, True
    for grant in order:
        if not amount:
            break
        if state.page_end is not None and burn_key(grant) > state.page_end:
            raise GrantsIncomplete(state.account_id)
        if grant.scope is not None and not grant.pays_for(labels):
            is_leading = False
            continue
        available = grant.buckets[AVAILABLE]
        part = min(available, amount)
        if part:
            slices.append((grant.number, part))
            amount -= part
        if is_leading and part == available:
            spent += 1
        else:
            is_leading = False
    # Spent grants leave the order, so a batch of many draws does not walk over them again.
    del order[:spent]
    if amount and state.page_end is not None:
        raise GrantsIncomplete(state.account_id)
    if amount and state.line is not None:
        slices.append((state.line.number, amount))
    return slices


def transfers_of(state: AccountState, slices: list[tuple[int, int]], target: int) -> list[PostedTransfer]:
    """The transfers that move slices to a bucket: from a grant's available credits, or issued by the credit line."""
    line = None if state.line is None else state.line.number
    return [(number, ISSUED if number == line else AVAILABLE, target, part) for number, part in slices]


def repayment(state: AccountState, grant: GrantState, amount: int) -> list[PostedTransfer]:
    """The transfers by which new credits of a grant repay the credit line.

    What the line lent and was consumed counts as consumed of the grant instead, and the line gets its credits back. A
    grant with a scope repays nothing, because its credits may not pay for every kind of hold.
    """
    line = state.line
    part = 0 if line is None or grant.scope is not None else min(amount, line.buckets[CONSUMED])
    if line is None or not part:
        return []
    grant.repaid += part
    grant.is_retermed = True
    return [(grant.number, AVAILABLE, CONSUMED, part), (line.number, CONSUMED, ISSUED, part)]
