"""Every verb of the public API on one account: what tests run that hold a promise for all of them.

`test_sharding` holds that nothing public is left out, so that a new verb is covered or fails there.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

import ledger
from estimator import RateCardBook, RunOutcome, RunRequest, estimate, plan_run
from ledger.finance import close_period
from tests.ledger.conftest import START, later
from tests.ledger.test_runs import BODY, KEYED, PLAIN, PROFILE, launch

NOW = later(9)


@dataclass(frozen=True, slots=True)
class Filled:
    """An account with rows in every table and something due, the ids that verbs name, and a plain account beside it.

    The plain one has no scoped grant and nothing due, so that operations on it read its first grants only.
    """

    account_id: str
    plain_id: str
    grant_id: str
    hold_id: str
    captured_id: str
    run_id: str


def fill(session: Session, account_id: str) -> Filled:
    """Open an account and write rows of it into every table but that of closings; open a plain one beside it."""
    plain_id = f"{account_id}-plain"
    ledger.open_account(session, plain_id, at=START)
    ledger.grant_credits(session, plain_id, 100, at=START)
    labels = {"project": "p"}
    ledger.open_account(session, account_id, at=START)
    ledger.set_credit_line(session, account_id, 50, at=START)
    ledger.grant_credits(session, account_id, 10, key="first", at=START)
    lent = ledger.reserve(session, account_id, 40, at=START).reservation_id
    ledger.capture(session, lent, at=START)
    granted = ledger.grant_credits(session, account_id, 500, at=START)
    ledger.grant_credits(session, account_id, 5, expires_at=later(2), at=START)
    ledger.grant_credits(session, account_id, 5, scope={"project": ["p"]}, effective_at=later(3), at=START)
    ledger.grant_credits(session, account_id, 5, recurrence=ledger.Recurrence("day"), at=START)
    for period, maximum in (("total", 5000), ("day", 4000), ("concurrent", 40)):
        ledger.set_limit(session, account_id, period, maximum, label="project", at=START)
    hold = ledger.reserve(session, account_id, 3, labels=labels, key="hold", expires_in=timedelta(days=9), at=START)
    ledger.reserve(session, account_id, 1, labels=labels, expires_in=timedelta(seconds=1), at=START)
    ledger.reserve(session, account_id, 1, expires_in=timedelta(days=3), at=START)
    run = launch(session, KEYED, account_id=account_id)
    return Filled(account_id, plain_id, granted.grant_id, hold.reservation_id, lent, str(run.run_id))


def close_february(session: Session) -> None:
    """Close the month before the tests' time, in which an account of its own has a grant."""
    before = START - timedelta(days=1)
    ledger.open_account(session, "february", at=before)
    ledger.grant_credits(session, "february", 1, at=before)
    close_period(session, "2026-02", by="a test")


def launch_command(account_id: str) -> ledger.LaunchRun:
    """The command to launch a run of another dataset."""
    request = RunRequest.from_wire(BODY)
    plan = plan_run(request, PROFILE, PLAIN)
    return ledger.LaunchRun(account_id, "d2", request, plan, PLAIN, estimate(plan, PLAIN), at=NOW)


OUTCOME = RunOutcome("succeeded", rows_processed=50, rows_delivered=50)
LABELS = {"project": "p"}

COMMANDS: dict[type[Any], Callable[[Filled], ledger.Command]] = {
    ledger.OpenAccount: lambda of: ledger.OpenAccount(of.account_id, NOW),
    ledger.GetBalance: lambda of: ledger.GetBalance(of.account_id, NOW),
    ledger.ExpireDue: lambda of: ledger.ExpireDue(of.account_id, NOW),
    ledger.SetCreditLine: lambda of: ledger.SetCreditLine(of.account_id, 60, at=NOW),
    ledger.SetLimit: lambda of: ledger.SetLimit(of.account_id, "month", 5, at=NOW),
    ledger.Adjust: lambda of: ledger.Adjust(of.account_id, -1, "a test", at=NOW),
    ledger.GrantCredits: lambda of: ledger.GrantCredits(of.account_id, 5, "k", at=NOW),
    ledger.RevokeGrant: lambda of: ledger.RevokeGrant(of.grant_id, at=NOW),
    ledger.Reserve: lambda of: ledger.Reserve(of.account_id, 5, "k", at=NOW, labels=LABELS),
    ledger.Capture: lambda of: ledger.Capture(of.hold_id, 1, "k", at=NOW),
    ledger.Release: lambda of: ledger.Release(of.hold_id, "k", at=NOW),
    ledger.Extend: lambda of: ledger.Extend(of.hold_id, timedelta(days=1), "k", at=NOW),
    ledger.Refund: lambda of: ledger.Refund(of.captured_id, at=NOW),
    ledger.LaunchRun: lambda of: launch_command(of.account_id),
    ledger.SettleRun: lambda of: ledger.SettleRun(of.account_id, of.run_id, OUTCOME, at=NOW),
}
"""A command of each kind."""


def find_launch(session: Session, of: Filled) -> ledger.Launch | None:
    """Look up the launch that the account's run began with."""
    return ledger.find_launch(session, of.account_id, "d1", RunRequest.from_wire(KEYED))


def launch_again(session: Session, of: Filled, body: dict[str, Any], **options: Any) -> ledger.Launch:
    """Launch a request."""
    given = {"dataset_id": "d2", "profile": PROFILE, "cards": RateCardBook([PLAIN]), "at": NOW} | options
    return ledger.launch(session, account_id=of.account_id, request=RunRequest.from_wire(body), **given)


def execute(session: Session, command: ledger.Command) -> ledger.Result:
    """Carry out one command, which must not be refused."""
    (result,) = ledger.execute(session, [command])
    if isinstance(result, Exception):
        raise result
    return result


