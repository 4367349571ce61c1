"""The one way into the book: lock the accounts that a batch names, read what it touches, decide, append.

One command is a batch of one. Nothing here commits, sleeps or retries: the transaction is the caller's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from ledger import rules, snapshots
from ledger.bulk import RowShape, Write, execute_writes
from ledger.commands import Command, OpenAccount
from ledger.instants import clock, to_instant
from ledger.rules import Rejection
from ledger.states import BUCKETS, AccountState, GrantState, ReservationState, genesis
from ledger.tables import AccountRow, CardRow, EntryRow, GrantRow, ReservationRow, TransferRow
from ledger.values import Result

_BUCKET_COLUMNS = BUCKETS[1:]
_ACCOUNT_CHANGE = RowShape.of(AccountRow, ("sequence", "at", "head", *BUCKETS, "due_at"))
_GRANT = RowShape.of(GrantRow)
_GRANT_CHANGE = RowShape.of(GrantRow, _BUCKET_COLUMNS)
_RESERVATION = RowShape.of(ReservationRow)
_RESERVATION_CHANGE = RowShape.of(ReservationRow, ("state", "captured", "freed"))
_ENTRY = RowShape.of(EntryRow)
_TRANSFER = RowShape.of(TransferRow)
_CARD = RowShape.of(CardRow)


def execute(session: Session, commands: Sequence[Command]) -> list[Result | Rejection]:
    """Carry out commands in order inside the caller's transaction, one result each.

    A refused command is answered by its error, in its place, and disturbs no other. Accounts are locked in the
    order of their ids until the caller commits.
    """
    if not commands:
        return []
    connection = session.connection()
    now = clock()
    opened = _open_accounts(connection, commands, now)
    needs = snapshots.Needs.of(commands, now)
    accounts = snapshots.lock_accounts(connection, needs.accounts)
    for account_id in opened:
        accounts[account_id].is_opened_here = True
    snapshots.fill(connection, accounts, needs)
    results = rules.decide(accounts, commands, now)
    _append(connection, [state for state in accounts.values() if state.is_accepted])
    return results


_OPEN = text(
    "INSERT INTO ledger_account (account_id, opened_at, sequence, at, head,"
    " issued, available, held, consumed, expired, revoked)"
    " VALUES (:account_id, :opened_at, 0, :opened_at, :head, 0, 0, 0, 0, 0, 0)"
    " ON CONFLICT (account_id) DO NOTHING RETURNING account_id"
)


def _open_accounts(connection: Connection, commands: Sequence[Command], now: int) -> list[str]:
    """Insert the accounts to be opened that do not exist yet, in the order of their ids; answers which."""
    moments: dict[str, int] = {}
    for command in commands:
        if isinstance(command, OpenAccount):
            moments.setdefault(command.account_id, now if command.at is None else to_instant(command.at))
    opened: list[str] = []
    for account_id in sorted(moments):
        opened_at = moments[account_id]
        values = {"account_id": account_id, "opened_at": opened_at, "head": genesis(account_id, opened_at)}
        opened += connection.execute(_OPEN, values).scalars().all()
    return opened


def _append(connection: Connection, states: Sequence[AccountState]) -> None:
    """Write what the rules decided: entries and transfers are added, what they add up to is brought up to date."""
    grants = [(state.account_id, grant) for state in states for grant in state.grants.values()]
    holds = [(state.account_id, hold) for state in states for hold in state.reservations.values()]
    holds_new = [_reservation(*pair) for pair in holds if pair[1].is_new]
    holds_changed = Write(
        _RESERVATION_CHANGE,
        [
            (account_id, hold.number, str(hold.state), hold.captured, hold.freed)
            for account_id, hold in holds
            if hold.is_changed and not hold.is_new
        ],
        is_update=True,
    )
    writes = [
        Write(_ACCOUNT_CHANGE, [_account(state) for state in states], is_update=True),
        Write(_GRANT, [_grant(*pair) for pair in grants if pair[1].is_new]),
        Write(
            _GRANT_CHANGE,
            [
                (account_id, grant.number, *grant.buckets[1:])
                for account_id, grant in grants
                if grant.is_changed and not grant.is_new
            ],
            is_update=True,
        ),
        Write(_RESERVATION, holds_new),
        Write(_ENTRY, [_entry(posting) for state in states for posting in state.postings]),
        Write(_TRANSFER, [row for state in states for posting in state.postings for row in _transfers(posting)]),
        Write(
            _CARD,
            [
                (state.account_id, card_id, card.to_json())
                for state in states
                for card_id, card in state.cards_new.items()
            ],
        ),
    ]
    if holds_new:
        # A run that ends and one that starts on its dataset may share a batch; the end must be seen first.
        execute_writes(connection, [holds_changed])
    else:
        writes.append(holds_changed)
    execute_writes(connection, writes)


def _account(state: AccountState) -> tuple[Any, ...]:
    return (state.account_id, state.sequence, state.at, state.head, *state.buckets, state.due_at)


def _grant(account_id: str, grant: GrantState) -> tuple[Any, ...]:
    return (account_id, grant.number, grant.priority, grant.expires_at, *grant.buckets)


def _reservation(account_id: str, hold: ReservationState) -> tuple[Any, ...]:
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
    )


def _entry(posting: Any) -> tuple[Any, ...]:
    return (
        posting.account_id,
        posting.sequence,
        posting.kind,
        posting.at,
        posting.recorded_at,
        posting.scope,
        posting.key,
        posting.digest,
        posting.reservation,
        posting.details,
        *posting.buckets,
        posting.hash,
    )


def _transfers(posting: Any) -> list[tuple[Any, ...]]:
    return [
        (posting.account_id, posting.sequence, ordinal, grant, BUCKETS[source], BUCKETS[target], amount)
        for ordinal, (grant, source, target, amount) in enumerate(posting.moves)
    ]
