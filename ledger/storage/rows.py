"""The codec between rows of the database's tables and their objects in memory. A row has its table's columns in order.

One row is made elsewhere: that of an entry, by `book.postings.entry_row`, because an entry's hash is over its row.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ledger.book.buckets import BUCKETS
from ledger.book.postings import Posting, encode_details
from ledger.book.states import AccountState, GrantState, Hold
from ledger.model.values import StartState


def account_row(state: AccountState) -> tuple[Any, ...]:
    """The columns of an account that most operations change: its sequence, head, balances and due moment."""
    return (state.account_id, state.sequence, state.at, state.head, *state.buckets, state.due_at)


def outbox_row(account_id: str, number: int, created_at: int, next_attempt_at: int) -> tuple[Any, ...]:
    """The row of a run's start that has not been handed over yet."""
    return (account_id, number, created_at, StartState.WAITING.value, 0, next_attempt_at, None, None)


def grant_row(account_id: str, grant: GrantState) -> tuple[Any, ...]:
    """The row of a grant."""
    amount, *places, scheduled = grant.buckets
    return (
        account_id,
        grant.number,
        grant.priority,
        grant.expires_at,
        amount,
        *places,
        scheduled,
        grant.kind,
        grant.effective_at,
        json_or_none(grant.scope),
        grant.revoked_at,
        grant.repaid,
        grant.allowance,
        json_or_none(grant.recurrence),
    )


def grant_terms_row(account_id: str, grant: GrantState) -> tuple[Any, ...]:
    """The changed columns of a grant whose terms changed: its key, its buckets and those terms."""
    terms = (grant.expires_at, grant.revoked_at, grant.repaid, json_or_none(grant.recurrence))
    return (account_id, grant.number, *grant.buckets, *terms)


def json_or_none(value: Any) -> str | None:
    """The JSON text of a value, null for None."""
    return None if value is None else encode_details(value)


def reservation_row(account_id: str, hold: Hold) -> tuple[Any, ...]:
    """The row of a reservation."""
    return (
        account_id,
        hold.number,
        str(hold.state),
        hold.amount,
        hold.captured,
        hold.freed,
        hold.reserved_at,
        hold.expires_at,
        hold.dataset_id,
        hold.started_ms,
        hold.grace,
        hold.lapses_at,
        hold.extra,
        hold.refunded,
        encode_slices(hold.slices),
        json_or_none(hold.labels),
        json_or_none(hold.counted),
    )


def reservation_change_row(account_id: str, hold: Hold) -> tuple[Any, ...]:
    """The columns of a reservation that operations change, after its key."""
    return (
        account_id,
        hold.number,
        str(hold.state),
        hold.captured,
        hold.freed,
        hold.expires_at,
        hold.lapses_at,
        hold.extra,
        hold.refunded,
        encode_slices(hold.slices),
    )


def encode_slices(slices: Sequence[Sequence[int]]) -> str:
    """JSON text of a hold's slices, without spaces."""
    return "[" + ",".join([f"[{grant},{held},{consumed}]" for grant, held, consumed in slices]) + "]"


def transfer_rows(posting: Posting) -> list[tuple[Any, ...]]:
    """The rows of an entry's transfers."""
    return [
        (posting.account_id, posting.sequence, ordinal, grant, BUCKETS[source], BUCKETS[target], amount)
        for ordinal, (grant, source, target, amount) in enumerate(posting.transfers)
    ]


def account_of(row: Any) -> AccountState:
    """The account of a row with all columns."""
    account_id, opened_at, sequence, at, head, *figures = row
    *buckets, due_at, scheduled, owed, credit_limit, limits_count, scoped_count, closings_count = figures
    return AccountState(
        account_id,
        opened_at,
        sequence,
        at,
        bytes(head),
        [*buckets, scheduled, owed],
        due_at,
        # A hold that was not read lapses no earlier than the account's next due moment.
        hold_due_after=due_at,
        credit_limit=credit_limit,
        limits_count=limits_count,
        scoped_count=scoped_count,
        closings_count=closings_count,
    )


def grant_of(row: Any) -> GrantState:
    """The grant of a row with all columns."""
    _, number, priority, expires_at, *amounts, scheduled, kind, effective_at, scope, revoked_at, repaid = row[:-2]
    allowance, recurrence = row[-2:]
    return GrantState(
        number,
        priority,
        expires_at,
        [*amounts, scheduled],
        kind,
        effective_at,
        None if scope is None else json.loads(scope),
        revoked_at,
        repaid,
        allowance,
        None if recurrence is None else json.loads(recurrence),
    )


def reservation_of(columns: Any) -> Hold:
    """The hold of a row with all columns but the account."""
    number, state, amount, captured, freed, reserved_at, expires_at, dataset_id, started_ms, *more = columns
    grace, _lapses_at, extra, refunded, slices, labels, counted = more
    return Hold(
        number,
        amount,
        state,
        captured,
        freed,
        reserved_at,
        expires_at,
        json.loads(slices),
        dataset_id,
        started_ms,
        grace,
        extra,
        refunded,
        None if labels is None else json.loads(labels),
        None if counted is None else json.loads(counted),
    )


def posting_of(row: Any, transfers: list[Any]) -> Posting:
    """The posting of an entry's row with all columns, and of its transfers."""
    digest, entry_hash = row[7], row[16]
    if digest.__class__ is not bytes and digest is not None:
        digest = bytes(digest)
    # By position, in the order of a posting's fields.
    return Posting(
        row[0], row[1], row[2], row[3], row[4], row[5], row[6], digest, row[8], row[9], transfers,
        (row[10], row[11], row[12], row[13], row[14], row[15], row[17], row[18]), bytes(entry_hash),
    )  # fmt: skip
