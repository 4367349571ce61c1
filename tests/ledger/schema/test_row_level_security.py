"""Row-level security: an account is seen, moved and read by whom it is set for, and by the roles over all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

import ledger
from ledger.finance import (
    AccountingPeriod,
    PeriodStatements,
    close_period,
    entries_since,
    export_book,
    list_closings,
    reprice,
    stream_book,
    stream_figures,
    stream_revenue,
)
from ledger.schema.tables import UPDATED_COLUMNS, metadata
from tests.drivers import create_engine
from tests.ledger.conftest import later
from tests.ledger.schema.roles import REFUSED, TABLES, Roles
from tests.ledger.verbs import ON_ONE_ACCOUNT, OVER_ACCOUNTS

pytestmark = pytest.mark.row_security


def test_the_reading_role_sees_every_account_under_row_level_security_too(roles: Roles) -> None:
    roles.apply(row_level_security=True)
    with roles.session(roles.readonly) as session:
        assert ledger.list_accounts(session) == ["acme", "acme-plain", "beta", "beta-plain"]
        for read in OVER_ACCOUNTS.values():
            assert read(session) != [None]
        assert list(ledger.audit(session)) == []
        assert ledger.get_statement(session, "beta").entries


@pytest.mark.parametrize("table", TABLES)
def test_under_row_level_security_another_accounts_rows_cannot_be_seen_or_moved(roles: Roles, table: str) -> None:
    for _ in range(2):
        roles.apply(row_level_security=True)
    roles.run(f"INSERT INTO ledger_closing {_CLOSING} FROM ledger_account WHERE account_id = 'acme'")
    before = roles.rows("beta")
    seen = text(f"SELECT DISTINCT account_id FROM {table}")
    columns = [column.name for column in metadata.tables[table].columns]
    as_beta = ", ".join("'beta'" if name == "account_id" else name for name in columns)
    with roles.session(roles.application) as session:
        assert session.execute(seen).all() == []
        ledger.set_account(session, "acme")
        assert session.execute(seen).scalars().all() == ["acme"]
        for name in UPDATED_COLUMNS.get(table, ()):
            moved = session.execute(text(f"UPDATE {table} SET {name} = {name} WHERE account_id <> 'acme'"))
            assert moved.rowcount == 0  # type: ignore[attr-defined]
        with pytest.raises(DBAPIError, match="row-level security"):
            session.execute(text(f"INSERT INTO {table} ({', '.join(columns)}) SELECT {as_beta} FROM {table}"))
        session.rollback()
        assert session.execute(seen).all() == []
    assert roles.rows("beta") == before


_CLOSING = "SELECT account_id, 1, 'March', 'UTC', 0, 1, 1, head, 1, 'a test', '', head"


def test_under_row_level_security_every_verb_works_on_the_account_that_is_set(roles: Roles) -> None:
    roles.apply(row_level_security=True)
    of = roles.accounts["acme"]
    before = roles.rows("beta")
    with roles.session(roles.application) as session:
        for name, work in ON_ONE_ACCOUNT.items():
            ledger.set_account(session, of.plain_id if name == "reserve plainly" else of.account_id)
            work(session, of)
            session.rollback()
        ledger.set_account(session, "acme")
        ON_ONE_ACCOUNT["execute together"](session, of)
        session.commit()
        ledger.set_account(session, "acme")
        assert ledger.list_accounts(session) == ["acme"]
        assert list(ledger.audit(session)) == []
    assert roles.rows("beta") == before
    with Session(roles.owner) as session:
        assert list(ledger.audit(session)) == []


@pytest.mark.parametrize("is_set", [True, False], ids=["another account is set", "no account is set"])
def test_under_row_level_security_no_verb_reaches_an_account_that_is_not_set(roles: Roles, is_set: bool) -> None:
    roles.apply(row_level_security=True)
    before = roles.rows("beta")
    answers: dict[str, Any] = {}
    with roles.session(roles.application) as session:
        for name, work in ON_ONE_ACCOUNT.items():
            if is_set:
                ledger.set_account(session, "acme")
            try:
                answers[name] = work(session, roles.accounts["beta"])
                session.commit()
            except (ledger.LedgerError, DBAPIError):
                session.rollback()
    assert answers == {"find_launch": None}
    assert roles.rows("beta") == before


def test_an_account_is_set_for_one_transaction_only(roles: Roles) -> None:
    roles.apply(row_level_security=True)
    with roles.session(roles.application) as session:
        for end in (session.commit, session.rollback):
            ledger.set_account(session, "acme")
            assert ledger.get_balance(session, "acme").issued > 0
            end()
            with pytest.raises(ledger.AccountNotFound):
                ledger.get_balance(session, "acme")
            end()


@pytest.mark.parametrize("is_async", [False, True])
def test_a_transaction_of_the_librarys_own_sees_the_account_that_it_is_given(roles: Roles, is_async: bool) -> None:
    """Whether a verb or the host's SQL comes first, and no transaction after it."""
    roles.apply(row_level_security=True)

    def work(session: Session) -> list[Any]:
        return [ledger.list_accounts(session), list(ledger.audit(session)), session.execute(_SEEN).scalars().all()]

    def host_first(session: Session) -> list[Any]:
        return [session.execute(_SEEN).scalars().all(), ledger.reserve(session, "acme", 1, at=later(9)).account_id]

    def another(session: Session) -> None:
        ledger.reserve(session, "beta", 1, at=later(9))

    before = roles.rows("beta")
    with roles.engine(roles.application) as engine:

        def run(asked: Callable[[Session], Any], account_id: str | None) -> Any:
            if is_async:
                return asyncio.run(run_once_async(engine, asked, account_id))
            return ledger.run_transaction(engine, asked, account_id=account_id)

        assert run(work, "acme") == [["acme"], [], ["acme"]]
        assert run(host_first, "acme") == [["acme"], "acme"]
        with pytest.raises(ledger.AccountNotFound):
            run(another, "acme")
        with pytest.raises(ledger.AccountsHidden):
            run(work, None)
        assert run(lambda session: session.execute(_SEEN).all(), None) == []
    assert roles.rows("beta") == before


