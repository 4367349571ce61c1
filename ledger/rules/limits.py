"""Spend limits: what holds with a label may take in a day, a month or ever, and how many may be open at once.

A hold counts with its whole amount in the window in which it was made. What it frees, and what is refunded later, is
subtracted in that same window. What a capture takes above its hold counts too, but no limit refuses it, because the
work is done. A limit counts holds from the moment at which it is set.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from estimator.credits import from_micro
from ledger.book.postings import Binding, Posting
from ledger.book.states import AccountState, LimitState, UsageKey
from ledger.commands import SetLimit
from ledger.errors import LimitExceeded
from ledger.model.cycles import LimitPeriod, window_start
from ledger.model.values import EntryKind

UNLIMITED = 2**63 - 1
Counted = list[tuple[LimitState, UsageKey]]


def set_limit(state: AccountState, command: SetLimit, at: int, now: int, binding: Binding) -> Posting:
    """Set, change or lift a limit. A lifted limit counts nothing until it is set again."""
    maximum = command.maximum_units
    limit = find_limit(state, command)
    if limit is None:
        number = state.sequence + 1
        limit = LimitState(number, command.label, command.value, str(command.period), maximum, is_new=True)
        state.limits[number] = limit
        state.limits_count, state.is_retermed = state.limits_count + 1, True
    limit.maximum, limit.is_changed = maximum, True
    details = {
        "limit": limit.number,
        "label": limit.label,
        "value": limit.value,
        "period": limit.period,
        "maximum": maximum,
    }
    return state.post(EntryKind.LIMIT, at=at, recorded_at=now, details=details, transfers=[], binding=binding)


def find_limit(state: AccountState, command: SetLimit) -> LimitState | None:
    """The account's limit on the same label, value and period."""
    named = (command.label, command.value, command.period)
    same = (limit for limit in state.limits.values() if (limit.label, limit.value, limit.period) == named)
    return next(same, None)


def matching(state: AccountState, labels: dict[str, str], at: int) -> Counted:
    """The limits that a hold with these labels counts against, each with the key that it counts under."""
    if not state.limits:
        return []
    return [
        (limit, (limit.number, value, window_start(limit.period, at)))
        for limit in state.limits.values()
        if limit.maximum is not None and (value := limit.value_of(labels)) is not None
    ]


def left_of(state: AccountState, limit: LimitState, key: UsageKey) -> int:
    """What a limit leaves: micro-credits, or holds. It is below 0 after captures above it, or after it was lowered."""
    usage = state.usage.get(key)
    if usage is None:
        return limit.maximum or 0
    return (limit.maximum or 0) - (usage.holds if limit.period == LimitPeriod.CONCURRENT else usage.spent)


def left_of_limits(state: AccountState, labels: dict[str, str], at: int) -> int:
    """The micro-credits that all limits together leave for a hold with these labels."""
    spending = [pair for pair in matching(state, labels, at) if pair[0].period != LimitPeriod.CONCURRENT]
    return max(0, min((left_of(state, *pair) for pair in spending), default=UNLIMITED))


def check_limits(state: AccountState, labels: dict[str, str], amount: int, at: int) -> None:
    """Raise `LimitExceeded` for the first limit that leaves less than a hold of this amount takes."""
    for limit, key in matching(state, labels, at):
        left = left_of(state, limit, key)
        asked = 1 if limit.period == LimitPeriod.CONCURRENT else amount
        if asked > left and asked:
            raise LimitExceeded(state.account_id, describe(limit, key[1]), _units(limit, asked), _units(limit, left))


def count_hold(state: AccountState, limits: Counted, amount: int) -> list[list[Any]]:
    """Count a new hold against its limits. Answers the keys it was counted under, to be stored with the hold."""
    for _, key in limits:
        usage = state.usage_of(key)
        usage.spent += amount
        usage.holds += 1
        usage.is_changed = True
    return [list(key) for _, key in limits]


def describe(limit: LimitState, value: str) -> str:
    """A limit in words, such as `credits per day of project 'p1'`."""
    what = "concurrent holds" if limit.period == LimitPeriod.CONCURRENT else "credits"
    per = "" if limit.period in (LimitPeriod.CONCURRENT, LimitPeriod.TOTAL) else f" per {limit.period}"
    return f"{what}{per}" + (f" of {limit.label} {value!r}" if limit.label else "")


def _units(limit: LimitState, amount: int) -> Decimal:
    return Decimal(amount) if limit.period == LimitPeriod.CONCURRENT else from_micro(amount)
