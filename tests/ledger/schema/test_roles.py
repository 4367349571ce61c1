"""What the database itself enforces: least privilege, and row-level security by account."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from uuid import uuid4

import pytest
from psycopg import Cursor
from sqlalchemy import Engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, ProgrammingError
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
from ledger.schema.revisions import VERSION_TABLE
from ledger.schema.tables import UPDATED_COLUMNS, metadata
from ledger.schema.triggers import APPEND_ONLY
from tests.ledger.conftest import START, later
from tests.ledger.verbs import ON_ONE_ACCOUNT, OVER_ACCOUNTS, Filled, close_february, fill
from tests.postgres import connect

TABLES = sorted(metadata.tables)
REFUSED = r"permission denied|must be owner"


@dataclass
class Roles:
    """A database, the roles that the script makes in it, and a plain role that may log in as a member of each."""

    url: str
    owner: Engine
    application: str
    readonly: str
    worker: str
    accounts: dict[str, Filled] = field(default_factory=dict)
    logins: dict[str, str] = field(default_factory=dict)

    def script(self, *, row_level_security: bool = False) -> str:
        """The script for this test's roles."""
        return ledger.role_script(
            application=self.application,
            readonly=self.readonly,
            worker=self.worker,
            row_level_security=row_level_security,
        )

    def apply(self, *, row_level_security: bool = False) -> None:
        """Run the script as the owner, and give each role a member."""
        self.run(self.script(row_level_security=row_level_security))
        for name in (self.application, self.readonly, self.worker):
            if name not in self.logins:
                self.logins[name] = f"login_{uuid4().hex}"
                self.run(
                    f"CREATE ROLE {self.logins[name]} LOGIN PASSWORD 'p'; GRANT {quoted(name)} TO {self.logins[name]}"
                )

    def run(self, script: str) -> None:
        """Run SQL as the owner, as it is."""
        with connect(self.url) as connection:
            connection.execute(script.encode())

    @contextmanager
    def engine(self, name: str) -> Iterator[Engine]:
        """An engine that logs in as the member of a role."""
        url = make_url(self.url).set(username=self.logins[name], password="p")
        engine = ledger.create_engine(url.render_as_string(hide_password=False))
        try:
            yield engine
        finally:
            engine.dispose()

    @contextmanager
    def session(self, name: str) -> Iterator[Session]:
        """A session that is logged in as the member of a role; rolled back at the end."""
        with self.engine(name) as engine, Session(engine) as session:
            yield session

    def rows(self, account_id: str) -> dict[str, list[Any]]:
        """Every row of an account and of the plain one beside it, as the owner sees them."""
        query = "SELECT * FROM {} WHERE account_id LIKE :like ORDER BY 1, 2"
        with self.owner.connect() as connection:
            return {
                table: [tuple(row) for row in connection.execute(text(query.format(table)), {"like": f"{account_id}%"})]
                for table in TABLES
            }

    def drop(self) -> None:
        """Drop the roles: they are the cluster's, and outlive a database."""
        logins = ", ".join(self.logins.values())
        made = [name for name in (self.application, self.readonly, self.worker) if self.exists(name)]
        self.run(f"DROP ROLE IF EXISTS {logins};" if logins else "")
        self.run("".join(f"DROP OWNED BY {quoted(name)}; DROP ROLE {quoted(name)};" for name in made))

    def exists(self, name: str) -> bool:
        """True when the cluster has a role."""
        with self.owner.connect() as connection:
            return bool(
                connection.execute(text("SELECT count(*) FROM pg_roles WHERE rolname = :name"), {"name": name}).scalar()
            )


