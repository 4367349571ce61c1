"""Statements tie."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from sqlalchemy.orm import Session

import ledger
from ledger import Bucket
from ledger.storage import history as entries
from tests.ledger.conftest import START, later


def history(session: Session) -> None:
    """Grant at 0, reserve at 10 for 30 s, grant at 20 until 60; nothing recorded after that."""
    ledger.open_account(session, "acme", at=START)
    ledger.grant_credits(session, "acme", 10, key="first", at=START)
    ledger.reserve(session, "acme", 4, expires_in=timedelta(seconds=30), at=later(10))
    ledger.grant_credits(session, "acme", 5, expires_at=later(60), at=later(20))


def test_a_statement_has_the_entries_of_its_period_between_two_balances(session: Session) -> None:
    history(session)
    statement = ledger.get_statement(session, "acme", since=later(10), until=later(20))
    assert [(entry.sequence, entry.kind) for entry in statement.entries] == [(2, "reserve")]
    assert (statement.opening.available, statement.opening.held) == (10, 0)
    assert (statement.closing.available, statement.closing.held) == (6, 4)
    assert statement.entries[0].balance.held == statement.closing.held


def test_lapses_of_the_period_are_entries_though_nothing_has_recorded_them(session: Session) -> None:
    history(session)
    statement = ledger.get_statement(session, "acme", since=later(40), until=later(61))
    assert [(entry.sequence, entry.kind, entry.at) for entry in statement.entries] == [
        (4, "expire", later(40)),
        (5, "expire", later(60)),
    ]
    assert (statement.opening.available, statement.opening.held) == (11, 4)
    assert (statement.closing.available, statement.closing.expired) == (10, 5)
    # Recording them gives the very same entries.
    ledger.expire_due(session, at=later(60))
    recorded = ledger.get_statement(session, "acme", since=later(40), until=later(61))
    assert [entry.transfers for entry in recorded.entries] == [entry.transfers for entry in statement.entries]
    assert recorded.closing == statement.closing


def test_an_opening_balance_counts_lapses_before_the_period(session: Session) -> None:
    history(session)
    statement = ledger.get_statement(session, "acme", since=later(50), until=later(55))
    assert (statement.entries, statement.opening.available, statement.opening.held) == ((), 15, 0)
    assert statement.closing.available == 15


def test_opening_plus_transfers_is_closing_for_every_bucket(session: Session) -> None:
    history(session)
    ledger.expire_due(session, at=later(70))
    for since, until in ((None, later(100)), (later(5), later(40)), (later(20), later(20)), (later(41), later(100))):
        statement = ledger.get_statement(session, "acme", since=since, until=until)
        for bucket in (Bucket.AVAILABLE, Bucket.HELD, Bucket.CONSUMED, Bucket.EXPIRED, Bucket.REVOKED):
            moved = sum(
                part.amount * ((part.target == bucket) - (part.source == bucket))
                for entry in statement.entries
                for part in entry.transfers
            )
            assert getattr(statement.opening, bucket) + moved == getattr(statement.closing, bucket)


def test_a_statement_runs_from_the_first_entry_until_now_by_default(session: Session) -> None:
    history(session)
    statement = ledger.get_statement(session, "acme")
    assert statement.since is None
    assert len(statement.entries) == 5
    assert statement.opening.issued == 0
    assert statement.entries[0].key == "first"
    assert statement.entries[1].reservation_id == "acme/r2"


def test_a_period_that_ends_before_it_begins_or_has_no_zone_is_refused(session: Session) -> None:
    history(session)
    with pytest.raises(ledger.CommandInvalid, match="since"):
        ledger.get_statement(session, "acme", since=later(2), until=later(1))
    with pytest.raises(ledger.CommandInvalid, match="until"):
        ledger.get_statement(session, "acme", until=later(1).replace(tzinfo=None))


def test_entries_are_read_a_window_at_a_time(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "WINDOW", 2)
    history(session)
    sequences = [entry.sequence for entry in ledger.get_statement(session, "acme").entries]
    assert sequences == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
@pytest.mark.parametrize("since", [None, 5])
def test_the_pages_of_a_statement_join_to_the_whole_with_what_has_lapsed(
    session: Session, limit: int, since: int | None
) -> None:
    history(session)
    period = {"since": None if since is None else later(since), "until": later(100)}
    whole = ledger.get_statement(session, "acme", **period)
    assert [entry.kind for entry in whole.entries][-2:] == ["expire", "expire"]
    pages, after = [], 0
    while True:
        pages.append(ledger.get_statement(session, "acme", **period, after=after, limit=limit))
        if not pages[-1].entries:
            break
        after = pages[-1].entries[-1].sequence
    assert tuple(entry for page in pages for entry in page.entries) == whole.entries
    assert all(len(page.entries) <= limit for page in pages)
    for page, following in pairwise(pages):
        assert (page.closing.available, page.closing.held) == (following.opening.available, following.opening.held)
    assert (pages[0].opening, pages[-1].closing) == (whole.opening, whole.closing)


@pytest.mark.parametrize("page", [{"after": -1}, {"after": True}, {"after": 2**62}, {"limit": 0}, {"limit": 1.5}])
def test_a_page_that_is_none_is_refused(session: Session, page: dict[str, int]) -> None:
    history(session)
    with pytest.raises(ledger.CommandInvalid, match=r"after|limit"):
        ledger.get_statement(session, "acme", **page)