_SEEN = text("SELECT account_id FROM ledger_account")


async def run_once_async(engine: Engine, work: Callable[[Session], Any], account_id: str | None) -> Any:
    """`run_transaction_async` on an engine of its own."""
    own = create_async_engine(engine.url)
    try:
        return await ledger.run_transaction_async(own, work, account_id=account_id)
    finally:
        await own.dispose()


@pytest.mark.parametrize("account_id", ["", "a/b/c\0", 5])
def test_an_account_that_no_account_can_be_is_refused_before_a_transaction_begins(
    roles: Roles, account_id: Any
) -> None:
    with pytest.raises(ledger.CommandInvalid) as refused:
        ledger.run_transaction(roles.owner, lambda session: pytest.fail("it began"), account_id=account_id)
    assert refused.value.field == "account_id"


def test_row_level_security_that_is_in_place_stays_in_place(roles: Roles) -> None:
    roles.apply(row_level_security=True)
    roles.apply()
    with roles.session(roles.application) as session, pytest.raises(ledger.AccountsHidden):
        ledger.list_accounts(session)


WHOLE_BOOK: list[Callable[[Session], Any]] = [
    lambda session: list(stream_book(session)),
    entries_since,
    lambda session: list(stream_revenue(session, AccountingPeriod.parse("2026-02"))),
    lambda session: list(stream_figures(session, AccountingPeriod.parse("2026-02"))),
    list_closings,
    lambda session: close_period(session, "2026-02", by="a test"),
    lambda session: list(reprice(session)),
    lambda session: list(PeriodStatements(session, AccountingPeriod.parse("2026-02"))),
    lambda session: export_book(session, "csv", Path(mkdtemp()) / "book"),
]
"""Readings of finance that are about every account."""


def test_a_verb_over_all_accounts_refuses_where_accounts_are_hidden_from_its_role(roles: Roles) -> None:
    """It never answers that nothing is there; within the account that is set, what it sees is what was asked for."""
    roles.apply(row_level_security=True)
    with roles.engine(roles.application) as engine:
        for name, read in OVER_ACCOUNTS.items():
            with Session(engine) as session, pytest.raises(ledger.AccountsHidden, match="worker's or the read-only"):
                assert read(session) is None, name
        with pytest.raises(ledger.AccountsHidden):
            ledger.sweep(engine)
        for reading in WHOLE_BOOK:
            with Session(engine) as session, pytest.raises(ledger.AccountsHidden):
                reading(session)


def test_the_workers_role_delivers_and_sweeps_every_account_under_row_level_security(roles: Roles) -> None:
    """It may not change what is written once, as no role may."""
    roles.apply(row_level_security=True)
    given: list[str] = []
    with roles.engine(roles.worker) as engine:
        with Session(engine) as session, session.begin():
            ledger.deliver_outbox(session, lambda start: given.append(start.account_id), at=later(1))
        assert ledger.sweep(engine, at=later(days=3650)).accounts >= 2
        with Session(engine) as session, pytest.raises(ProgrammingError, match=REFUSED):
            session.execute(text("DELETE FROM ledger_entry"))
    assert given == ["acme", "beta"]
    with Session(roles.owner) as session:
        assert list(ledger.audit(session)) == []


def test_where_no_account_can_be_set_that_is_said_with_what_to_do(sqlite_url: str) -> None:
    """In a transaction of the host, and before one of the library's own begins."""
    engine = create_engine(sqlite_url)
    refused = pytest.raises(ledger.CommandInvalid, match=r"cannot be set on sqlite.*row-level security.*PostgreSQL")
    with Session(engine) as session, refused:
        ledger.set_account(session, "acme")
    with refused:
        ledger.run_transaction(engine, lambda session: pytest.fail("it began"), account_id="acme")
    engine.dispose()
