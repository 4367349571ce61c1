"""Accounts: opening one, and its balance at any moment."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from ledger.book import answers
from ledger.clock import clock
from ledger.commands import OpenAccount
from ledger.errors import CommandInvalid
from ledger.model.checks import check_id
from ledger.model.moments import to_moment
from ledger.model.values import Account, Balance
from ledger.schema.databases import capabilities_of
from ledger.schema.roles import ACCOUNT_SETTING
from ledger.storage.history import buckets_before
from ledger.storage.journal import carry_out
from ledger.storage.present import read_present
from ledger.storage.sessions import connection_to_all, writing_connection


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
    return list(connection_to_all(session).execute(text("SELECT account_id FROM ledger_account ORDER BY 1")).scalars())


def set_account(session: Session, account_id: str) -> None:
    """Name the account whose rows this transaction sees, under row-level security. The setting ends with it.

    Raises `CommandInvalid` for a malformed id, and on a database other than PostgreSQL; `SessionUnusable` in
    AUTOCOMMIT, where the setting would be gone at once.
    """
    check_id(account_id, "account_id")
    connection = writing_connection(session)
    if not capabilities_of(connection).hides_rows:
        engine = connection.dialect.name
        message = f"cannot be set on {engine}, which has no row-level security; use PostgreSQL, or leave the call out."
        raise CommandInvalid("account_id", message)
    connection.execute(
        text("SELECT set_config(:name, :account_id, true)"), {"name": ACCOUNT_SETTING, "account_id": account_id}
    )
