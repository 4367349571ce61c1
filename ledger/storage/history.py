"""The journal as finance reads it: entries with their transfers, streamed in order, flat in memory."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from estimator.credits import from_micro
from ledger.book import answers
from ledger.book.states import BUCKETS, PostedTransfer, Posting
from ledger.model.ids import format_grant_id, format_reservation_id
from ledger.model.moments import from_moment
from ledger.model.values import Bucket, Entry, EntryKind, Transfer
from ledger.storage.keyed import fetch_raw
from ledger.storage.queries import ENTRY
from ledger.storage.snapshots import posting_of

WINDOW = 2000
"""Entries read at a time."""

_OF_WINDOW = "WHERE account_id = {0} AND sequence > {1} AND sequence <= {2} ORDER BY sequence"
_ENTRIES = f"SELECT {', '.join(column.name for column in ENTRY)} FROM ledger_entry {_OF_WINDOW} LIMIT {WINDOW}"
_TRANSFERS = (
    f"SELECT sequence, ordinal, grant_number, source, target, amount FROM ledger_transfer {_OF_WINDOW}, ordinal"
)
_INDEX = {name: index for index, name in enumerate(BUCKETS)}


def read_windows(
    connection: Connection,
    account_id: str,
    *,
    after: int = 0,
    last: int = 2**63 - 1,
    misplaced: set[int] | None = None,
) -> Iterator[list[Posting]]:
    """An account's entries with sequence in (after, last], a window at a time.

    `misplaced` takes the sequences of entries whose transfers are not numbered from 0 on.
    """
    while True:
        rows = fetch_raw(connection, _ENTRIES, (account_id, after, last))
        if not rows:
            return
        end = rows[-1][1]
        transfers: dict[int, list[PostedTransfer]] = {}
        latest: int | None = None
        taken: list[PostedTransfer] = []
        for sequence, ordinal, grant, source, target, amount in fetch_raw(
            connection, _TRANSFERS, (account_id, after, end)
        ):
            if sequence != latest:
                latest, taken = sequence, []
                transfers[sequence] = taken
            if ordinal != len(taken) and misplaced is not None:
                misplaced.add(sequence)
            taken.append((grant, _INDEX[source], _INDEX[target], amount))
        yield [posting_of(row, transfers.get(row[1], [])) for row in rows]
        after = end


def to_entry(posting: Posting) -> Entry:
    """The public value of a posting."""
    number = posting.reservation
    return Entry(
        account_id=posting.account_id,
        sequence=posting.sequence,
        kind=EntryKind(posting.kind),
        at=from_moment(posting.at),
        recorded_at=from_moment(posting.recorded_at),
        key=posting.key,
        reservation_id=None if number is None else format_reservation_id(posting.account_id, number),
        details=posting.parsed_details(),
        transfers=tuple(
            Transfer(
                format_grant_id(posting.account_id, grant),
                Bucket(BUCKETS[source]),
                Bucket(BUCKETS[target]),
                from_micro(amount),
            )
            for grant, source, target, amount in posting.transfers
        ),
        balance=answers.balance(posting.account_id, posting.at, posting.buckets),
        hash=posting.hash.hex(),
    )
