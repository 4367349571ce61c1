"""The decisions, pure: (accounts in memory, commands) -> entries posted to those accounts, and one result a command.

A command is decided in four steps, the same for every command and every database:

1. its account must exist, and its key must be unbound (same request: the first answer again; other: a conflict);
2. what has come due by its moment is recorded first, each event at its own moment (`timeline`);
3. everything that could refuse it is looked at: not found, then wrong state, then limits, then insufficient credits;
4. from here it must succeed: it becomes one entry made of transfers.

An account's time never goes back: a moment before its latest entry is taken as that entry's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping, Sequence
from typing import Any

from estimator.errors import EstimatorError
from ledger.book import answers
from ledger.book.postings import Binding, Posting
from ledger.book.states import AccountState
from ledger.commands import (
    Adjust,
    Capture,
    Command,
    ExpireDue,
    Extend,
    GetBalance,
    GrantCredits,
    LaunchRun,
    OpenAccount,
    Refund,
    Release,
    Reserve,
    RevokeGrant,
    SetCreditLine,
    SetLimit,
    SettleRun,
    key_scope,
)
from ledger.errors import AccountNotFound, LedgerError
from ledger.model.moments import from_moment, to_moment
from ledger.model.values import Account, Balance, Result
from ledger.rules import grants, holds, limits, runs
from ledger.rules.keys import first_answer
from ledger.rules.timeline import record_due

Rejection = LedgerError | EstimatorError


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
    at = max(now if command.at is None else to_moment(command.at), state.at)
    if isinstance(command, GetBalance):
        return _balance(state, at)
    binding: Binding = None
    if not isinstance(command, ExpireDue) and command.key is not None:
        scope, key, digest = key_scope(command), command.key, command.digest()
        first = first_answer(state.keys.get((scope, key)), key, digest)
        if first is not None:
            return first
        binding = (scope, key, digest.value)
    if state.due_at is None or state.due_at > at:
        state.advanced = None
        return _apply(state, command, at, now, binding)
    # A refused command moves nothing, not even what had come due before it: that is recorded in a copy, which takes
    # the account's place when a command is accepted, and serves the next command of that moment when it is refused.
    if state.advanced is None or state.advanced[0] != at:
        state.advanced = None
        copy = state.fork()
        state.advanced = (at, copy, record_due(copy, at, now))
    _, copy, lapses = state.advanced
    result = _apply(copy, command, at, now, binding, lapses)
    accounts[state.account_id] = copy
    return result


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
    return Account(state.account_id, from_moment(state.opened_at), replayed=not is_first)


def _balance(state: AccountState, at: int) -> Balance:
    seen = state
    if state.due_at is not None and state.due_at <= at:
        seen = state.fork()
        record_due(seen, at, at)
    return answers.balance(state.account_id, at, seen.buckets)


_RULES: dict[type[Any], Callable[[AccountState, Any, int, int, Binding], Posting]] = {
    GrantCredits: grants.grant,
    RevokeGrant: grants.revoke,
    Adjust: grants.adjust,
    SetCreditLine: grants.set_credit_line,
    SetLimit: limits.set_limit,
    Reserve: holds.reserve,
    Capture: holds.capture,
    Release: holds.release,
    Extend: holds.extend,
    Refund: holds.refund,
    LaunchRun: runs.launch,
    SettleRun: runs.settle,
}

__all__ = ["Rejection", "decide", "record_due"]
