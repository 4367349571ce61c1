"""Sweeping: recording what has come due in every account, a few accounts a transaction, so that no customer waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from ledger.clock import clock
from ledger.model.checks import check_limit
from ledger.model.moments import from_moment, to_moment
from ledger.model.values import Expiry
from ledger.reservations import expire_due
from ledger.storage.transactions import run_transaction


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a sweep recorded: in how many accounts, how many holds and grants lapsed, and the credits of both."""

    accounts: int
    reservations: int
    grants: int
    freed: Decimal
    expired: Decimal


def sweep(engine: Engine, *, at: datetime | None = None, accounts_max: int = 20) -> SweepReport:
    """Record what has come due by a moment, now by default, in every account, and commit as it goes.

    Each transaction takes at most `accounts_max` accounts, so that a customer of one of them waits for a few
    milliseconds. An account that somebody else has locked is passed over: the next sweep takes it. Reads and writes see
    what has come due whether or not this has run. Raises `CommandInvalid`.
    """
    check_limit(accounts_max)
    until = from_moment(clock() if at is None else to_moment(at))
    done = SweepReport(0, 0, 0, Decimal(0), Decimal(0))
    seen: set[str] = set()

    def work(session: Session) -> list[Expiry]:
        return expire_due(session, at=until, limit=accounts_max)

    while recorded := run_transaction(engine, work):
        names = {expiry.account_id for expiry in recorded}
        if names <= seen:
            break
        seen |= names
        done = _with(done, recorded)
    return done


def _with(done: SweepReport, recorded: Sequence[Expiry]) -> SweepReport:
    return SweepReport(
        done.accounts + len(recorded),
        done.reservations + sum(len(expiry.reservations) for expiry in recorded),
        done.grants + sum(len(expiry.grants) for expiry in recorded),
        done.freed + sum(expiry.freed for expiry in recorded),
        done.expired + sum(expiry.expired for expiry in recorded),
    )
