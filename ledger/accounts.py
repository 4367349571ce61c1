"""Accounts: opening one, and its balance at any moment."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from ledger import answers
from ledger.checks import check_id
from ledger.commands import OpenAccount
from ledger.errors import AccountNotFound
from ledger.instants import clock, to_instant
from ledger.present import read_present
from ledger.states import BALANCES
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


def buckets_before(session: Session, account_id: str, moment: int, last: int | None = None) -> tuple[int, ...]:
    """The running balance of the last entry that took effect before a moment; zeros before the first."""
    connection = session.connection()
    sequence = sequence_before(connection, account_id, moment, last)
    row = connection.execute(_BALANCE_AFTER, {"account_id": account_id, "sequence": sequence}).one_or_none()
    return (0,) * len(BALANCES) if row is None else tuple(row)


def sequence_before(connection: Connection, account_id: str, moment: int, last: int | None = None) -> int:
    """The sequence of the last entry that took effect before a moment, among entries up to `last`; 0 for none.

    An account's time never goes back, so its entries are in order of time, and the primary key finds the place in
    as many steps as their number has binary digits: no index has to be kept, and no entry is scanned.
    """
    values = {"account_id": account_id, "moment": moment, "last": last}
    return int(connection.execute(_BISECT, values).scalar_one())


_BALANCE_AFTER = text(
    f"SELECT {', '.join(BALANCES)} FROM ledger_entry WHERE account_id = :account_id AND sequence = :sequence"
)
# `low` took effect before the moment, `high` did not (or is one beyond the last).
_BISECT = text(
    "WITH RECURSIVE place(low, high) AS ("
    " SELECT CAST(0 AS bigint), 1 + coalesce(CAST(:last AS bigint),"
    " (SELECT sequence FROM ledger_account WHERE account_id = :account_id))"
    " UNION ALL SELECT CASE WHEN e.at < :moment THEN (low + high) / 2 ELSE low END,"
    " CASE WHEN e.at < :moment THEN high ELSE (low + high) / 2 END"
    " FROM place LEFT JOIN ledger_entry e ON e.account_id = :account_id AND e.sequence = (low + high) / 2"
    " WHERE high - low > 1) SELECT low FROM place WHERE high - low <= 1"
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
