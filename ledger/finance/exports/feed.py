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

from sqlalchemy.orm import Session

from ledger.book.answers import to_entry
from ledger.errors import AuditFailed, CommandInvalid, Finding
from ledger.model.checks import check_limit, is_storable
from ledger.model.values import Entry
from ledger.storage.history import read_windows
from ledger.storage.sessions import connection_of, connection_to_all
from ledger.storage.stores import fetch

LIMIT_MAX = 100_000
_ACCOUNTS = 1_000
_VERSION = 2
_UNREADABLE = "is no cursor of this feed. Give one that it gave, or none to begin anew."
_OTHER_BOOK = "It was given by another book, or before this one was restored: begin anew without a cursor."


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a reader is: the last sequence and its hash by account, and the account with which the last page ended.

    `heads` are the hashes, in hexadecimal: by them a book tells that it still has what the cursor saw. A cursor of an
    earlier version has none. As JSON it takes the length of the account's id and about 80 characters for each account
    that has entries.
    """

    positions: Mapping[str, int] = field(default_factory=dict)
    after: str = ""
    heads: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """One line that `from_json` reads."""
        document = {
            "version": _VERSION,
            "after": self.after,
            "positions": dict(self.positions),
            "heads": dict(self.heads),
        }
        return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, written: str) -> Cursor:
        """The cursor that was written, by this version or by an earlier one. Raises `CommandInvalid`."""
        try:
            document = json.loads(written)
            heads = {} if document["version"] == 1 else document["heads"]
            if document["version"] in (1, _VERSION) and isinstance(document["after"], str):
                return cls(
                    {str(name): _position(last) for name, last in document["positions"].items()},
                    document["after"],
                    {str(name): bytes.fromhex(head).hex() for name, head in heads.items()},
                )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            pass
        raise CommandInvalid("cursor", _UNREADABLE)


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
    is not in the feed: run `ledger.expire_due` first. Raises `CommandInvalid`, also for the cursor of another book, and
    `AuditFailed` where the book lacks an entry.
    """
    check_limit(limit, LIMIT_MAX)
    connection_to_all(session)
    if cursor is not None and not isinstance(cursor, Cursor):
        raise CommandInvalid("cursor", f"is a {type(cursor).__name__}; read one with `Cursor.from_json`.")
    given = cursor or Cursor()
    _check_cursor(given)
    positions, heads, after = dict(given.positions), dict(given.heads), given.after
    found: list[Entry] = []
    missing = set(positions)
    for account_id, size, head in _in_turn(session, given.after):
        missing.discard(account_id)
        first = positions.get(account_id, 0)
        seen = heads.get(account_id) if first else None
        if first > size:
            raise CommandInvalid("cursor", f"is ahead of this book's account {account_id!r}. {_OTHER_BOOK}")
        if first == size and seen not in (None, head):
            _entries(session, account_id, first, first, seen)
        if first == size and first:
            heads.setdefault(account_id, head)
        last = min(size, first + limit - len(found))
        if last > first:
            entries = _entries(session, account_id, first, last, seen)
            found += entries
            positions[account_id], heads[account_id], after = last, entries[-1].hash, account_id
        if len(found) == limit:
            return FeedPage(tuple(found), Cursor(positions, after, heads), is_last=False)
    if missing:
        raise CommandInvalid("cursor", f"names account {min(missing)!r}, which is not here. {_OTHER_BOOK}")
    return FeedPage(tuple(found), Cursor(positions, after, heads), is_last=True)


def _check_cursor(cursor: Cursor) -> None:
    positions = cursor.positions.values()
    is_sound = all(isinstance(last, int) and not isinstance(last, bool) and last >= 0 for last in positions)
    if not is_sound or not isinstance(cursor.after, str) or not is_storable(cursor.after):
        raise CommandInvalid("cursor", _UNREADABLE)


def _entries(session: Session, account_id: str, first: int, last: int, seen: str | None) -> list[Entry]:
    """The entries behind a position; the one at the position is read too, to tell that it is what the cursor saw."""
    connection = connection_of(session)
    before = first if seen is None else first - 1
    entries = [
        to_entry(posting)
        for window in read_windows(connection, account_id, after=before, last=last)
        for posting in window
    ]
    if seen is not None and (not entries or entries[0].hash != seen):
        raise CommandInvalid("cursor", f"is not of this book's account {account_id!r}. {_OTHER_BOOK}")
    if len(entries) != last - before:
        raise AuditFailed(
            [Finding(account_id, last, "entry_missing", f"entries {before + 1} to {last} are not all there")]
        )
    return entries if seen is None else entries[1:]


_SEQUENCES = "SELECT account_id, sequence, head FROM ledger_account WHERE account_id > $1"
_BEHIND = f"{_SEQUENCES} ORDER BY account_id LIMIT {_ACCOUNTS}"
_UP_TO = f"{_SEQUENCES} AND account_id <= $2 ORDER BY account_id LIMIT {_ACCOUNTS}"


def _in_turn(session: Session, after: str) -> Iterator[tuple[str, int, str]]:
    """All accounts with the number of their entries: those after one, then the others up to it."""
    yield from _pages(session, _BEHIND, after)
    yield from _pages(session, _UP_TO, "", after)


def _pages(session: Session, statement: str, after: str, *last: str) -> Iterator[tuple[str, int, str]]:
    while rows := fetch(connection_of(session), statement, after, *last):
        yield from ((name, size, bytes(head).hex()) for name, size, head in rows)
        after = rows[-1][0]
