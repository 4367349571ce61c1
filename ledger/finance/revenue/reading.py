"""Revenue of a period: what was sold, recognised, refunded, broke, is deferred and owed; by account and grant.

Computed from the transfers of the book alone, which the database adds up (`ledger.accounting.rollforwards` says what
they mean and how the figures roll forward). A closed period answers what it answered when it was closed: it counts the
entries that its closing counted. An effect that was recorded later, with a moment in a closed period, counts in the
first open one as an adjustment. So of two successive periods the closing of the first is the opening of the second, and

    opening + flows + adjustments = closing

The answer for a closed period, or for any part or union of closed periods, does not change. Of a union, an effect that
was recorded after one of its periods had been closed is no adjustment.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain, groupby
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from estimator.credits import from_micro
from ledger.accounting.money import CreditCost, Figures, Terms, money_of, priced, total_figures
from ledger.accounting.rollforwards import (
    ADJUSTING,
    BEFORE,
    DEFERRED,
    OF_DEBT_SQL,
    WITHIN,
    AccountedTransfer,
    Deferral,
    amount_of,
    sheets_of,
)
from ledger.errors import AuditFailed, Finding
from ledger.finance.calendar import AccountingPeriod
from ledger.finance.stream import ROWS_AT_ONCE
from ledger.model.ids import format_grant_id
from ledger.model.moments import to_moment
from ledger.model.values import EntryKind
from ledger.storage.history import require_account
from ledger.storage.sessions import connection_of, connection_over
from ledger.storage.stores import fetch, fetch_one, stream


@dataclass(frozen=True, slots=True)
class RevenueLine:
    """One grant in a period. `per_credit` and `currency` are its cost basis; both None without one."""

    account_id: str
    grant_id: str
    kind: str
    basis: CreditCost | None
    deferral: Deferral

    @property
    def per_credit(self) -> Decimal | None:
        """What one credit cost."""
        return None if self.basis is None else self.basis.per_credit

    @property
    def currency(self) -> str | None:
        """The currency of the cost."""
        return None if self.basis is None else self.basis.currency

    def credits(self, flow: str, *, adjusted: bool = False) -> Decimal:
        """An amount of `rollforwards.amount_of` in credits."""
        return from_micro(amount_of(self.deferral, flow, adjusted=adjusted))

    def money(self, flow: str, *, adjusted: bool = False) -> Decimal | None:
        """The same in money, exactly; None for a grant without a cost basis."""
        if self.basis is None:
            return None
        return money_of(amount_of(priced(self.deferral, self.basis), flow, adjusted=adjusted))


@dataclass(frozen=True, slots=True)
class AccountRevenue:
    """One account in a period: its grants that had anything deferred or moved, and its figures by kind and currency.

    `figures.receivable` is what is owed to its credit line.
    """

    account_id: str
    lines: tuple[RevenueLine, ...]
    figures: Figures


class AccountTransfers(NamedTuple):
    """An account's transfers by grant and part of the book; `last` is its latest entry before the end, if asked for."""

    account_id: str
    transfers: dict[int, list[tuple[int, AccountedTransfer]]]
    last: int


class Span(NamedTuple):
    """A period in microseconds, and the moment up to which the book is closed; None where nothing is."""

    since: int
    until: int
    closed_until: int | None

    @classmethod
    def of(cls, session: Session, period: AccountingPeriod) -> Span:
        """The span of a period, with the closings that there are now."""
        ((closed_until,),) = fetch(connection_of(session), "SELECT max(until) FROM ledger_closing")
        return cls(to_moment(period.since, "since"), to_moment(period.until, "until"), closed_until)

    def is_open(self, moment: int) -> bool:
        """True for a moment that no closing covers: entries count before it by their moment alone."""
        return self.closed_until is None or moment > self.closed_until


