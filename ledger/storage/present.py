"""The state of an account at a moment, lapses included, read without a lock and without writing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from ledger.book.states import AccountState
from ledger.errors import AccountNotFound
from ledger.model.checks import check_id
from ledger.rules import record_due
from ledger.schema.databases import capabilities_of
from ledger.schema.roles import ACCOUNT_SETTING
from ledger.storage import snapshots
from ledger.storage.sessions import connection_of
from ledger.storage.snapshots import is_overtaken
from ledger.storage.stores import fetch, store_of

_READS_MAX = 8


def read_present(
    session: Session, account_id: str, moment: int, *, grants: bool = False, entries: bool = False
) -> AccountState:
    """The account with everything that comes due by the moment recorded, in memory only.

    With `grants` all its live grants are read; otherwise grants are read only where something comes due. With
    `entries` the state has an entry for each event; otherwise it is a sketch, which is worked out at once also for an
    account that slept for years. Raises `AccountNotFound`.
    """

    check_id(account_id, "account_id")

    def needs(state: AccountState) -> snapshots.Needs | None:
        if not grants and (state.due_at is None or state.due_at > moment):
            return None
        return snapshots.Needs({account_id}, moment, moment, all_grants={account_id} if grants else set())

    state = read_unlocked(session, account_id, needs)
    state.is_sketch = not entries
    record_due(state, moment, moment)
    return state


def read_unlocked(
    session: Session, account_id: str, needs_of: Callable[[AccountState], snapshots.Needs | None]
) -> AccountState:
    """The account with the rows that `needs_of` names, all from the same moment. None from `needs_of`: its row only.

    The reads take no lock, so another transaction may write an entry between them. The account's sequence shows this,
    and the reads are repeated; after eight of them they are made where no writer disturbs them. Raises
    `AccountNotFound`.
    """
    connection = connection_of(session)
    for _ in range(_READS_MAX):
        state, is_whole = _read(connection, account_id, needs_of)
        if is_whole or not is_overtaken(connection, state):
            return state
    with undisturbed(connection, account_id) as beside:
        return _read(beside, account_id, needs_of)[0]


def _read(
    connection: Connection, account_id: str, needs_of: Callable[[AccountState], snapshots.Needs | None]
) -> tuple[AccountState, bool]:
    """The account, and whether one statement read all of it."""
    state = _account(snapshots.read_accounts(connection, [account_id]), account_id)
    needs = needs_of(state)
    if needs is None:
        return state, True
    return _account(snapshots.read_states(connection, needs), account_id), False


def _account(accounts: dict[str, AccountState], account_id: str) -> AccountState:
    if account_id not in accounts:
        raise AccountNotFound(account_id)
    return accounts[account_id]


@contextmanager
def undisturbed(connection: Connection, account_id: str) -> Iterator[Connection]:
    """A connection on which an account stays as it is, for a reading that writers kept overtaking.

    On PostgreSQL a second connection, which sees what is committed at one moment, takes no lock and cannot write. What
    the writers change is not changed by this transaction, which would hold the lock of the account. It has the role,
    the search_path and the account that this transaction was given. On SQLite the same connection, with the lock of
    the file.
    """
    if not capabilities_of(connection).reads_snapshots:
        store_of(connection).lock_database(connection)
        yield connection
        return
    role, given_id, path = fetch(connection, _GIVEN, ACCOUNT_SETTING)[0]
    options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with connection.engine.connect().execution_options(**options) as beside, beside.begin():
        for name, value in (("role", role), ("search_path", path), (ACCOUNT_SETTING, given_id)):
            if value:
                fetch(beside, _GIVE, name, value)
        yield beside


_GIVEN = (
    "SELECT CASE WHEN current_user <> session_user THEN current_user END, current_setting($1, true),"
    " current_setting('search_path')"
)
_GIVE = "SELECT set_config($1, $2, true)"
