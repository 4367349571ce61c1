"""Arguments of lists and cursors: both databases refuse the same ones, by the name of the argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.orm import Session

import ledger
from ledger.finance import entries_since
from ledger.finance.exports.feed import Cursor
from tests.ledger.conftest import START

LIMITS = [-1, 0, 10**20, "5", 2.5, True, None]
LISTS: dict[str, Callable[[Session, Any], Any]] = {
    "list_reservations": lambda session, limit: ledger.list_reservations(session, "acme", limit=limit),
    "list_outbox": lambda session, limit: ledger.list_outbox(session, limit=limit),
    "deliver_outbox": lambda session, limit: ledger.deliver_outbox(session, print, limit=limit),
    "expire_due": lambda session, limit: ledger.expire_due(session, limit=limit),
    "entries_since": lambda session, limit: entries_since(session, limit=limit),
    "get_statement": lambda session, limit: ledger.get_statement(session, "acme", limit=limit or 0),
}


@pytest.mark.parametrize("limit", LIMITS, ids=repr)
@pytest.mark.parametrize("name", LISTS)
def test_a_limit_is_a_whole_number_of_rows(session: Session, acme: str, name: str, limit: Any) -> None:
    """Refused before anything is read, whatever the database would make of it."""
    with pytest.raises(ledger.CommandInvalid) as refused:
        LISTS[name](session, limit)
    assert refused.value.field == "limit"
    assert "give a whole number from 1 to" in str(refused.value)


OTHER = "beta/r2"
AFTERS = [OTHER, "acme", "acme/g2", "acme/r-1", "acme/r01", "", 7, "acme/r99999999999999999999"]


@pytest.mark.parametrize("after", AFTERS, ids=repr)
def test_a_page_of_reservations_goes_on_after_one_of_the_same_account(session: Session, acme: str, after: Any) -> None:
    """An id of another account, of another thing or of no thing is no place in this list."""
    ledger.open_account(session, "beta", at=START)
    ledger.grant_credits(session, "beta", 5, at=START)
    assert ledger.reserve(session, "beta", 1, at=START).reservation_id == OTHER
    with pytest.raises(ledger.CommandInvalid) as refused:
        ledger.list_reservations(session, acme, after=after)
    assert refused.value.field == "after"


@pytest.mark.parametrize("state", ["open", "", 5, "HELD"], ids=repr)
def test_reservations_are_listed_by_a_state_that_there_is(session: Session, acme: str, state: Any) -> None:
    """The refusal names the states."""
    with pytest.raises(ledger.CommandInvalid, match="held, captured, released, expired") as refused:
        ledger.list_reservations(session, acme, state=state)
    assert refused.value.field == "state"


@pytest.mark.parametrize("after", ["acme/o1", "nobody/o5", "acme/r1", "x"])
def test_a_page_of_the_outbox_goes_on_after_a_start_that_there_is(session: Session, acme: str, after: str) -> None:
    """A start that does not exist is refused, and not read as the end of the list."""
    with pytest.raises(ledger.CommandInvalid) as refused:
        ledger.list_outbox(session, after=after)
    assert refused.value.field == "after"


@pytest.mark.parametrize("positions", [{"acme": 99}, {"acme": 3}])
def test_a_cursor_ahead_of_the_book_is_refused(session: Session, acme: str, positions: dict[str, int]) -> None:
    """It was given by another book, or before a restore."""
    with pytest.raises(ledger.CommandInvalid) as refused:
        entries_since(session, Cursor(positions))
    assert refused.value.field == "cursor"
