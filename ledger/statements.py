"""Statements: an account's entries of a period, between the balance before it and the balance after."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from sqlalchemy.orm import Session

from ledger.book import answers
from ledger.book.answers import to_entry
from ledger.book.buckets import BALANCES
from ledger.book.postings import Posting
from ledger.book.states import AccountState
from ledger.clock import clock
from ledger.errors import CommandInvalid
from ledger.model.checks import check_id, check_limit
from ledger.model.moments import from_moment, from_optional, to_moment
from ledger.model.values import Statement
from ledger.storage.history import buckets_after, buckets_before, read_windows, sequence_before
from ledger.storage.present import read_present
from ledger.storage.sessions import connection_of


@dataclass(frozen=True, slots=True)
class OpenStatement:
    """A statement whose balances are known and whose entries are read one by one.

    `opening` and `closing` are micro-credits in the order of `ledger.book.buckets.BALANCES`; moments are microseconds.
    Entries after the sequence `recorded_last` have come due and are not recorded yet; `waiting_before` are those of
    them before the period.
    """

    account_id: str
    since: int | None
    until: int
    opening: tuple[int, ...]
    closing: tuple[int, ...]
    count: int
    recorded_last: int
    postings: Iterator[Posting]
    waiting_before: tuple[Posting, ...]


def get_statement(
    session: Session,
    account_id: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    after: int = 0,
    limit: int | None = None,
) -> Statement:
    """Entries that took effect in `[since, until)`; by default from the first entry until now.

    The opening balance plus the entries' transfers is the closing balance. What lapsed within the period appears as an
    entry even where it has not been recorded yet. For a page at a time give `limit`, and the last entry's sequence as
    `after` for the next page; the balances are then those before and after the page. Raises `AccountNotFound`,
    `CommandInvalid`.
    """
    found = open_statement(session, account_id, since=since, until=until, after=after, limit=limit)
    start = found.until if found.since is None else found.since
    return Statement(
        account_id=account_id,
        since=from_optional(found.since),
        until=from_moment(found.until),
        opening=answers.balance(account_id, start, found.opening),
        entries=tuple(to_entry(posting) for posting in found.postings),
        closing=answers.balance(account_id, found.until, found.closing),
    )


def open_statement(
    session: Session,
    account_id: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    after: int = 0,
    limit: int | None = None,
) -> OpenStatement:
    """As `get_statement`, without holding all entries in memory."""
    check_id(account_id, "account_id")
    start = None if since is None else to_moment(since, "since")
    end = clock() + 1 if until is None else to_moment(until, "until")
    if start is not None and start > end:
        raise CommandInvalid("since", "is after until. Give a period that ends after it begins.")
    _check_page(after, limit)
    state = read_present(session, account_id, end - 1, entries=True)
    recorded_last = state.sequence - len(state.postings)
    connection = connection_of(session)
    before = 0 if start is None else sequence_before(connection, account_id, start, recorded_last)
    first = max(before, after)
    last = max(first, sequence_before(connection, account_id, end, recorded_last))
    if limit is not None:
        last = min(last, first + limit)
    unrecorded = [posting for posting in state.postings if posting.sequence > first and _within(posting, start, end)]
    if limit is not None:
        del unrecorded[limit - (last - first) :]
    if first > before:
        opening = _buckets_after(session, account_id, first, state)
    else:
        opening = (0,) * len(BALANCES) if start is None else _buckets_before(session, account_id, start, state.postings)
    if unrecorded:
        closing = unrecorded[-1].buckets
    else:
        closing = buckets_after(session, account_id, last) if last > first else opening
    return OpenStatement(
        account_id=account_id,
        since=start,
        until=end,
        opening=opening,
        closing=closing,
        count=last - first + len(unrecorded),
        recorded_last=recorded_last,
        postings=chain(_recorded(session, account_id, first, last), unrecorded),
        waiting_before=tuple(posting for posting in state.postings if start is not None and posting.at < start),
    )


def _recorded(session: Session, account_id: str, first: int, last: int) -> Iterator[Posting]:
    if last > first:
        for window in read_windows(connection_of(session), account_id, after=first, last=last):
            yield from window


def _check_page(after: object, limit: object) -> None:
    if not isinstance(after, int) or isinstance(after, bool) or not 0 <= after < 2**62:
        raise CommandInvalid("after", "is no entry's sequence. Give the last one of the page before, or 0.")
    if limit is not None:
        check_limit(limit, 2**62)


def _buckets_after(session: Session, account_id: str, sequence: int, state: AccountState) -> tuple[int, ...]:
    """The balance that an entry left, recorded or not. A sequence beyond the last entry means the last entry."""
    unrecorded = [posting for posting in state.postings if posting.sequence <= sequence]
    if unrecorded:
        return unrecorded[-1].buckets
    return buckets_after(session, account_id, min(sequence, state.sequence - len(state.postings)))


def _within(posting: Posting, start: int | None, end: int) -> bool:
    return (start is None or posting.at >= start) and posting.at < end


def _buckets_before(session: Session, account_id: str, start: int, unrecorded: list[Posting]) -> tuple[int, ...]:
    """The balance before a moment, counting lapses that have not been recorded yet."""
    earlier = [posting for posting in unrecorded if posting.at < start]
    return earlier[-1].buckets if earlier else buckets_before(session, account_id, start)
