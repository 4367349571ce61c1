"""Reads of an account's journal: entries by number, by key and in windows, and the place of a moment in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from ledger.book.buckets import BALANCES, BUCKET_NUMBERS
from ledger.book.postings import PostedTransfer, Posting
from ledger.errors import AccountNotFound
from ledger.model.checks import check_id
from ledger.schema.tables import EntryRow, TransferRow
from ledger.storage import queries
from ledger.storage.rows import posting_of
from ledger.storage.sessions import connection_of
from ledger.storage.shapes import RowShape
from ledger.storage.stores import fetch, fetch_keys, fetch_one

WINDOW = 2000
"""The most entries in one window."""

_IN_SPAN = "WHERE account_id = $1 AND sequence > $2 AND sequence <= $3 ORDER BY sequence"
_ENTRIES = f"SELECT {', '.join(RowShape.of(EntryRow).columns)} FROM ledger_entry {_IN_SPAN} LIMIT $4"
_TRANSFERS = f"SELECT {', '.join(RowShape.of(TransferRow).columns)} FROM ledger_transfer {_IN_SPAN}, ordinal"


def read_spans(
    connection: Connection, account_id: str, *, after: int, last: int, size: int
) -> Iterator[tuple[list[Any], list[Any], int]]:
    """Rows of an account with sequence in (after, last]: at most `size` entries, their transfers, and the span's end.

    A span lasts to its last entry, the final one to `last`, so that rows which belong to no entry are read as well.
    """
    while after < last:
        entries = fetch(connection, _ENTRIES, account_id, after, last, size)
        end = entries[-1][1] if len(entries) == size else last
        yield entries, fetch(connection, _TRANSFERS, account_id, after, end), end
        after = end


def read_windows(
    connection: Connection, account_id: str, *, after: int = 0, last: int = 2**63 - 1
) -> Iterator[list[Posting]]:
    """An account's entries with sequence in (after, last], a window of up to 2,000 at a time."""
    for entries, rows, _ in read_spans(connection, account_id, after=after, last=last, size=WINDOW):
        transfers: dict[int, list[PostedTransfer]] = {}
        for _, sequence, _, grant, source, target, amount in rows:
            transfer = (grant, BUCKET_NUMBERS[source], BUCKET_NUMBERS[target], amount)
            transfers.setdefault(sequence, []).append(transfer)
        if entries:
            yield [posting_of(row, transfers.get(row[1], [])) for row in entries]


def read_keyed(connection: Connection, account_id: str, scope: str, key: str) -> Posting | None:
    """The entry that bound a key; None while the key is free."""
    found = postings_of(connection, fetch_keys(connection, queries.KEYED_ENTRIES, [(account_id, scope, key)]))
    return found[0] if found else None


def read_postings(connection: Connection, keys: Iterable[tuple[str, int]]) -> list[Posting]:
    """Entries by account and sequence, with their transfers."""
    return postings_of(connection, fetch_keys(connection, queries.ENTRIES, keys))


def postings_of(connection: Connection, rows: Sequence[Any]) -> list[Posting]:
    """Entry rows, all columns in the table's order, joined with their transfers."""
    transfers = read_transfers(connection, [(row[0], row[1]) for row in rows])
    return [posting_of(row, transfers.get((row[0], row[1]), [])) for row in rows]


def read_transfers(
    connection: Connection, keys: Iterable[tuple[str, int]]
) -> dict[tuple[str, int], list[PostedTransfer]]:
    """Transfers by account and sequence, in their order."""
    return moves_of(fetch_keys(connection, queries.TRANSFERS, keys))


def moves_of(rows: Iterable[Any]) -> dict[tuple[str, int], list[PostedTransfer]]:
    """The transfers of rows of `queries.TRANSFERS`, by account and sequence."""
    transfers: dict[tuple[str, int], list[PostedTransfer]] = {}
    for account_id, sequence, grant, source, target, amount in rows:
        transfer = (grant, BUCKET_NUMBERS[source], BUCKET_NUMBERS[target], amount)
        transfers.setdefault((account_id, sequence), []).append(transfer)
    return transfers


def read_sequence(connection: Connection, account_id: str) -> int | None:
    """The sequence of an account's latest entry. A change of it during a read means that the read was overtaken."""
    marks = read_marks(connection, account_id)
    return None if marks is None else marks[0]


