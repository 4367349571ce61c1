"""What the database itself enforces: least privilege, row-level security, and triggers that may be left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.orm import Session

import ledger
from ledger.journal import UPDATED_COLUMNS
from ledger.tables import metadata
from tests.ledger.conftest import START, later
from tests.ledger.test_launches import launch

TABLES = sorted(metadata.tables)


@dataclass
class Roles:
    """A database, and the names of its plain roles: members of what the script makes."""

    url: str
    owner: Engine
    names: tuple[str, str]

    def engine(self, name: str) -> Engine:
        """An engine whose connections are a plain role's."""
        engine = ledger.create_engine(self.url)
        event.listen(engine, "connect", lambda connection, _: become(connection, name))
        return engine

    def run(self, script: str) -> None:
        """Run SQL as the owner."""
        with self.owner.begin() as connection:
            connection.exec_driver_sql(script.replace("%", "%%"))


def become(connection: object, name: str) -> None:
    """Make a driver's connection a plain role's."""
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute(f'SET ROLE "{quoted(name)}"')
    cursor.close()
    connection.commit()  # type: ignore[attr-defined]


@pytest.fixture
def roles(postgresql_url: str) -> Iterator[Roles]:
    """Two accounts with rows in every table, and two roles of a name that is hard to quote."""
    owner = ledger.create_engine(postgresql_url)
    names = (f'app "it\'s" {uuid4().hex}', f"reader {uuid4().hex}")
    found = Roles(postgresql_url, owner, names)
    with Session(owner) as session, session.begin():
        for name in ("acme", "beta"):
            fill(session, name)
    yield found
    found.run("".join(f'DROP OWNED BY "{quoted(name)}"; DROP ROLE "{quoted(name)}";' for name in names))
    owner.dispose()


def quoted(name: str) -> str:
    """A name as it is written between double quotes."""
    return name.replace('"', '""')


def fill(session: Session, name: str) -> None:
    """Rows of an account in every table."""
    ledger.open_account(session, name, at=START)
    ledger.set_limit(session, name, "total", 1000, at=START)
    ledger.set_credit_line(session, name, 5, at=START)
    ledger.grant_credits(session, name, 100, at=START)
    launch(session, account_id=name)
    hold = ledger.reserve(session, name, 2, at=START)
    ledger.capture(session, hold.reservation_id, 1, at=START)


def script(roles: Roles, *, row_level_security: bool = False) -> str:
    """The script for the test's roles."""
    application, readonly = roles.names
    return ledger.role_script(application=application, readonly=readonly, row_level_security=row_level_security)


def everything(session: Session, name: str) -> None:
    """Every verb, and every read."""
    ledger.open_account(session, name, at=START)
    granted = ledger.grant_credits(session, name, 50, recurrence=ledger.Recurrence("day"), at=later(1))
    ledger.grant_credits(session, name, 5, scope={"project": ["p"]}, effective_at=later(5), at=later(1))
    hold = ledger.reserve(session, name, 2, expires_in=timedelta(seconds=90), labels={"project": "p"}, at=later(2))
    ledger.extend(session, hold.reservation_id, timedelta(seconds=5), at=later(3))
    ledger.capture(session, hold.reservation_id, 3, over="if_available", at=later(4))
    ledger.refund(session, hold.reservation_id, 1, at=later(5))
    ledger.release(session, ledger.reserve(session, name, 1, at=later(6)).reservation_id, at=later(6))
    ledger.adjust(session, name, -1, reason="test", at=later(6))
    ledger.set_limit(session, name, "day", 500, label="project", at=later(6))
    ledger.set_credit_line(session, name, 9, at=later(6))
    launch(session, account_id=name, dataset_id="d2", at=later(7))
    ledger.expire_due(session, account_id=name, at=later(days=3))
    ledger.revoke_grant(session, granted.grant_id, at=later(days=3))
    assert ledger.get_balance(session, name, at=later(days=3)).available > 0
    assert ledger.get_balance(session, name, at=later(4)).consumed == Decimal(4)
    assert ledger.list_grants(session, name)
    assert ledger.list_reservations(session, name)
    assert ledger.list_limit_usage(session, name, at=later(7))
    assert ledger.get_statement(session, name, until=later(days=3)).entries
    assert list(ledger.audit(session, account_id=name)) == []


def test_the_application_role_can_do_all_that_the_library_does(roles: Roles) -> None:
    for _ in range(2):
        roles.run(script(roles))
    engine = roles.engine(roles.names[0])
    ledger.check_schema(engine)
    with Session(engine) as session, session.begin():
        everything(session, "acme")
        ledger.open_account(session, "gamma", at=START)
    with Session(engine) as session:
        assert list(ledger.audit(session)) == []
    engine.dispose()


