"""Statements as finance reads them: each entry with its run, dataset, rate card and line items, proven as it is read.

A change that came due within the period and is not recorded yet is a line of the statement too, as balances count it:
its `is_recorded` is False, and `ledger.expire_due` records exactly this entry.

A statement proves itself while its lines are read: its opening balance is the account's balance as of the beginning;
the balance after each entry is the one before it and its transfers; the last one is the closing balance, which is the
account's balance as of the end. Anything else is in `findings`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from sqlalchemy.orm import Session

from estimator import LineItem
from ledger.accounts import get_balance
from ledger.book import answers
from ledger.book.answers import to_entry
from ledger.book.buckets import BUCKETS, ISSUED
from ledger.book.postings import Posting
from ledger.documents import credits_text
from ledger.errors import Finding
from ledger.finance.calendar import AccountingPeriod
from ledger.model.ids import format_run_id
from ledger.model.moments import MOMENT_MIN, from_moment, from_optional
from ledger.model.values import Balance, Entry
from ledger.statements import OpenStatement, open_statement
from ledger.storage.sessions import connection_of
from ledger.storage.stores import fetch_one

COLUMNS = BUCKETS[ISSUED + 1 :]
"""The buckets that are columns of a statement: all but `issued`, where credits come from."""

_MICROSECOND = timedelta(microseconds=1)
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, InvalidOperation)


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One entry, with its run, its rate card and its line items.

    `card_id` and `card_name` are those of the rate card that priced the entry's run. `line_items` sum to what a launch
    was estimated at, or to what a settlement charged; other entries have none. `changes` are micro-credits by bucket,
    as `COLUMNS` orders them. `is_recorded` is False for a change that came due and is not in the journal yet.
    """

    entry: Entry
    is_recorded: bool
    changes: tuple[int, ...]
    run_id: str | None = None
    dataset_id: str | None = None
    card_id: str | None = None
    card_name: str | None = None
    line_items: tuple[LineItem, ...] = ()


@dataclass(slots=True)
class AccountStatement:
    """One account's statement of `[since, until)`. Read its `lines` once; `findings` are complete after the last.

    `since` is None for a statement from the first entry on. `changes_before` are the changes that came due before the
    period and are not recorded yet: micro-credits by bucket, which the opening balance counts.
    """

    account_id: str
    since: datetime | None
    until: datetime
    opening: Balance
    closing: Balance
    count: int
    lines: Iterator[StatementLine]
    changes_before: tuple[int, ...]
    findings: list[Finding] = field(default_factory=list)


def read_statement(
    session: Session, account_id: str, *, since: datetime | None = None, until: datetime | None = None
) -> AccountStatement:
    """The statement of one account for `[since, until)`: from its first entry and until now by default.

    At most a few thousand entries are in memory. The book must not change while its lines are read: on
    PostgreSQL, begin with `read_one_moment` where others write. Raises `AccountNotFound`, `CommandInvalid`.
    """
    opened = open_statement(session, account_id, since=since, until=until)
    start = opened.until if opened.since is None else opened.since
    found = AccountStatement(
        account_id=account_id,
        since=from_optional(opened.since),
        until=from_moment(opened.until),
        opening=answers.balance(account_id, start, opened.opening),
        closing=answers.balance(account_id, opened.until, opened.closing),
        count=opened.count,
        lines=iter(()),
        changes_before=tuple(map(sum, zip(*map(_changes, opened.waiting_before), strict=True))) or (0,) * len(COLUMNS),
    )
    found.lines = _lines(session, opened, found.findings)
    return found


def read_period(session: Session, account_id: str, period: AccountingPeriod) -> AccountStatement:
    """The statement of one account for an accounting period. Raises `AccountNotFound`."""
    return read_statement(session, account_id, since=period.since, until=period.until)


def _lines(session: Session, opened: OpenStatement, findings: list[Finding]) -> Iterator[StatementLine]:
    """The lines of a statement; `findings` are complete after the last."""
    findings += _as_of(session, opened)
    runs = _Runs(session, opened.account_id)
    proof = _Proof(opened, findings)
    try:
        for posting in opened.postings:
            changes = proof.take(posting)
            yield _line(posting, changes, posting.sequence <= opened.recorded_last, runs)
    except _UNREADABLE as error:
        message = f"it, or one after it, cannot be read ({type(error).__name__}: {error})"
        findings.append(Finding(opened.account_id, proof.sequence, "entry_unreadable", message))
        return
    proof.end()


def _as_of(session: Session, opened: OpenStatement) -> Iterator[Finding]:
    """Where the opening or closing balance of a statement is not the account's balance as of that moment."""
    ends = (("closing", opened.until, opened.closing), ("opening", opened.since, opened.opening))
    for name, moment, buckets in ends:
        if moment is None or moment == MOMENT_MIN:
            continue  # nothing was before
        then = get_balance(session, opened.account_id, at=from_moment(moment) - _MICROSECOND)
        stated = answers.balance(opened.account_id, moment, buckets)
        for column in (*COLUMNS, "owed"):
            ours, theirs = getattr(stated, column), getattr(then, column)
            if ours != theirs:
                message = f"the {name} balance has {ours} {column}, and the balance as of then {theirs}"
                yield Finding(opened.account_id, None, f"{name}_differs", message)


