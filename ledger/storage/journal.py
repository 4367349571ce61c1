"""The only way to write to the book: lock the accounts that a batch names, read what it touches, decide, append.

One command is a batch of one. Nothing here commits, sleeps or retries, because the transaction is the caller's.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from ledger import rules
from ledger.book.buckets import BALANCES, BUCKETS
from ledger.book.burning import CREDIT_LINE
from ledger.book.postings import entry_row
from ledger.book.states import AccountState, GrantsIncomplete, GrantState
from ledger.clock import clock
from ledger.commands import Command, ExpireDue
from ledger.model.values import Expiry, Result
from ledger.rules import Rejection
from ledger.schema.tables import (
    AccountRow,
    CardRow,
    EntryRow,
    GrantRow,
    LimitRow,
    OutboxRow,
    ReservationRow,
    TransferRow,
    UsageRow,
)
from ledger.storage import queries, snapshots
from ledger.storage.cards import expect_card
from ledger.storage.own_sessions import Ending, write_and_commit
from ledger.storage.rows import (
    account_row,
    grant_row,
    grant_terms_row,
    outbox_row,
    reservation_change_row,
    reservation_row,
    transfer_rows,
)
from ledger.storage.sessions import writing_connection
from ledger.storage.shapes import RowShape, Write
from ledger.storage.stores import execute_writes, store_of
from ledger.storage.stores.selects import Select

_ACCOUNT_TERMS = RowShape.of(AccountRow, [name for name in AccountRow.updated if name != "closings_count"])
_ACCOUNT_CHANGE = RowShape.of(AccountRow, ("sequence", "at", "head", *BALANCES, "due_at"))
_GRANT = RowShape.of(GrantRow)
_GRANT_CHANGE = RowShape.of(GrantRow, BUCKETS[1:])
_GRANT_TERMS = RowShape.of(GrantRow, GrantRow.updated)
_RESERVATION = RowShape.of(ReservationRow)
_RESERVATION_CHANGE = RowShape.of(ReservationRow, ReservationRow.updated)
_ENTRY = RowShape.of(EntryRow)
_TRANSFER = RowShape.of(TransferRow)
_CARD = RowShape.of(CardRow)
_OUTBOX = RowShape.of(OutboxRow)
OUTBOX_CHANGE = RowShape.of(OutboxRow, OutboxRow.updated)
"""The columns of a start that a delivery changes."""

_LIMIT = RowShape.of(LimitRow)
_LIMIT_CHANGE = RowShape.of(LimitRow, LimitRow.updated)
_USAGE = RowShape.of(UsageRow)
_USAGE_CHANGE = RowShape.of(UsageRow, UsageRow.updated)


def execute(session: Session, commands: Sequence[Command]) -> list[Result | Rejection]:
    """Carry out commands in order inside the caller's transaction, one result each.

    The result of a refused command is its error, which does not affect other commands. Accounts are locked in the order
    of their ids until the caller's transaction ends.
    """
    return _execute(writing_connection(session), commands, queries.LOCK_ACCOUNTS) if commands else []


def execute_alone(connection: Connection, commands: Sequence[Command], ending: Ending) -> list[Result | Rejection]:
    """Carry out commands in a transaction of the library's own that does nothing else.

    The commit goes with the writes where a driver can do that.
    """
    return _execute(connection, commands, queries.LOCK_ACCOUNTS, ending) if commands else []


def expire(session: Session, account_ids: Sequence[str], at: datetime | None) -> list[Expiry]:
    """Record what has come due in accounts, except in those that another transaction has locked or has just done."""
    commands = [ExpireDue(account_id, at) for account_id in account_ids]
    results = _execute(writing_connection(session), commands, queries.TAKE_ACCOUNTS)
    return [result for result in results if isinstance(result, Expiry)]


def _execute(
    connection: Connection, commands: Sequence[Command], lock: Select, ending: Ending | None = None
) -> list[Result | Rejection]:
    store_of(connection).lock_database(connection)
    now = clock()
    needs = snapshots.Needs.of(commands, now)
    opened: set[str] = set()
    while True:
        accounts = snapshots.read_states(connection, needs, lock)
        opened.update(account_id for account_id, state in accounts.items() if state.is_opened_here)
        for account_id in opened:
            accounts[account_id].is_opened_here = True
        if lock is queries.TAKE_ACCOUNTS:
            commands = [command for command in commands if _is_due(accounts.get(command.account_id), needs)]
        try:
            results = rules.decide(accounts, commands, now)
        except GrantsIncomplete as incomplete:
            # The account has very many live grants. Nothing is written yet: decide again, with all of them read.
            needs.all_grants.add(incomplete.account_id)
            continue
        accepted = [state for state in accounts.values() if state.is_accepted]
        writes = _writes(accepted)
        if ending is None:
            execute_writes(connection, writes)
        else:
            write_and_commit(connection, writes, ending)
        for state in accepted:
            for card_id in state.cards_new:
                expect_card(state.account_id, card_id)
        return results


def _is_due(state: AccountState | None, needs: snapshots.Needs) -> bool:
    return state is not None and state.due_at is not None and state.due_at <= needs.horizon


def _writes(states: Sequence[AccountState]) -> list[Write]:
    """What the rules decided: entries and transfers to insert, and the rows that sum them up to update."""
    holds = [(state.account_id, hold) for state in states for hold in state.holds.values()]
    holds_changed = Write(
        _RESERVATION_CHANGE,
        [reservation_change_row(*pair) for pair in holds if pair[1].is_changed and not pair[1].is_new],
        is_update=True,
    )
    return [
        *_account_writes(states),
        *_grant_writes([(state.account_id, grant) for state in states for grant in state.grants.values()]),
        # A batch may end one run of a dataset and start the next: the end must be written before the start.
        holds_changed,
        Write(_RESERVATION, [reservation_row(*pair) for pair in holds if pair[1].is_new]),
        Write(_ENTRY, [entry_row(posting) for state in states for posting in state.postings]),
        Write(_TRANSFER, [row for state in states for posting in state.postings for row in transfer_rows(posting)]),
        *_rare_writes(states),
    ]


def _account_writes(states: Sequence[AccountState]) -> list[Write]:
    moved = [account_row(state) for state in states if not state.is_retermed]
    retermed = [
        (*account_row(state), state.credit_limit, state.limits_count, state.scoped_count)
        for state in states
        if state.is_retermed
    ]
    return [Write(_ACCOUNT_CHANGE, moved, is_update=True), Write(_ACCOUNT_TERMS, retermed, is_update=True)]


def _grant_writes(grants: Sequence[tuple[str, GrantState]]) -> list[Write]:
    kept = [(account_id, grant) for account_id, grant in grants if not grant.is_new]
    # The amount of a credit line changes with what it lends.
    retermed = [pair for pair in kept if pair[1].is_retermed or (pair[1].is_changed and pair[1].kind == CREDIT_LINE)]
    moved = [
        (account_id, grant.number, *grant.buckets[1:])
        for account_id, grant in kept
        if grant.is_changed and not grant.is_retermed and grant.kind != CREDIT_LINE
    ]
    return [
        Write(_GRANT, [grant_row(*pair) for pair in grants if pair[1].is_new]),
        Write(_GRANT_CHANGE, moved, is_update=True),
        Write(_GRANT_TERMS, [grant_terms_row(*pair) for pair in retermed], is_update=True),
    ]


def _rare_writes(states: Sequence[AccountState]) -> list[Write]:
    """Limits, their counters, rate cards and starts of runs. Most batches write none of these."""
    limits = [(state.account_id, limit) for state in states for limit in state.limits.values()]
    usage = [(state.account_id, *key, count) for state in states for key, count in state.usage.items()]
    cards = [(state.account_id, *pair) for state in states for pair in state.cards_new.items()]
    starts = [outbox_row(state.account_id, *start) for state in states for start in state.starts_new]
    if not (limits or usage or cards or starts):
        return []
    return [
        Write(
            _LIMIT,
            [
                (account_id, limit.number, limit.label, limit.value, limit.period, limit.maximum)
                for account_id, limit in limits
                if limit.is_new
            ],
        ),
        Write(
            _LIMIT_CHANGE,
            [(name, limit.number, limit.maximum) for name, limit in limits if limit.is_changed and not limit.is_new],
            is_update=True,
        ),
        Write(_USAGE, [(*key, count.spent, count.holds) for *key, count in usage if count.is_new and count.is_changed]),
        Write(
            _USAGE_CHANGE,
            [(*key, count.spent, count.holds) for *key, count in usage if count.is_changed and not count.is_new],
            is_update=True,
        ),
        Write(_CARD, [(account_id, card_id, card.to_json()) for account_id, card_id, card in cards]),
        Write(_OUTBOX, starts),
    ]


Answer = TypeVar("Answer", bound=Result)


def carry_out(session: Session, command: Command, kind: type[Answer]) -> Answer:
    """Execute one command and answer its result, a value of the given kind. Raises its refusal."""
    (result,) = execute(session, [command])
    if isinstance(result, Exception):
        raise result
    if not isinstance(result, kind):  # pragma: no cover - a key's digest names its verb, so kinds cannot differ
        raise TypeError(f"{type(command).__name__} answered {type(result).__name__}")
    return result
