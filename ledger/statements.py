"""Statements: an account's entries of a period, between the balance before it and the balance after."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from ledger import answers
from ledger.accounts import buckets_after, buckets_before
from ledger.checks import check_id
from ledger.entries import read_windows, to_entry
from ledger.errors import CommandInvalid
from ledger.instants import clock, from_instant, from_optional, to_instant
from ledger.places import sequence_before
from ledger.present import read_present
from ledger.states import BALANCES, AccountState, Posting
from ledger.values import Statement


def get_statement(
    session: Session,
    account_id: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    after: int = 0,
    limit: int | None = None,
) -> Statement:
    """Entries that took effect in `[since, until)`: from the first one and until now by default.

    The opening balance plus the entries' transfers is the closing balance. What lapsed within the period appears
    as an entry even where it has not been recorded yet. A page at a time: `limit` entries, and the last one's sequence
    as `after` for the next page; the balances are then those before and after the page. Raises `AccountNotFound`,
    `CommandInvalid`.
    """
    check_id(account_id, "account_id")
    start = None if since is None else to_instant(since, "since")
    end = clock() + 1 if until is None else to_instant(until, "until")
    if start is not None and start > end:
        raise CommandInvalid("since", "is after until. Give a period that ends after it begins.")
    _check_page(after, limit)
    state = read_present(session, account_id, end - 1)
    recorded_last = state.sequence - len(state.postings)
    connection = session.connection()
    before = 0 if start is None else sequence_before(connection, account_id, start, recorded_last)
    first = max(before, after)
    last = sequence_before(connection, account_id, end, recorded_last)
    if limit is not None:
        last = min(last, first + limit)
    postings = [
        posting for window in read_windows(connection, account_id, after=first, last=last) for posting in window
    ]
    postings += [posting for posting in state.postings if posting.sequence > first and _within(posting, start, end)]
    if limit is not None:
        del postings[limit:]
    if first > before:
        opening = _buckets_after(session, account_id, first, state)
    else:
        opening = (0,) * len(BALANCES) if start is None else _buckets_before(session, account_id, start, state.postings)
    closing = postings[-1].buckets if postings else opening
    return Statement(
        account_id=account_id,
        since=from_optional(start),
        until=from_instant(end),
        opening=answers.balance(account_id, end if start is None else start, opening),
        entries=tuple(to_entry(posting) for posting in postings),
        closing=answers.balance(account_id, end, closing),
    )


def _check_page(after: object, limit: object) -> None:
    if not isinstance(after, int) or isinstance(after, bool) or not 0 <= after < 2**62:
        raise CommandInvalid("after", "is no entry's sequence. Give the last one of the page before, or 0.")
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise CommandInvalid("limit", "must be a whole number of 1 or more entries.")


def _buckets_after(session: Session, account_id: str, sequence: int, state: AccountState) -> tuple[int, ...]:
    """The balance that an entry left, recorded or not; the last one's for one that is still to come."""
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