class _Proof:
    """Adds up the transfers of a statement; keeps only the first wrong entry, as later ones follow from it."""

    def __init__(self, opened: OpenStatement, findings: list[Finding]) -> None:
        self._opened = opened
        self._findings = findings
        self._balances = _columns(opened.opening)
        self.sequence: int | None = None
        self._has_failed = False

    def take(self, posting: Posting) -> tuple[int, ...]:
        """What an entry changes in each of `COLUMNS`."""
        changes = _changes(posting)
        balances = tuple(before + change for before, change in zip(self._balances, changes, strict=True))
        left = _columns(posting.buckets)
        if self.sequence is not None and posting.sequence != self.sequence + 1:
            self._fail(posting.sequence, "entry_missing", f"the entry before it is {self.sequence}")
        if balances != left:
            name, ours, theirs = next(row for row in zip(COLUMNS, balances, left, strict=True) if row[1] != row[2])
            message = f"it leaves {credits_text(theirs)} {name}; what was there before and its transfers make"
            self._fail(posting.sequence, "entry_differs", f"{message} {credits_text(ours)}")
        self._balances = left
        self.sequence = posting.sequence
        return changes

    def end(self) -> None:
        """Compare the balance after the last entry with the closing balance."""
        for name, ours, theirs in zip(COLUMNS, self._balances, _columns(self._opened.closing), strict=True):
            if ours != theirs:
                message = (
                    f"the entries end with {credits_text(ours)} {name}, the closing balance has {credits_text(theirs)}"
                )
                self._fail(self.sequence, "closing_differs", message)

    def _fail(self, sequence: int | None, code: str, message: str) -> None:
        if not self._has_failed:
            self._findings.append(Finding(self._opened.account_id, sequence, code, message))
        self._has_failed = True


def _columns(buckets: tuple[int, ...]) -> tuple[int, ...]:
    return buckets[ISSUED + 1 : len(BUCKETS)]


def _changes(posting: Posting) -> tuple[int, ...]:
    """What an entry's transfers change in each of `COLUMNS`."""
    changes = [0] * len(BUCKETS)
    for _, source, target, amount in posting.transfers:
        changes[source] -= amount
        changes[target] += amount
    return _columns(tuple(changes))


def _line(posting: Posting, changes: tuple[int, ...], is_recorded: bool, runs: _Runs) -> StatementLine:
    details = posting.parsed_details()
    dataset_id, started_ms = details.get("dataset_id"), details.get("started_ms")
    run_id = None if dataset_id is None or started_ms is None else format_run_id(dataset_id, started_ms)
    card_id = details.get("card_id")
    if card_id is None and run_id is not None and posting.reservation is not None:
        card_id = runs.card_of(posting.reservation)
    return StatementLine(
        entry=to_entry(posting),
        is_recorded=is_recorded,
        changes=changes,
        run_id=run_id,
        dataset_id=dataset_id,
        card_id=card_id,
        card_name=None if card_id is None else runs.name_of(card_id),
        line_items=tuple(_item(item) for item in _stored_items(details)),
    )


def _stored_items(details: dict[str, Any]) -> list[dict[str, Any]]:
    """The line items of a settlement, or of the answer that a launch gave."""
    if "line_items" in details:
        return list(details["line_items"])
    return list(details.get("response", {}).get("line_items") or ())


def _item(stored: dict[str, Any]) -> LineItem:
    price = stored.get("unit_price")
    return LineItem(
        stored["code"],
        stored["label"],
        stored.get("quantity"),
        None if price is None else Decimal(str(price)),
        Decimal(str(stored["credits"])),
    )


@dataclass(slots=True)
class _Runs:
    """What entries of one account's runs do not say themselves: the names of cards, and the card of a launch."""

    session: Session
    account_id: str
    names: dict[str, str | None] = field(default_factory=dict)

    def name_of(self, card_id: str) -> str | None:
        """The name of a card in the ledger's own copy; None where there is no copy."""
        if card_id not in self.names:
            content = self._first(_CARD, card_id)
            self.names[card_id] = None if content is None else json.loads(content).get("name")
        return self.names[card_id]

    def card_of(self, reservation: int) -> str | None:
        """The card under which a run was launched."""
        details = self._first(_LAUNCH, reservation)
        card_id: str | None = None if details is None else json.loads(details).get("card_id")
        return card_id

    def _first(self, statement: str, value: Any) -> Any:
        row = fetch_one(connection_of(self.session), statement, self.account_id, value)
        return None if row is None else row[0]


_CARD = "SELECT content FROM ledger_card WHERE account_id = $1 AND card_id = $2"
_LAUNCH = "SELECT details FROM ledger_entry WHERE account_id = $1 AND sequence = $2"
