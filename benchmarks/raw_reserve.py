"""What the ledger is measured against: the same row changes of a reservation, issued through the bare driver.

The raw code decides nothing: no key is looked up, no grant is chosen, no hash is computed, and what it writes is
prepared before the clock starts. It locks, writes and commits.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

_COLUMNS = {
    "ledger_reservation": (
        ("account_id", "text"), ("number", "bigint"), ("state", "text"), ("amount", "bigint"), ("captured", "bigint"),
        ("freed", "bigint"), ("reserved_at", "bigint"), ("expires_at", "bigint"), ("dataset_id", "text"),
        ("started_ms", "bigint"), ("grace", "bigint"), ("lapses_at", "bigint"), ("extra", "bigint"),
        ("refunded", "bigint"), ("slices", "text"), ("labels", "text"), ("counted", "text"),
    ),
    "ledger_entry": (
        ("account_id", "text"), ("sequence", "bigint"), ("kind", "text"), ("at", "bigint"), ("recorded_at", "bigint"),
        ("scope", "text"), ("key", "text"), ("digest", "bytea"), ("reservation", "bigint"), ("details", "text"),
        ("issued", "bigint"), ("available", "bigint"), ("held", "bigint"), ("consumed", "bigint"),
        ("expired", "bigint"), ("revoked", "bigint"), ("hash", "bytea"), ("scheduled", "bigint"), ("owed", "bigint"),
    ),
    "ledger_transfer": (
        ("account_id", "text"), ("sequence", "bigint"), ("ordinal", "bigint"), ("grant_number", "bigint"),
        ("source", "text"), ("target", "text"), ("amount", "bigint"),
    ),
}  # fmt: skip
_TABLES = ("ledger_reservation", "ledger_entry", "ledger_transfer")


@dataclass(slots=True)
class Account:
    """Where an account of the raw run stands."""

    account_id: str
    sequence: int
    available: int
    held: int


@dataclass(frozen=True, slots=True)
class Changes:
    """The row changes of a batch of reservations, ready to be issued."""

    accounts: list[tuple[Any, ...]]
    grants: list[tuple[Any, ...]]
    inserts: dict[str, list[tuple[Any, ...]]]


def prepare(accounts: Sequence[Account], amount: int, keys: Sequence[str]) -> Changes:
    """The changes of one reservation a key, taken in turns from the accounts."""
    inserts: dict[str, list[tuple[Any, ...]]] = {table: [] for table in _TABLES}
    touched: dict[str, Account] = {}
    slices = f"[[1,{amount},0]]"
    details = '{"amount":1500000,"expires_at":null}'
    for index, key in enumerate(keys):
        account = accounts[index % len(accounts)]
        account.sequence += 1
        account.available -= amount
        account.held += amount
        touched[account.account_id] = account
        name, number, now = account.account_id, account.sequence, 1_790_000_000_000_000
        balance = (account.available + account.held, account.available, account.held, 0, 0, 0)
        inserts["ledger_reservation"].append(
            (name, number, "held", amount, 0, 0, now, None, None, None, 0, None, 0, 0, slices, None, None)
        )
        inserts["ledger_entry"].append(
            (name, number, "reserve", now, now, "", key, b"d" * 32, number, details, *balance, b"h" * 32, 0, 0)
        )
        inserts["ledger_transfer"].append((name, number, 0, 1, "available", "held", amount))
    rows = sorted(touched.values(), key=lambda account: account.account_id)
    return Changes(
        [(a.account_id, a.sequence, 1_790_000_000_000_000, b"h" * 32, a.available, a.held) for a in rows],
        [(a.account_id, 1, a.available, a.held) for a in rows],
        inserts,
    )


_SQLITE_ACCOUNT = "UPDATE ledger_account SET sequence=?, at=?, head=?, available=?, held=? WHERE account_id=?"
_SQLITE_GRANT = "UPDATE ledger_grant SET available=?, held=? WHERE account_id=? AND number=?"


def issue_sqlite(connection: sqlite3.Connection, changes: Changes) -> None:
    """Issue the changes through `sqlite3` in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(_SQLITE_ACCOUNT, [(*row[1:], row[0]) for row in changes.accounts])
    connection.executemany(_SQLITE_GRANT, [(*row[2:], *row[:2]) for row in changes.grants])
    for table in _TABLES:
        marks = ", ".join("?" * len(_COLUMNS[table]))
        connection.executemany(f"INSERT INTO {table} VALUES ({marks})", changes.inserts[table])
    connection.execute("COMMIT")


_LOCK = "SELECT account_id FROM ledger_account WHERE account_id = ANY(%s) ORDER BY account_id FOR NO KEY UPDATE"
_ACCOUNTS_UPDATED = (
    "UPDATE ledger_account t SET sequence=v.s, at=v.at, head=v.h, available=v.a, held=v.held"
    " FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bytea[], %s::bigint[], %s::bigint[])"
    " AS v(i, s, at, h, a, held) WHERE t.account_id = v.i"
)
_GRANTS_UPDATED = (
    "UPDATE ledger_grant t SET available=v.a, held=v.held"
    " FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bigint[]) AS v(i, n, a, held)"
    " WHERE t.account_id = v.i AND t.number = v.n"
)


def _insert(table: str) -> str:
    arrays = ", ".join(f"%s::{kind}[]" for _, kind in _COLUMNS[table])
    return f"INSERT INTO {table} ({', '.join(name for name, _ in _COLUMNS[table])}) SELECT * FROM unnest({arrays})"


_INSERTS = {table: _insert(table) for table in _TABLES}


def _arrays(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def issue_postgresql(connection: psycopg.Connection[Any], changes: Changes) -> None:
    """Issue the changes through psycopg, a set-based statement a table, in one transaction."""
    with connection.transaction():
        connection.execute(_LOCK, [[row[0] for row in changes.accounts]])
        connection.execute(_ACCOUNTS_UPDATED, _arrays(changes.accounts))
        connection.execute(_GRANTS_UPDATED, _arrays(changes.grants))
        for table in _TABLES:
            connection.execute(_INSERTS[table], _arrays(changes.inserts[table]))


_SINGLE_ACCOUNT = "UPDATE ledger_account SET sequence=%s, at=%s, head=%s, available=%s, held=%s WHERE account_id=%s"
_SINGLE_GRANT = "UPDATE ledger_grant SET available=%s, held=%s WHERE account_id=%s AND number=%s"
_SINGLE_INSERTS = {
    table: f"INSERT INTO {table} VALUES ({', '.join(['%s'] * len(columns))})" for table, columns in _COLUMNS.items()
}


def issue_postgresql_single(connection: psycopg.Connection[Any], changes: Changes) -> None:
    """Issue the changes of one reservation through psycopg, a plain statement a row."""
    with connection.transaction():
        connection.execute(_LOCK, [[row[0] for row in changes.accounts]])
        for row in changes.accounts:
            connection.execute(_SINGLE_ACCOUNT, (*row[1:], row[0]))
        for row in changes.grants:
            connection.execute(_SINGLE_GRANT, (*row[2:], *row[:2]))
        for table in _TABLES:
            for row in changes.inserts[table]:
                connection.execute(_SINGLE_INSERTS[table], row)
