"""The ledger's reads: each finds its rows by the keys it is given, and answers the columns that it names."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

import ledger
from ledger.book.burning import burn_key
from ledger.storage import queries
from ledger.storage.keyed import KeyedQuery
from ledger.storage.rows import grant_of
from tests.ledger.auditing.test_every_value import write_book

BY_NAME = {name: query for name, query in vars(queries).items() if isinstance(query, KeyedQuery)}
ON_BOTH = {name: query for name, query in BY_NAME.items() if not name.endswith(("_POSTGRESQL", "LOCK_ACCOUNTS"))}


@pytest.mark.parametrize("name", sorted(ON_BOTH))
def test_of_many_keys_each_finds_the_rows_that_it_finds_alone(session: Session, name: str) -> None:
    """One key goes as plain values, many go as one relation; keys without rows find none."""
    query = ON_BOTH[name]
    also = {"horizon": 10**18} if ":horizon" in query.sql else {}
    for account in ("acme", "zeta"):
        write_book(session, account)
    connection = session.connection()
    table = query.keys[0].table.name
    columns = ", ".join(column.name for column in query.keys)
    given = " AND ".join(f"{column.name} IS NOT NULL" for column in query.keys)
    keys = [tuple(row) for row in session.execute(text(f"SELECT DISTINCT {columns} FROM {table} WHERE {given}"))]
    assert keys
    alone = [row for key in keys for row in query.fetch(connection, [key], **also)]
    together = query.fetch(connection, keys, **also)
    assert sorted(map(repr, map(tuple, together))) == sorted(map(repr, map(tuple, alone)))
    assert all(len(row) == len(query.columns) for row in together)
    nobody = [tuple("nobody" if isinstance(part, str) else 10**9 for part in key) for key in keys[:2]]
    assert query.fetch(connection, nobody, **also) == query.fetch(connection, [], **also) == []


def test_the_first_grants_are_the_live_ones_in_burn_order_and_no_more_than_a_page(session: Session) -> None:
    ledger.open_account(session, "acme")
    count = queries.GRANTS_PAGE + 5
    ledger.execute(session, [ledger.GrantCredits("acme", 1, priority=count - number) for number in range(count)])
    ledger.revoke_grant(session, f"acme/g{count}")
    connection = session.connection()
    live = [grant_of(row) for row in queries.LIVE_GRANTS.fetch(connection, [("acme",)])]
    assert len(live) == count - 1
    if connection.dialect.name == "postgresql":
        rows = queries.FIRST_GRANTS_POSTGRESQL.fetch(connection, [("acme",)])
    else:
        rows = list(connection.exec_driver_sql(queries.FIRST_GRANTS_SQLITE, ("acme",)))
    first = sorted(grant_of(row).number for row in rows)
    by_rule = sorted(live, key=burn_key)[: queries.GRANTS_PAGE]
    assert first == sorted(grant.number for grant in by_rule)
