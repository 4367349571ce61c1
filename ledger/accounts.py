"""Accounts: opening one, and its balance at any moment."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from ledger import answers
from ledger.commands import OpenAccount, check_id
from ledger.errors import AccountNotFound
from ledger.instants import clock, to_instant
from ledger.present import read_present
from ledger.states import BUCKETS
from ledger.values import Account, Balance
from ledger.verbs import carry_out


def open_account(session: Session, account_id: str, *, at: datetime | None = None) -> Account:
    """Open an account; opening it again answers the first opening, `replayed`."""
    return carry_out(session, OpenAccount(account_id, at), Account)


def get_balance(session: Session, account_id: str, *, at: datetime | None = None) -> Balance:
    """The account's credits by bucket at a moment: now, or any moment past or to come.

    What has lapsed by then is counted as lapsed, whether or not it has been recorded. Takes no lock.
    Raises `AccountNotFound`.
    """
    check_id(account_id, "account_id")
    moment = clock() if at is None else to_instant(at)
    state = read_present(session, account_id, moment)
    if at is not None and moment < state.at:
        return answers.balance(account_id, moment, buckets_before(session, account_id, moment + 1))
    return answers.balance(account_id, max(moment, state.at), state.buckets)


def buckets_before(session: Session, account_id: str, moment: int) -> tuple[int, ...]:
    """The running balance of the last entry that took effect before a moment; zeros before the first."""
    row = session.connection().execute(_LAST_BEFORE, {"account_id": account_id, "moment": moment}).one_or_none()
    return (0,) * len(BUCKETS) if row is None else tuple(row)


_LAST_BEFORE = text(
    f"SELECT {', '.join(BUCKETS)} FROM ledger_entry WHERE account_id = :account_id AND at < :moment"
    " ORDER BY sequence DESC LIMIT 1"
)


def list_accounts(session: Session) -> list[str]:
    """The ids of all accounts, in order."""
    return list(session.connection().execute(text("SELECT account_id FROM ledger_account ORDER BY 1")).scalars())


def require_account(session: Session, account_id: str) -> None:
    """Raise `AccountNotFound` unless the account is open."""
    check_id(account_id, "account_id")
    found = session.connection().execute(
        text("SELECT 1 FROM ledger_account WHERE account_id = :account_id"), {"account_id": account_id}
    )
    if found.one_or_none() is None:
        raise AccountNotFound(account_id)
