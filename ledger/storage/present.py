"""The state of an account at a moment, lapses included, read without a lock and without writing."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.orm import Session

from ledger.book.states import AccountState
from ledger.errors import AccountNotFound
from ledger.rules import record_due
from ledger.storage import snapshots
from ledger.storage.history import read_sequence
from ledger.storage.sessions import connection_of

_READS_MAX = 8


def read_present(session: Session, account_id: str, moment: int, *, grants: bool = False) -> AccountState:
    """The account with everything that comes due by the moment recorded, in memory only.

    With `grants` all its live grants are read; otherwise grants are read only where something comes due. Raises
    `AccountNotFound`.
    """

    def needs(state: AccountState) -> snapshots.Needs | None:
        if not grants and (state.due_at is None or state.due_at > moment):
            return None
        return snapshots.Needs({account_id}, moment, moment, all_grants={account_id} if grants else set())

    state = read_unlocked(session, account_id, needs)
    record_due(state, moment, moment)
    return state


def read_unlocked(
    session: Session, account_id: str, needs_of: Callable[[AccountState], snapshots.Needs | None]
) -> AccountState:
    """The account with the rows that `needs_of` names, all from the same moment. None from `needs_of`: its row only.

    The reads take no lock, so another transaction may write an entry between them. The account's sequence shows this,
    and the reads are repeated. The eighth attempt locks the account for the rest of the caller's transaction. Raises
    `AccountNotFound`.
    """
    connection = connection_of(session)
    for attempt in range(_READS_MAX):
        is_last = attempt == _READS_MAX - 1
        read = snapshots.lock_accounts if is_last else snapshots.read_accounts
        accounts = read(connection, [account_id])
        if account_id not in accounts:
            raise AccountNotFound(account_id)
        state = accounts[account_id]
        needs = needs_of(state)
        if needs is None:
            break
        snapshots.fill(connection, accounts, needs)
        if is_last or read_sequence(connection, account_id) == state.sequence:
            break
    return state
