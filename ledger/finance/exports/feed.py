"""The feed: new entries of the book since a cursor, for warehouses.

A cursor has for every account the last entry that was given. An account's entries are numbered without gaps and
committed in that order, so none can appear later before one that was given, however many writers there are. No entry is
missed, and none is given twice to a reader who keeps the cursor in the transaction that stores the entries.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from ledger.book.answers import to_entry
from ledger.errors import CommandInvalid
from ledger.model.checks import check_limit
from ledger.model.values import Entry
from ledger.storage.history import read_windows
from ledger.storage.sessions import connection_of

LIMIT_MAX = 100_000
_ACCOUNTS = 1_000
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a reader has come: the last sequence by account, and the account with which the last page ended.

    As JSON it takes the length of the account's id and about ten characters for each account that has entries.
    """

    positions: Mapping[str, int] = field(default_factory=dict)
    after: str = ""

    def to_json(self) -> str:
        """One line that `from_json` reads."""
        document = {"version": _VERSION, "after": self.after, "positions": dict(self.positions)}
        return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, written: str) -> Cursor:
        """The cursor that `to_json` wrote. Raises `CommandInvalid`."""
        try:
            document = json.loads(written)
            if document["version"] == _VERSION and isinstance(document["after"], str):
                return cls(
                    {str(name): _position(last) for name, last in document["positions"].items()}, document["after"]
                )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            pass
        raise CommandInvalid("cursor", "is no cursor of this feed. Give one that it gave, or none to begin anew.")


def _position(last: Any) -> int:
    if not isinstance(last, int) or isinstance(last, bool) or last < 0:
        raise ValueError("no sequence")
    return last


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Entries, each account's in order, and the cursor behind them. `is_last`: there were no more at that moment."""

    entries: tuple[Entry, ...]
    cursor: Cursor
    is_last: bool


def entries_since(session: Session, cursor: Cursor | None = None, *, limit: int = 1_000) -> FeedPage:
    """The next entries behind a cursor, at most `limit` of them; from the book's beginning without one.

    Accounts take turns from page to page, so that a busy one delays no other. A lapse that is due and not recorded yet
    is not in the feed: run `ledger.expire_due` first. Raises `CommandInvalid`, also for the cursor of another book.
    """
    check_limit(limit, LIMIT_MAX)
    given = cursor or Cursor()
    positions, after = dict(given.positions), given.after
    found: list[Entry] = []
    for account_id, size in _in_turn(session, given.after):
        first = positions.get(account_id, 0)
        if first > size:
            raise CommandInvalid("cursor", f"is ahead of account {account_id!r}. It was given by another book.")
        last = min(size, first + limit - len(found))
        for window in read_windows(connection_of(session), account_id, after=first, last=last):
            found += [to_entry(posting) for posting in window]
        if last > first:
            positions[account_id], after = last, account_id
        if len(found) == limit:
            return FeedPage(tuple(found), Cursor(positions, after), is_last=False)
    return FeedPage(tuple(found), Cursor(positions, after), is_last=True)


_BEHIND = text(
    f"SELECT account_id, sequence FROM ledger_account WHERE account_id > :after ORDER BY account_id LIMIT {_ACCOUNTS}"
)
_UP_TO = text(
    "SELECT account_id, sequence FROM ledger_account WHERE account_id > :after AND account_id <= :last"
    f" ORDER BY account_id LIMIT {_ACCOUNTS}"
)


def _in_turn(session: Session, after: str) -> Iterator[tuple[str, int]]:
    """All accounts with the number of their entries: those after one, then the others up to it."""
    yield from _pages(session, _BEHIND, {"after": after})
    yield from _pages(session, _UP_TO, {"after": "", "last": after})


def _pages(session: Session, statement: Any, values: dict[str, str]) -> Iterator[tuple[str, int]]:
    while rows := connection_of(session).execute(statement, values).all():
        yield from ((name, size) for name, size in rows)
        values["after"] = rows[-1][0]
