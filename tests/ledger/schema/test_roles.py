"""Least privilege, as the database itself enforces it: what each role may do, and what none may."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

import ledger
from ledger.schema.revisions import VERSION_TABLE
from ledger.schema.tables import UPDATED_COLUMNS, metadata
from ledger.schema.triggers import APPEND_ONLY
from ledger.storage.stores import store_of
from ledger.storage.stores.base import Request, Store
from tests.ledger.conftest import START, later
from tests.ledger.schema.roles import REFUSED, TABLES, Roles, quoted
from tests.ledger.verbs import ON_ONE_ACCOUNT, OVER_ACCOUNTS, close_february, fill


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


@pytest.mark.row_security
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


@pytest.mark.triggers
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
    never_for_readers = [
        f"INSERT INTO {table} SELECT * FROM {table}",
        f"SELECT * FROM {table} WHERE account_id = 'acme' FOR UPDATE",
    ]
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


@pytest.mark.parametrize("row_level_security", [False, True])
def test_the_reading_role_reads_and_audits_an_account_that_is_written_to_after_each_of_its_readings(
    roles: Roles, row_level_security: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never takes a lock, which it has no right to and which would hold writers up."""
    roles.apply(row_level_security=row_level_security)
    written: list[int] = []
    with roles.engine(roles.readonly) as engine, Session(engine) as session:
        store = type(store_of(session.connection()))
        run = store.run

        def overtaken(self: Store, connection: Connection, requests: Sequence[Request]) -> list[list[tuple[Any, ...]]]:
            answer = run(self, connection, requests)
            if connection.engine is engine:
                with Session(roles.owner) as other, other.begin():
                    other.execute(text("SET LOCAL lock_timeout = '2s'"))
                    ledger.release(other, ledger.reserve(other, "acme", Decimal("0.000001")).reservation_id)
                written.append(1)
            return answer

        monkeypatch.setattr(store, "run", overtaken)
        assert list(ledger.audit(session)) == []
        assert ledger.get_balance(session, "acme").issued > 0
        assert ledger.list_grants(session, "acme")
    assert len(written) > 10


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
