"""The figures of a year as the ledger's own readers tell them: statements, balances, and the stream of the book."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

import ledger
from estimator.credits import to_micro
from ledger.finance import AccountingPeriod, stream_book
from tests.finance_year.figures import (
    BUCKETS,
    MONTHS,
    Buckets,
    Figures,
    Month,
    changes,
    month_of,
    plus,
    roll,
)


def buckets_of(balance: ledger.Balance) -> Buckets:
    """A balance in micro-credits."""
    return tuple(to_micro(getattr(balance, name)) for name in BUCKETS)


def book_figures(session: Session, accounts: Iterable[str]) -> tuple[Figures, list[str]]:
    """What the transfers of all entries add up to, and every entry that says that its balance is another."""
    found: Figures = {}
    problems: list[str] = []
    name, running = "", (0,) * len(BUCKETS)
    for entry in stream_book(session):
        if entry.account_id != name:
            name, running = entry.account_id, (0,) * len(BUCKETS)
        month = found.setdefault((name, month_of(entry.at)), Month())
        month.entries += bool(entry.moves)
        moved = Month()
        for _, source, target, amount in entry.moves:
            moved.moves[source, target] += amount
            month.moves[source, target] += amount
        running = plus(running, changes(moved.moves))
        if running != entry.balances:
            problems.append(f"{name} entry {entry.sequence}: left {entry.balances}, its transfers {running}")
            running = entry.balances
    return roll(found, accounts), problems


def statement_figures(session: Session, accounts: Iterable[str]) -> tuple[Figures, list[str]]:
    """What the statements of all months say, and where one does not follow from its entries or the one before."""
    found: Figures = {}
    problems: list[str] = []
    for name in accounts:
        closing: Buckets = (0,) * len(BUCKETS)
        for month in MONTHS:
            period = AccountingPeriod.parse(month)
            statement = ledger.get_statement(session, name, since=period.since, until=period.until)
            figures = Month(closing=buckets_of(statement.closing))
            for entry in statement.entries:
                figures.entries += bool(entry.transfers)
                for moved in entry.transfers:
                    figures.moves[str(moved.source), str(moved.target)] += to_micro(moved.amount)
            found[name, month] = figures
            opening = buckets_of(statement.opening)
            if opening != closing:
                problems.append(f"{name} {month}: the statement opens with {opening}, the one before closes {closing}")
            follows = plus(opening, changes(figures.moves))
            if follows != figures.closing:
                problems.append(f"{name} {month}: the statement closes with {figures.closing}, its entries {follows}")
            closing = figures.closing
    return found, problems


def balance_figures(session: Session, accounts: Iterable[str]) -> Figures:
    """The balances as of the last moment of each month."""
    return {
        (name, month): Month(closing=buckets_of(ledger.get_balance(session, name, at=last_moment(month))))
        for name in accounts
        for month in MONTHS
    }


def last_moment(month: str) -> datetime:
    """The last microsecond of a month."""
    return AccountingPeriod.parse(month, UTC).until - timedelta(microseconds=1)