def quoted(name: str) -> str:
    """A role's name as SQL writes it."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


@pytest.fixture
def roles(postgresql_url: str) -> Iterator[Roles]:
    """Two accounts with rows in every table, and two roles whose names are hard to quote."""
    owner = ledger.create_engine(postgresql_url)
    found = Roles(
        postgresql_url, owner, f'app "it\'s" %s\\ {uuid4().hex}', f"reader {uuid4().hex}", f"worker {uuid4().hex}"
    )
    with Session(owner) as session, session.begin():
        found.accounts = {name: fill(session, name) for name in ("acme", "beta")}
    yield found
    found.drop()
    owner.dispose()


def test_the_application_role_can_do_all_that_the_library_does(roles: Roles) -> None:
    for _ in range(2):
        roles.apply()
    with roles.engine(roles.application) as engine, Session(engine) as session:
        ledger.check_schema(engine)
        for work in ON_ONE_ACCOUNT.values():
            work(session, roles.accounts["acme"])
            session.rollback()
        for read in OVER_ACCOUNTS.values():
            assert read(session) != [None]
        assert fill(session, "gamma").account_id == "gamma"
        session.commit()
        assert list(ledger.audit(session)) == []
        assert ledger.list_accounts(session) == sorted(
            f"{n}{x}" for n in ("acme", "beta", "gamma") for x in ("", "-plain")
        )


@pytest.mark.parametrize("row_level_security", [False, True])
def test_the_application_role_delivers_starts_and_under_row_level_security_those_of_its_account(
    roles: Roles, row_level_security: bool
) -> None:
    roles.apply(row_level_security=row_level_security)
    given: list[str] = []
    with roles.session(roles.readonly) as session, pytest.raises(ProgrammingError, match=REFUSED):
        ledger.deliver_outbox(session, lambda start: None, at=later(1))
    with roles.session(roles.application) as session:
        ledger.set_account(session, "acme")
        ledger.deliver_outbox(session, lambda start: given.append(start.account_id), at=later(1))
        session.commit()
    assert given == (["acme"] if row_level_security else ["acme", "beta"])
    with roles.session(roles.readonly) as session:
        assert len(ledger.list_outbox(session)) == int(row_level_security)


def test_an_application_that_owns_nothing_may_ask_for_an_upgrade_when_there_is_nothing_to_do(roles: Roles) -> None:
    roles.apply()
    with roles.engine(roles.application) as engine:
        assert ledger.upgrade(engine) == ledger.current_revision(roles.owner)
        with pytest.raises(ProgrammingError, match="must be owner"):
            ledger.upgrade(engine, triggers=False)
        ledger.upgrade(roles.owner, triggers=False)
        assert ledger.upgrade(engine, triggers=False) == ledger.current_revision(roles.owner)


@pytest.mark.parametrize("table", TABLES)
def test_no_role_can_take_a_row_away_or_change_what_is_written_once(roles: Roles, table: str) -> None:
    with Session(roles.owner) as session, session.begin():
        close_february(session)
    roles.apply()
    changed = UPDATED_COLUMNS.get(table, ())
    fixed = [column.name for column in metadata.tables[table].columns if column.name not in changed]
    refused = [f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE", f"DROP TABLE {table} CASCADE"]
    refused += [f"UPDATE {table} SET {name} = {name}" for name in fixed]
    refused += [f"ALTER TABLE {table} ADD COLUMN x int", f"ALTER TABLE {table} DISABLE TRIGGER ALL"]
    refused += [f"CREATE INDEX ON {table} (account_id)", f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"]
    never_for_readers = [f"INSERT INTO {table} SELECT * FROM {table}", f"SELECT * FROM {table} FOR UPDATE"]
    never_for_readers += [f"UPDATE {table} SET {name} = {name}" for name in changed]
    before = roles.rows("acme")
    with roles.session(roles.application) as application, roles.session(roles.readonly) as reader:
        for session, statements in ((application, refused), (reader, refused + never_for_readers)):
            for statement in statements:
                with pytest.raises(ProgrammingError, match=REFUSED):
                    session.execute(text(statement))
                session.rollback()
        for name in changed:
            application.execute(text(f"UPDATE {table} SET {name} = {name} WHERE account_id = 'nobody'"))
        assert reader.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() > 0
    assert roles.rows("acme") == before


def test_operations_update_no_column_of_what_is_written_once() -> None:
    assert not UPDATED_COLUMNS.keys() & {*APPEND_ONLY, "ledger_card"}
    assert UPDATED_COLUMNS.keys() == metadata.tables.keys() - {*APPEND_ONLY, "ledger_card"}
    assert not [table for table, columns in UPDATED_COLUMNS.items() if "account_id" in columns]


def test_the_version_of_the_schema_is_read_by_every_role_and_written_by_none(roles: Roles) -> None:
    roles.apply()
    for name in (roles.application, roles.readonly):
        with roles.session(name) as session:
            assert session.execute(text(f"SELECT count(*) FROM {VERSION_TABLE}")).scalar_one() == 1
            for change in (f"DELETE FROM {VERSION_TABLE}", f"UPDATE {VERSION_TABLE} SET version_num = 'x'"):
                session.rollback()
                with pytest.raises(ProgrammingError, match=REFUSED):
                    session.execute(text(change))


@pytest.mark.parametrize("table", TABLES)
def test_a_right_that_a_role_was_given_besides_is_taken_back_when_the_script_runs_again(
    roles: Roles, table: str
) -> None:
    roles.apply()
    roles.run(f"GRANT ALL ON {table} TO {quoted(roles.application)}, {quoted(roles.readonly)}")
    roles.run(f"GRANT UPDATE (account_id) ON {table} TO {quoted(roles.readonly)}")
    roles.apply()
    for name in (roles.application, roles.readonly):
        with roles.session(name) as session:
            for change in (f"DELETE FROM {table}", f"UPDATE {table} SET account_id = account_id"):
                with pytest.raises(ProgrammingError, match=REFUSED):
                    session.execute(text(change))
                session.rollback()


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


@pytest.mark.parametrize("row_level_security", [False, True])
def test_the_reading_role_reads_and_audits_an_account_that_is_written_to_after_each_of_its_statements(
    roles: Roles, row_level_security: bool
) -> None:
    """It never takes a lock, which it has no right to and which would hold writers up."""
    roles.apply(row_level_security=row_level_security)
    written: list[int] = []

    class Overtaken(Cursor[Any]):
        def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
            answer = super().execute(query, params, **options)
            with Session(roles.owner) as session, session.begin():
                session.execute(text("SET LOCAL lock_timeout = '2s'"))
                ledger.release(session, ledger.reserve(session, "acme", Decimal("0.000001")).reservation_id)
            written.append(1)
            return answer

    with roles.engine(roles.readonly) as engine:
        event.listen(engine, "connect", lambda connection, _: setattr(connection, "cursor_factory", Overtaken))
        with Session(engine) as session:
            assert list(ledger.audit(session)) == []
            assert ledger.get_balance(session, "acme").issued > 0
            assert ledger.list_grants(session, "acme")
    assert len(written) > 10


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
    engine = ledger.create_engine(sqlite_url)
    with Session(engine) as session, pytest.raises(ledger.CommandInvalid, match="use PostgreSQL, or leave the call"):
        ledger.set_account(session, "acme")
    engine.dispose()


@pytest.mark.parametrize("field", ["application", "readonly"])
@pytest.mark.parametrize("name", ["", "x" * 64, "ö" * 32, "a$b", "a\nb", "public", "none", "pg_x", 5, None])
def test_a_name_that_no_role_can_have_is_refused(field: str, name: Any) -> None:
    with pytest.raises(ledger.CommandInvalid) as refused:
        ledger.role_script(**{field: name})
    assert refused.value.field == field


def test_one_name_for_both_roles_is_refused() -> None:
    with pytest.raises(ledger.CommandInvalid, match="give the three roles three names"):
        ledger.role_script(application="books", readonly="books")


def test_a_script_that_fails_anywhere_leaves_everything_as_it_was(roles: Roles) -> None:
    rights = text("SELECT relname, relacl::text, relrowsecurity FROM pg_class WHERE relname LIKE 'ledger%' ORDER BY 1")
    with roles.owner.connect() as connection:
        before = connection.execute(rights).all()
    broken = roles.script(row_level_security=True).replace("END $ledger$", "PERFORM 1 / 0; END $ledger$")
    with pytest.raises(Exception, match="division by zero"):
        roles.run(broken)
    with roles.owner.connect() as connection:
        assert connection.execute(rights).all() == before
    assert not roles.exists(roles.application)
    assert not roles.exists(roles.readonly)


def test_the_roles_may_use_the_schema_that_the_tables_are_in(roles: Roles) -> None:
    roles.run('CREATE SCHEMA "the books"; ' + "".join(f'ALTER TABLE {t} SET SCHEMA "the books";' for t in TABLES))
    roles.run(f'ALTER TABLE {VERSION_TABLE} SET SCHEMA "the books"')
    path = 'SET search_path = "the books"'
    roles.run(f"{path}; {roles.script()}")
    roles.run(f"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I {path}', current_database()); END $$")
    for name in (roles.application, roles.readonly):
        roles.logins[name] = f"login_{uuid4().hex}"
        roles.run(f"CREATE ROLE {roles.logins[name]} LOGIN PASSWORD 'p'; GRANT {quoted(name)} TO {roles.logins[name]}")
    with roles.session(roles.application) as session:
        assert ledger.reserve(session, "acme", 1, at=START.replace(day=2)).amount == 1
    with roles.session(roles.readonly) as session:
        assert list(ledger.audit(session)) == []
