"""The ledger's reads: each finds its rows by the keys it is given, and answers the columns that it names."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

import ledger
from ledger.book.burning import burn_key
from ledger.storage import queries
from ledger.storage.rows import grant_of
from ledger.storage.stores import fetch_keys
from ledger.storage.stores.selects import Select
from tests.ledger.auditing.test_every_value import write_book

BY_NAME = {name: select for name, select in vars(queries).items() if isinstance(select, Select)}


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_of_many_keys_each_finds_the_rows_that_it_finds_alone(session: Session, name: str) -> None:
    """One key goes as plain values, many go as one relation; keys without rows find none."""
    select = BY_NAME[name]
    also = (10**18 if name == "DUE_RESERVATIONS" else 0,) * select.extras
    for account in ("acme", "zeta"):
        write_book(session, account)
    connection = session.connection()
    columns = ", ".join(select.key)
    given = " AND ".join(f"{column} IS NOT NULL" for column in select.key)
    statement = text(f"SELECT DISTINCT {columns} FROM {select.table} WHERE {given}")
    keys = [tuple(row) for row in session.execute(statement)]
    assert keys
    alone = [row for key in keys for row in fetch_keys(connection, select, [key], *also)]
    together = fetch_keys(connection, select, keys, *also)
    assert alone
    assert sorted(map(repr, together)) == sorted(map(repr, alone))
    assert {len(row) for row in together} == {count_of(select)}
    nobody: list[Any] = [tuple("nobody" if isinstance(part, str) else 10**9 for part in key) for key in keys[:2]]
    assert fetch_keys(connection, select, nobody, *also) == fetch_keys(connection, select, [], *also) == []


def count_of(select: Select) -> int:
    """How many columns a select names."""
    return len(select.columns.split(", "))


def test_the_first_grants_are_the_live_ones_in_burn_order_and_no_more_than_a_page(session: Session) -> None:
    """Of each account by itself, alone and beside another."""
    count = queries.GRANTS_PAGE + 5
    for name in ("acme", "beta"):
        ledger.open_account(session, name)
        terms = [ledger.GrantCredits(name, 1, priority=count - number) for number in range(count)]
        ledger.execute(session, terms)
        ledger.revoke_grant(session, f"{name}/g{count}")
    connection = session.connection()
    live = [grant_of(row) for row in fetch_keys(connection, queries.LIVE_GRANTS, [("acme",)])]
    assert len(live) == count - 1
    by_rule = sorted(grant.number for grant in sorted(live, key=burn_key)[: queries.GRANTS_PAGE])
    assert sorted(row[1] for row in fetch_keys(connection, queries.FIRST_GRANTS, [("acme",)])) == by_rule
    both = fetch_keys(connection, queries.FIRST_GRANTS, [("acme",), ("beta",)])
    assert sorted(row[:2] for row in both) == [(name, number) for name in ("acme", "beta") for number in by_rule]


def test_accounts_are_locked_in_the_order_of_the_keys_and_taken_where_nobody_has_them(postgresql_url: str) -> None:
    """What another transaction has locked is left out, not waited for."""
    engine = ledger.create_engine(postgresql_url)
    with Session(engine) as session, session.begin():
        ledger.execute(session, [ledger.OpenAccount(name) for name in "abc"])
    with Session(engine) as holder, Session(engine) as other:
        assert [row[0] for row in fetch_keys(holder.connection(), queries.LOCK_ACCOUNTS, [("b",), ("x",)])] == ["b"]
        keys = [("c",), ("b",), ("a",)]
        assert [row[0] for row in fetch_keys(other.connection(), queries.READ_ACCOUNTS, keys[1:2])] == ["b"]
        assert [row[0] for row in fetch_keys(other.connection(), queries.TAKE_ACCOUNTS, keys)] == ["c", "a"]
        holder.rollback()
        assert [row[0] for row in fetch_keys(other.connection(), queries.LOCK_ACCOUNTS, keys)] == ["c", "b", "a"]
    engine.dispose()