def stream_revenue(
    session: Session, period: AccountingPeriod, *, account_id: str | None = None
) -> Iterator[AccountRevenue]:
    """The revenue of every account, or of one, that had anything deferred or owed, or moved, in a period; in order.

    The lines of a closed period are computed from the entries that its closing counted. A lapse that is due and not
    recorded yet is not in the book: run `ledger.expire_due` first. Raises `AccountNotFound`, and `AuditFailed` where
    the lines differ from what the closing keeps, or an entry moves credits of a grant that has no row.
    """
    if account_id is not None:
        require_account(session, account_id)
    span = Span.of(session, period)
    is_closed = not span.is_open(span.until) and has_closing(session, span)
    for counted in count_transfers(session, span, account_id=account_id):
        found = revenue_of(session, counted)
        if is_closed:
            _compare(session, span, found)
        if found.figures.has_any():
            yield found


def has_closing(session: Session, span: Span) -> bool:
    """True when exactly this period was closed."""
    return fetch_one(connection_of(session), _CLOSED, span.since, span.until) is not None


_CLOSED = "SELECT 1 FROM ledger_closing WHERE since = $1 AND until = $2 LIMIT 1"
_OF_ONE = " AND {} = ${}"
_STORED = "SELECT account_id, figures FROM ledger_closing WHERE since = $1 AND until = $2{of_one} ORDER BY account_id"


def stream_figures(
    session: Session, period: AccountingPeriod, *, account_id: str | None = None
) -> Iterator[tuple[str, Figures]]:
    """The figures of every account, or of one; for a closed period those that its closing keeps."""
    span = Span.of(session, period)
    if not has_closing(session, span):
        yield from (
            (found.account_id, found.figures) for found in stream_revenue(session, period, account_id=account_id)
        )
        return
    if account_id is not None:
        require_account(session, account_id)
    of_one, named = ("", ()) if account_id is None else (_OF_ONE.format("account_id", 3), (account_id,))
    statement, values = _STORED.format(of_one=of_one), (span.since, span.until, *named)
    for part in stream(connection_over(session, account_id), statement, values, size=ROWS_AT_ONCE):
        for name, written in part:
            figures = Figures.from_json(written)
            if figures.has_any():
                yield name, figures


def total_revenue(session: Session, period: AccountingPeriod, *, account_id: str | None = None) -> Figures:
    """The figures of the whole book, or of one account: the stored ones, for a period that was closed."""
    return total_figures(figures for _, figures in stream_figures(session, period, account_id=account_id))


def _compare(session: Session, span: Span, found: AccountRevenue) -> None:
    """Raise `AuditFailed` unless the lines of a closed period come to what was stored of it."""
    statement = _STORED.format(of_one=_OF_ONE.format("account_id", 3))
    row = fetch_one(connection_of(session), statement, span.since, span.until, found.account_id)
    if row is None or row[1] != found.figures.to_json():
        message = "its entries do not come to what the closing of the period says. Run `credits audit`"
        raise AuditFailed([Finding(found.account_id, None, "closing_wrong", message)])


_BY = "e.account_id, t.grant_number, t.source, t.target"
_IN_DEFERRED = ", ".join(f"'{bucket}'" for bucket in DEFERRED)
# Sums of halves, as the sum of many amounts may be beyond int64 where a grant is spent and refunded over and over.
_TRANSFERS = (
    f"SELECT {_BY}, {{part}} AS part, CASE WHEN e.kind = '{EntryKind.REFUND}' THEN 1 ELSE 0 END AS is_refund,"
    f" CASE WHEN {OF_DEBT_SQL} THEN 1 ELSE 0 END AS is_of_debt,"
    " sum(t.amount >> 31) AS high, sum(t.amount & 2147483647) AS low"
    " FROM ledger_entry e JOIN ledger_transfer t ON t.account_id = e.account_id AND t.sequence = e.sequence{joins}"
    f" WHERE e.at < $2 AND NOT (t.source IN ({_IN_DEFERRED}) AND t.target IN ({_IN_DEFERRED})){{conditions}}"
    f" GROUP BY {_BY}, 5, 6, 7"
)
_LASTS = (
    "SELECT account_id, NULL, NULL, NULL, 0, 0, 0, 0, max(sequence) FROM ledger_entry WHERE at < $2 GROUP BY account_id"
)
_PART_OPEN = f"CASE WHEN e.at < $1 THEN {BEFORE} ELSE {WITHIN} END"
_PART_CLOSED = (
    f"CASE WHEN e.at >= $1 THEN {WITHIN} WHEN e.sequence <= coalesce(b.sequence, 0) THEN {BEFORE} ELSE {ADJUSTING} END"
)
_BEGINS = " LEFT JOIN ledger_closing b ON b.account_id = e.account_id AND b.since < $1 AND b.until >= $1"
_ENDS = " JOIN ledger_closing c ON c.account_id = e.account_id AND c.since < $2 AND c.until >= $2"