def _executed(make: Callable[[Filled], ledger.Command]) -> Callable[[Session, Filled], ledger.Result]:
    return lambda session, of: execute(session, make(of))


def execute_together(session: Session, of: Filled) -> list[Any]:
    """Carry out a batch of every kind of command, and on both accounts: some exclude one another, most succeed."""
    batch = [make(of) for make in COMMANDS.values()]
    batch += [ledger.Reserve(of.plain_id, 1, f"key-{number}", at=NOW) for number in range(2)]
    results = ledger.execute(session, batch)
    refusals = [result for result in results if isinstance(result, Exception)]
    if len(refusals) > len(batch) / 2:
        raise refusals[0]
    return results


def _settle(session: Session, of: Filled) -> ledger.RunSettlement:
    return ledger.settle_run(session, account_id=of.account_id, run_id=of.run_id, outcome=OUTCOME, at=NOW)


ON_ONE_ACCOUNT: dict[str, Callable[[Session, Filled], Any]] = {
    "adjust": lambda session, of: ledger.adjust(session, of.account_id, -1, reason="a test", at=NOW),
    "audit": lambda session, of: list(ledger.audit(session, account_id=of.account_id)),
    "capture": lambda session, of: ledger.capture(session, of.hold_id, 1, at=NOW),
    "capture more": lambda session, of: ledger.capture(session, of.hold_id, 9, over="credit_line", at=NOW),
    "execute together": execute_together,
    "expire_due": lambda session, of: ledger.expire_due(session, account_id=of.account_id, at=NOW),
    "extend": lambda session, of: ledger.extend(session, of.hold_id, timedelta(days=1), at=NOW),
    "find_launch": find_launch,
    "forecast": lambda session, of: ledger.forecast(
        session, of.account_id, [ledger.PlannedRun(NOW, 5, LABELS), ledger.PlannedRun(NOW + timedelta(days=9), 5)]
    ),
    "get_balance": lambda session, of: ledger.get_balance(session, of.account_id),
    "get_balance then": lambda session, of: ledger.get_balance(session, of.account_id, at=START),
    "get_credit_line": lambda session, of: ledger.get_credit_line(session, of.account_id),
    "get_reservation": lambda session, of: ledger.get_reservation(session, of.hold_id),
    "get_statement": lambda session, of: ledger.get_statement(session, of.account_id, since=START),
    "grant_credits": lambda session, of: ledger.grant_credits(session, of.account_id, 9, at=NOW),
    "launch": lambda session, of: launch_again(session, of, BODY),
    "launch estimate": lambda session, of: launch_again(session, of, {"estimate": True}),
    "launch replay": lambda session, of: launch_again(session, of, KEYED, dataset_id="d1"),
    "list_grants": lambda session, of: ledger.list_grants(session, of.account_id, ended=True),
    "list_limit_usage": lambda session, of: ledger.list_limit_usage(session, of.account_id),
    "list_limits": lambda session, of: ledger.list_limits(session, of.account_id),
    "list_outbox": lambda session, of: ledger.list_outbox(session, account_id=of.account_id),
    "list_reservations": lambda session, of: ledger.list_reservations(session, of.account_id, state="held"),
    "open_account": lambda session, of: ledger.open_account(session, of.account_id),
    "refund": lambda session, of: ledger.refund(session, of.captured_id, 35, at=NOW),
    "release": lambda session, of: ledger.release(session, of.hold_id, at=NOW),
    "require_clean": lambda session, of: ledger.require_clean(session, account_id=of.account_id),
    "reserve": lambda session, of: ledger.reserve(session, of.account_id, 5, labels=LABELS, at=NOW),
    "reserve replay": lambda session, of: ledger.reserve(
        session, of.account_id, 3, labels=LABELS, key="hold", expires_in=timedelta(days=9), at=NOW
    ),
    "reserve plainly": lambda session, of: ledger.reserve(session, of.plain_id, 5, at=NOW),
    "reserve all": lambda session, of: ledger.reserve(session, of.account_id, 9000, at_most=True, at=NOW),
    "revoke_grant": lambda session, of: ledger.revoke_grant(session, of.grant_id, at=NOW),
    "set_credit_line": lambda session, of: ledger.set_credit_line(session, of.account_id, 60, at=NOW),
    "set_limit": lambda session, of: ledger.set_limit(session, of.account_id, "day", 5, at=NOW),
    "settle_run": _settle,
} | {f"execute {kind.__name__}": _executed(make) for kind, make in COMMANDS.items()}
"""What each verb does with one account; a key's first word is the verb."""

OVER_ACCOUNTS: dict[str, Callable[[Session], Any]] = {
    "audit": lambda session: list(ledger.audit(session)),
    "list_accounts": ledger.list_accounts,
    "list_outbox": ledger.list_outbox,
    "require_clean": ledger.require_clean,
    "take_checkpoint": ledger.take_checkpoint,
    "verify_checkpoint": lambda session: list(ledger.verify_checkpoint(session, ledger.take_checkpoint(session))),
}
"""What reads all accounts: for finance and operators, not part of any operation on one."""

ON_POSTGRESQL = {"set_account"}

DELIVERIES = {"deliver_outbox"}
"""What works on rows of many accounts, and on one account's rows at a time: see `test_outbox`."""


def public_verbs() -> set[str]:
    """The names of all public functions that work in a caller's session."""
    functions = {name: getattr(ledger, name) for name in ledger.__all__ if inspect.isfunction(getattr(ledger, name))}
    return {name for name, given in functions.items() if next(iter(inspect.signature(given).parameters)) == "session"}
