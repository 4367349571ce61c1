"""What an account may owe and spend: its credit line, its spend limits, and what counts against them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy.orm import Session

from ledger.book import answers
from ledger.book.buckets import OWED
from ledger.clock import clock
from ledger.commands import SetCreditLine, SetLimit
from ledger.model.cycles import LimitPeriod, window_start
from ledger.model.moments import from_moment, to_moment
from ledger.model.values import CreditLine, Limit
from ledger.storage.history import require_account
from ledger.storage.journal import carry_out
from ledger.storage.present import read_present
from ledger.storage.sessions import connection_of
from ledger.storage.stores import fetch


def set_credit_line(
    session: Session, account_id: str, limit: Decimal | int, *, key: str | None = None, at: datetime | None = None
) -> CreditLine:
    """Let an account owe up to `limit` credits.

    The line lends what a hold or a capture needs when the grants are spent. New grants repay it first. With a `limit`
    below what is owed it lends nothing until enough is repaid. Raises `CommandInvalid`, `IdempotencyConflict`,
    `AccountNotFound`.
    """
    return carry_out(session, SetCreditLine(account_id, limit, key, at), CreditLine)


def get_credit_line(session: Session, account_id: str, *, at: datetime | None = None) -> CreditLine:
    """How much an account may owe and how much it owes, now or at a later moment. Raises `AccountNotFound`."""
    require_account(session, account_id)
    state = read_present(session, account_id, clock() if at is None else to_moment(at))
    return answers.credit_line(account_id, state.credit_limit, state.buckets[OWED])


def set_limit(
    session: Session,
    account_id: str,
    period: LimitPeriod | str,
    maximum: Decimal | int | None,
    *,
    label: str = "",
    value: str = "*",
    key: str | None = None,
    at: datetime | None = None,
) -> Limit:
    """Limit what holds may take: credits a UTC `day`, a UTC `month` or in `total`, or a number of `concurrent` holds.

    Without a `label` the limit is on the whole account. With one it is on holds that carry the label: on each value of
    it apart (`value` "*"), or on one value. A limit counts holds made after it was set. Setting it again changes its
    maximum; `maximum` None lifts it. A hold that any limit refuses is not made at all. Raises `CommandInvalid`,
    `IdempotencyConflict`, `AccountNotFound`.
    """
    return carry_out(session, SetLimit(account_id, period, maximum, label, value, key, at), Limit)


@dataclass(frozen=True, slots=True)
class LimitUsage:
    """What counts against a limit under one value of its label, in the window that begins at `window_start`.

    `used` and `left` are credits, or holds for a limit on concurrent ones. `window_start` is None where the limit
    has no windows.
    """

    limit: Limit
    value: str
    window_start: datetime | None
    used: Decimal
    left: Decimal


def list_limits(session: Session, account_id: str) -> list[Limit]:
    """An account's limits in the order in which they were first set. A lifted one has the maximum None."""
    require_account(session, account_id)
    rows = fetch(connection_of(session), _LIMITS, account_id)
    return [answers.limit(account_id, *row[1:]) for row in rows]


def list_limit_usage(session: Session, account_id: str, *, at: datetime | None = None) -> list[LimitUsage]:
    """What counts against each of an account's limits, now or at a later moment. Holds that lapse by then do not count.

    Values of a label under which nothing has counted in the window are not listed. Raises `AccountNotFound`.
    """
    require_account(session, account_id)
    moment = clock() if at is None else to_moment(at)
    state = read_present(session, account_id, moment)
    moment = max(moment, state.at)
    connection = connection_of(session)
    limits = {row[0]: row[1:] for row in fetch(connection, _LIMITS, account_id)}
    counted = {row[:3]: row[3:] for row in fetch(connection, _USAGE, account_id)}
    counted |= {key: (usage.spent, usage.holds) for key, usage in state.usage.items()}
    return [
        _usage(answers.limit(account_id, *limits[number]), value, window, spent, holds)
        for (number, value, window), (spent, holds) in sorted(counted.items())
        if limits[number][3] is not None and window == window_start(limits[number][2], moment)
    ]


def _usage(limit: Limit, value: str, window: int, spent: int, holds: int) -> LimitUsage:
    is_count = limit.period == LimitPeriod.CONCURRENT
    used = answers.limit_units(limit.period, holds if is_count else spent)
    start = from_moment(window) if limit.period in (LimitPeriod.DAY, LimitPeriod.MONTH) else None
    return LimitUsage(limit, value, start, used, max(Decimal(0), (limit.maximum or Decimal(0)) - used))


_LIMITS = "SELECT number, label, value, period, maximum FROM ledger_limit WHERE account_id = $1 ORDER BY number"
_USAGE = "SELECT limit_number, value, window_start, spent, holds FROM ledger_usage WHERE account_id = $1"