@pytest.mark.parametrize("table", TABLES)
def test_no_role_can_take_a_row_away_or_change_what_is_written_once(roles: Roles, table: str) -> None:
    roles.run(script(roles))
    changed = UPDATED_COLUMNS.get(table, ())
    fixed = [column.name for column in metadata.tables[table].columns if column.name not in changed]
    refused = [f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE", f"DROP TABLE {table} CASCADE"]
    refused += [f"UPDATE {table} SET {name} = {name}" for name in fixed]
    engines = [roles.engine(name) for name in roles.names]
    with engines[0].connect() as application, engines[1].connect() as reader:
        for statement in refused:
            with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"):
                application.execute(text(statement))
            application.rollback()
        for name in changed:
            application.execute(text(f"UPDATE {table} SET {name} = {name} WHERE account_id = 'nobody'"))
            with pytest.raises(ProgrammingError, match="permission denied"):
                reader.execute(text(f"UPDATE {table} SET {name} = {name}"))
            reader.rollback()
        with pytest.raises(ProgrammingError, match="permission denied"):
            reader.execute(text(f"INSERT INTO {table} SELECT * FROM {table}"))
        reader.rollback()
        assert reader.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() > 0
    for engine in engines:
        engine.dispose()


def test_the_reading_role_audits_everything(roles: Roles) -> None:
    roles.run(script(roles, row_level_security=True))
    engine = roles.engine(roles.names[1])
    with Session(engine) as session:
        assert ledger.list_accounts(session) == ["acme", "beta"]
        assert list(ledger.audit(session)) == []
        assert ledger.get_statement(session, "acme").entries
    engine.dispose()


@pytest.mark.parametrize("table", TABLES)
def test_under_row_level_security_another_accounts_rows_cannot_be_seen_or_moved(roles: Roles, table: str) -> None:
    for _ in range(2):
        roles.run(script(roles, row_level_security=True))
    engine = roles.engine(roles.names[0])
    with Session(engine) as session:
        seen = text(f"SELECT DISTINCT account_id FROM {table}")
        assert session.execute(seen).all() == []
        ledger.set_account(session, "acme")
        assert session.execute(seen).scalars().all() == ["acme"]
        for name in UPDATED_COLUMNS.get(table, ()):
            moved = session.execute(text(f"UPDATE {table} SET {name} = {name} WHERE account_id = 'beta'"))
            assert moved.rowcount == 0  # type: ignore[attr-defined]
        columns = [column.name for column in metadata.tables[table].columns]
        as_beta = ", ".join("'beta'" if name == "account_id" else name for name in columns)
        with pytest.raises(DBAPIError, match="row-level security"):
            session.execute(text(f"INSERT INTO {table} ({', '.join(columns)}) SELECT {as_beta} FROM {table}"))
        session.rollback()
        assert session.execute(seen).all() == []
    engine.dispose()


def test_under_row_level_security_a_transaction_works_on_its_account_and_on_no_other(roles: Roles) -> None:
    roles.run(script(roles, row_level_security=True))
    engine = roles.engine(roles.names[0])
    with Session(engine) as session, session.begin():
        ledger.set_account(session, "acme")
        everything(session, "acme")
        for refused in ("beta", "gamma"):
            with pytest.raises(ledger.AccountNotFound):
                ledger.reserve(session, refused, 1)
            with pytest.raises(ledger.AccountNotFound):
                ledger.get_balance(session, refused)
        assert ledger.list_accounts(session) == ["acme"]
    with Session(engine) as session:
        ledger.set_account(session, "acme")
        with pytest.raises(DBAPIError, match="row-level security"):
            ledger.open_account(session, "gamma")
    engine.dispose()


@pytest.mark.parametrize("name", ["", "x" * 64, "a$b", 5])
def test_a_name_that_no_role_has_is_refused(name: str) -> None:
    with pytest.raises(ledger.CommandInvalid):
        ledger.role_script(application=name)


CHANGES = [f"{change} WHERE 1 = 1" for change in ("UPDATE ledger_entry SET kind = kind", "DELETE FROM ledger_transfer")]


@pytest.mark.parametrize("change", CHANGES)
def test_the_triggers_refuse_changes_and_can_be_left_out_and_put_back(engine: Engine, change: str) -> None:
    with Session(engine) as session, session.begin():
        fill(session, "acme")

    def is_refused() -> bool:
        with engine.connect() as connection:
            try:
                connection.execute(text(change))
            except DBAPIError as error:
                return "append-only" in str(error)
            return False

    assert is_refused()
    for triggers in (False, False, True, True):
        ledger.upgrade(engine, triggers=triggers)
        assert is_refused() == triggers