def read_marks(connection: Connection, account_id: str) -> tuple[int, int] | None:
    """The sequence of an account's latest entry and its count of closings. A change means that a read was overtaken."""
    rows = fetch_keys(connection, queries.MARKS, [(account_id,)])
    return (rows[0][1], rows[0][2]) if rows else None


def sequence_before(connection: Connection, account_id: str, moment: int, last: int | None = None) -> int:
    """The sequence of the last entry that took effect before a moment, among entries up to `last`; 0 for none.

    An account's time never goes back, so its entries are in the order of time. A search over the primary key finds the
    place in a few steps, without an index of moments and without a scan.
    """
    account = fetch_one(connection, _ENDS, account_id)
    if account is None:
        return 0
    opened_at, sequence, at = account
    found = fetch_one(connection, _PLACE, account_id, moment, opened_at, 1 + (sequence if last is None else last), at)
    return 0 if found is None else int(found[0])


_ENDS = "SELECT opened_at, sequence, at FROM ledger_account WHERE account_id = $1"


# The search is one recursive query. Entry `low` took effect before the moment; entry `high` did not, or is one beyond
# the last. Each step narrows them, in two rows of the recursion: the first row chooses `probe`, an entry between them;
# the second row has read it, and moves `low` or `high` to it. `turn` counts the rows.
#
# Steps go round in threes. The first two interpolate: they look where the moment would be if the entries were evenly
# spaced in time, once a little before that place and once a little after it. The third step halves the interval. Evenly
# spaced entries are found after reading few pages of a long journal; any others take at most three times the steps of
# a binary search. Interpolation uses floating point, which is exact enough, because it only chooses where to look.
_HALFWAY = "(low + high) / 2"


_EVENLY = "low + CAST((high - low) * (CAST($2 - low_at AS double precision) / (high_at - low_at)) AS bigint)"


_ASIDE = "(high - low) / 64 * (1 - turn / 2 % 3 * 2)"


_GUESS = (
    f"CASE WHEN turn / 2 % 3 = 2 OR high_at <= low_at OR $2 > high_at THEN {_HALFWAY} ELSE {_EVENLY} - {_ASIDE} END"
)


_BETWEEN = f"CASE WHEN {_GUESS} <= low THEN low + 1 WHEN {_GUESS} >= high THEN high - 1 ELSE {_GUESS} END"


_IS_BEFORE = "e.at < $2"


_IS_AFTER = "probe IS NOT NULL AND (e.at IS NULL OR e.at >= $2)"


_PLACE = (
    "WITH RECURSIVE place(low, low_at, high, high_at, probe, turn) AS ("
    " SELECT CAST(0 AS bigint), CAST($3 AS bigint), CAST($4 AS bigint), CAST($5 AS bigint), CAST(NULL AS bigint), 0"
    " UNION ALL SELECT"
    f" CASE WHEN {_IS_BEFORE} THEN probe ELSE low END, CASE WHEN {_IS_BEFORE} THEN e.at ELSE low_at END,"
    f" CASE WHEN {_IS_AFTER} THEN probe ELSE high END,"
    f" CASE WHEN {_IS_AFTER} THEN coalesce(e.at, high_at) ELSE high_at END,"
    f" CASE WHEN probe IS NULL THEN {_BETWEEN} END, turn + 1"
    " FROM place LEFT JOIN ledger_entry e ON e.account_id = $1 AND e.sequence = probe"
    " WHERE high - low > 1) SELECT low FROM place WHERE high - low <= 1"
)


def buckets_before(session: Session, account_id: str, moment: int, last: int | None = None) -> tuple[int, ...]:
    """The balance after the last entry that took effect before a moment; zeros before the first entry."""
    return buckets_after(session, account_id, sequence_before(connection_of(session), account_id, moment, last))


def buckets_after(session: Session, account_id: str, sequence: int) -> tuple[int, ...]:
    """The balance after an entry; zeros for sequence 0."""
    row = fetch_one(connection_of(session), _BALANCE_AFTER, account_id, sequence)
    return (0,) * len(BALANCES) if row is None else row


_BALANCE_AFTER = f"SELECT {', '.join(BALANCES)} FROM ledger_entry WHERE account_id = $1 AND sequence = $2"


def require_account(session: Session, account_id: str) -> None:
    """Raise `AccountNotFound` unless the account is open."""
    check_id(account_id, "account_id")
    if fetch_one(connection_of(session), "SELECT 1 FROM ledger_account WHERE account_id = $1", account_id) is None:
        raise AccountNotFound(account_id)
