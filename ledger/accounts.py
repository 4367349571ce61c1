"""Accounts: opening one, and its balance at any moment."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from ledger.book import answers
from ledger.clock import clock
from ledger.commands import OpenAccount
from ledger.model.checks import check_id
from ledger.model.moments import to_moment
from ledger.model.values import Account, Balance
from ledger.schema.databases import database_of
from ledger.schema.roles import ACCOUNT_SETTING
from ledger.storage.history import buckets_before
from ledger.storage.journal import carry_out
from ledger.storage.present import read_present
from ledger.storage.sessions import connection_to_all, writing_connection
from ledger.storage.stores import fetch
from ledger.storage.transactions import check_hides_rows


def open_account(session: Session, account_id: str, *, at: datetime | None = None) -> Account:
    """Open an account. Opening it again changes nothing and answers the first opening, `replayed`."""
    return carry_out(session, OpenAccount(account_id, at), Account)


def get_balance(session: Session, account_id: str, *, at: datetime | None = None) -> Balance:
    """The account's credits by bucket at a moment: now by default, or any moment before or after.

    What lapses by then counts as lapsed, whether or not its lapse has been recorded. Takes no lock.
    Raises `AccountNotFound`.
    """
    check_id(account_id, "account_id")
    moment = clock() if at is None else to_moment(at)
    state = read_present(session, account_id, moment)
    if at is not None and moment < state.at:
        return answers.balance(account_id, moment, buckets_before(session, account_id, moment + 1))
    return answers.balance(account_id, max(moment, state.at), state.buckets)


def list_accounts(session: Session) -> list[str]:
    """The ids of all accounts, in order."""
    return [name for (name,) in fetch(connection_to_all(session), "SELECT account_id FROM ledger_account ORDER BY 1")]


def set_account(session: Session, account_id: str) -> None:
    """Name the account whose rows this transaction sees, under row-level security. The setting ends with it.

    Raises `CommandInvalid` for a malformed id, and on a database other than PostgreSQL; `SessionUnusable` in
    AUTOCOMMIT, where the setting would be gone at once.
    """
    check_id(account_id, "account_id")
    connection = writing_connection(session)
    check_hides_rows(database_of(connection.dialect))
    fetch(connection, "SELECT set_config($1, $2, true)", ACCOUNT_SETTING, account_id)