def count_transfers(
    session: Session, span: Span, *, account_id: str | None = None, is_closing: bool = False
) -> Iterator[AccountTransfers]:
    """The transfers of every account, or of one, before and in a period; by account id.

    One statement, so one moment of the book, whatever is written meanwhile. A closing counts from the book's beginning,
    and gets each account's latest entry, also where nothing moved.
    """
    part, joins, conditions = _PART_OPEN, "", ""
    if is_closing or not span.is_open(span.since):
        part, joins = _PART_CLOSED, _BEGINS
    if not span.is_open(span.until):
        joins, conditions = joins + _ENDS, " AND e.sequence <= c.sequence"
    values: list[Any] = [span.since, span.until]
    if account_id is not None:
        conditions += _OF_ONE.format("e.account_id", 3)
        values.append(account_id)
    statement = _TRANSFERS.format(part=part, joins=joins, conditions=conditions)
    statement += f" UNION ALL {_LASTS} ORDER BY 1" if is_closing else " ORDER BY 1"
    parts = stream(connection_over(session, account_id), statement, values, size=ROWS_AT_ONCE)
    for name, group in groupby(chain.from_iterable(parts), itemgetter(0)):
        yield _counted(name, group)


def _counted(account_id: str, rows: Iterator[Any]) -> AccountTransfers:
    transfers: dict[int, list[tuple[int, AccountedTransfer]]] = {}
    last = 0
    for _, number, source, target, part, is_refund, is_of_debt, high, low in rows:
        if number is None:
            last = int(low)
            continue
        transfer = AccountedTransfer(source, target, (int(high) << 31) + int(low), bool(is_refund), bool(is_of_debt))
        transfers.setdefault(number, []).append((part, transfer))
    return AccountTransfers(account_id, transfers, last)


_GRANTS = (
    "SELECT g.number, g.kind, e.details FROM ledger_grant g JOIN ledger_entry e ON e.account_id = g.account_id"
    " AND e.sequence = coalesce(g.allowance, g.number) WHERE g.account_id = $1 ORDER BY g.number"
)


def revenue_of(session: Session, counted: AccountTransfers) -> AccountRevenue:
    """An account's lines and figures, from its transfers."""
    terms: dict[int, Terms] = {}
    for number, kind, details in fetch(connection_of(session), _GRANTS, counted.account_id):
        if number in counted.transfers:
            basis = CreditCost.of(json.loads(details)) if "cost_basis" in details else None
            terms[number] = Terms(kind, basis)
    for number in sorted(counted.transfers.keys() - terms.keys()):
        message = f"its entries move credits of {format_grant_id(counted.account_id, number)}, which has no row"
        raise AuditFailed([Finding(counted.account_id, None, "grant_missing", f"{message}. Run `credits audit`")])
    sheets = sheets_of(counted.transfers, {number: each.kind for number, each in terms.items()})
    figures = Figures()
    lines: list[RevenueLine] = []
    for number in sorted(sheets):
        sheet = sheets[number]
        figures.add_sheet(sheet, terms[number])
        if isinstance(sheet, Deferral) and sheet.has_any():
            name = format_grant_id(counted.account_id, number)
            lines.append(RevenueLine(counted.account_id, name, *terms[number], sheet))
    return AccountRevenue(counted.account_id, tuple(lines), figures)
