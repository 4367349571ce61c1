"""An account as it stands at a moment, lapses included, read without a lock and without writing anything."""

from __future__ import annotations

from sqlalchemy.orm import Session

from ledger import snapshots
from ledger.errors import AccountNotFound
from ledger.rules import record_due
from ledger.states import AccountState

_READS_MAX = 8


def read_present(session: Session, account_id: str, moment: int, *, grants: bool = False) -> AccountState:
    """A state of the account in which everything that came due by the moment has been recorded, in memory only.

    With `grants` it has all live grants, otherwise only what coming due took.

    The reads take no lock, so an entry may be written between them; the account's sequence tells, and they are
    repeated. After several overtaken reads the account is locked for the rest of the caller's transaction.
    Raises `AccountNotFound`.
    """
    connection = session.connection()
    for attempt in range(_READS_MAX):
        is_last = attempt == _READS_MAX - 1
        read = snapshots.lock_accounts if is_last else snapshots.read_accounts
        accounts = read(connection, [account_id])
        if account_id not in accounts:
            raise AccountNotFound(account_id)
        state = accounts[account_id]
        if not grants and (state.due_at is None or state.due_at > moment):
            break
        needs = snapshots.Needs({account_id}, moment, moment, all_grants={account_id} if grants else set())
        snapshots.fill(connection, accounts, needs)
        if is_last or snapshots.read_sequence(connection, account_id) == state.sequence:
            break
    record_due(state, moment, moment)
    return state
