"""Where the ledger answers otherwise than some case expects, on purpose: each policy is about a feature, not a case.

A policy is looked up only when a step did not come out as expected. It is given the steps up to and with that one,
the case's own policy before them as a step `policy`, and what the ledger answered; it applies or it does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Steps = list[dict[str, Any]]


@dataclass(frozen=True)
class Policy:
    """A rule of the ledger's own, and when it is the reason for an answer."""

    name: str
    says: str
    applies: Callable[[Steps, str], bool]


def _all_and_its_sum(steps: Steps, found: str) -> bool:
    """The same capture under the same key, once as all there is and once as the sum that this came to."""
    last = steps[-1]
    if last.get("op") != "capture" or found != "key_mismatch" or last.get("expect") != "replay":
        return False
    others = [step for step in steps[:-1] if step.get("op") == "capture" and step.get("key") == last.get("key")]
    said = {str(step.get("amount")) for step in [*others, last] if step.get("id") == last.get("id")}
    return len(said & {"all", "rest"}) == 1 and len(said) >= 2


def _estimate_binds_no_key(steps: Steps, found: str) -> bool:
    last = steps[-1]
    same = [step for step in steps[:-1] if step.get("op") == "call" and step.get("key") == last.get("key")]
    were_estimates = bool(same) and all(step.get("body", {}).get("dry_run") for step in same)
    return last.get("op") == "call" and last.get("expect") == "key_mismatch" and found == "ok" and were_estimates


def _one_name_space(steps: Steps, found: str) -> bool:
    last = steps[-1]
    same = [step for step in steps[:-1] if step.get("op") == "call" and step.get("key") == last.get("key")]
    is_other = any(step.get("endpoint") != last.get("endpoint") for step in same)
    return last.get("op") == "call" and last.get("expect") == "ok" and found == "key_mismatch" and is_other


def _own_bounds(steps: Steps, found: str) -> bool:
    last = steps[-1]
    return last.get("op") in ("ttl_ms", "extend_by_ms", "grace_ms") and found == "ok" and last.get("expect") == "reject"


def _more_than_six_decimals(steps: Steps, found: str) -> bool:
    last = steps[-1]
    exponents = (Decimal(str(last[name])).as_tuple().exponent for name in ("amount", "credits") if name in last)
    return found == "refused" and any(isinstance(exponent, int) and exponent < -6 for exponent in exponents)


def _no_transfers(steps: Steps, found: str) -> bool:
    return steps[-1].get("op") == "transfers" and found == "unsupported"


def _keys_never_expire(steps: Steps, found: str) -> bool:
    rule = f"{steps[-1].get('when', '')} {steps[-1].get('then', '')}"
    return steps[-1].get("op") == "rule" and found == "replay" and ("prune" in rule or "older" in rule)


def _refusals_bind_nothing(steps: Steps, found: str) -> bool:
    then = str(steps[-1].get("then", ""))
    return steps[-1].get("op") == "rule" and found == "replay of successes" and ("500" in then or "fail" in then)


def _short_recurrence(steps: Steps, found: str) -> bool:
    periods = [step["recur"]["every"] for step in steps if isinstance(step.get("recur"), dict)]
    return found == "refused" and any(period % 3600 for period in periods)


def _overage_carries(steps: Steps, found: str) -> bool:
    is_forgiven = any(step.get("op") == "reset" and not step.get("preserve_overage") for step in steps)
    return steps[-1].get("op") == "evaluate" and found.startswith("differs") and is_forgiven


def _line_lends_to_holds(steps: Steps, found: str) -> bool:
    last = steps[-1]
    is_hold = last.get("op") in ("reserve", "debit", "take")
    has_line = any(step.get("op") == "policy" and step.get("credit_line") for step in steps)
    return is_hold and found == "ok" and last.get("expect") in ("insufficient", "overdraft_limit") and has_line


POLICIES = [
    Policy(
        "key-binds-request-as-sent",
        "A key binds the request as it was sent: `all` and the sum that it came to are two requests.",
        _all_and_its_sum,
    ),
    Policy(
        "estimate-binds-no-key",
        "An estimate holds nothing and binds no key; the first call that holds credits does.",
        _estimate_binds_no_key,
    ),
    Policy(
        "keys-are-one-name-space",
        "The keys of an account's verbs are one name space, so that a key used twice by mistake is never two effects;"
        " only the keys of launches belong to their dataset.",
        _one_name_space,
    ),
    Policy(
        "durations-up-to-a-century",
        "A hold, its extension and its grace may last up to 36,525 days, and a hold less than a second.",
        _own_bounds,
    ),
    Policy(
        "amounts-are-exact",
        "An amount of more than six decimals is refused, never rounded.",
        _more_than_six_decimals,
    ),
    Policy(
        "no-transfers-between-accounts",
        "Credits move between the buckets of one account; an account's book is its own, and never goes below zero.",
        _no_transfers,
    ),
    Policy("keys-never-expire", "A key binds its request for ever.", _keys_never_expire),
    Policy(
        "refusals-bind-nothing",
        "Only what succeeded is kept under a key; a refused call leaves its key free, and a retry is decided anew.",
        _refusals_bind_nothing,
    ),
    Policy(
        "recurrences-count-hours",
        "A recurrence comes every so many hours, days, weeks, months or years, none shorter than an hour.",
        _short_recurrence,
    ),
    Policy(
        "credit-line-lends-to-holds",
        "A credit line lends to holds as it does to captures, up to its limit, whatever is owed already.",
        _line_lends_to_holds,
    ),
    Policy(
        "debts-outlast-periods",
        "What a credit line lent is owed until it is repaid; no period's end forgives it.",
        _overage_carries,
    ),
]


def policy_for(steps: Steps, found: str) -> Policy | None:
    """The policy that is the reason for an answer, if one is."""
    return next((policy for policy in POLICIES if policy.applies(steps, found)), None)
