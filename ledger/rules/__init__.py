"""The decisions: commands and accounts in memory become entries of those accounts and one result a command. Pure.

May import `commands`, `book`, `model`, `ledger.errors` and the public names of `estimator`.

A command is decided in four steps, the same for every command and every database:

1. Its account must exist, and its key must be free. A key bound by the same request answers the first result again; a
   key bound by another request is a conflict.
2. Whatever has come due by the command's moment is recorded first, each event at its own moment (`timeline`).
3. All refusals are checked, in this order: not found, wrong state, limits, insufficient credits.
4. The command becomes one entry made of transfers. Each rule marks the line from which on it must succeed.

A rule may also stop with `GrantsIncomplete`. That refuses nothing: the batch is decided again, with more grants read.

An account's time never goes back: a command at a moment before the latest entry takes that entry's moment.
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
    """Decide commands in order; each sees what the ones before it did.

    `now` is the moment, in microseconds, of commands that give none. An accepted command changes `accounts`. A
    rejected one changes nothing, and its result is its error.
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
        # The row was inserted for a later command of this batch. For the commands before that one it does not exist.
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
    # A refused command changes nothing, so what had come due before it is recorded in a copy of the account. When the
    # command is accepted, the copy takes the account's place. When it is refused, the next command of that moment
    # uses the same copy.
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
        # The account's next due moment has been computed again, even where nothing lapsed, and must be written.
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
        seen.is_sketch = True
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
