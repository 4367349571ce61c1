"""The schema: keys fit for sharding, CHECKs that hold, migrations that make what the tables say."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

import ledger
from ledger.schema.migrations import current_revision
from ledger.schema.revisions import HEAD, VERSION_TABLE
from ledger.schema.tables import EntryRow, LedgerRow, metadata
from ledger.storage.shapes import table_of
from tests.drivers import create_engine
from tests.ledger.conftest import START

_OVER_EXPRESSIONS = {"ix_ledger_grant_live"}

_INTO_GRANT = (
    "INSERT INTO ledger_grant"
    " (account_id, number, priority, expires_at, amount, available, held, consumed, expired, revoked)"
)
_INTO_RESERVATION = (
    "INSERT INTO ledger_reservation"
    " (account_id, number, state, amount, captured, freed, reserved_at, expires_at, dataset_id, started_ms)"
)


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=str)
def test_every_primary_and_unique_key_starts_with_the_account(table: sa.Table) -> None:
    keys: list[Any] = [table.primary_key, *(index for index in table.indexes if index.unique)]
    keys += [found for found in table.constraints if isinstance(found, sa.UniqueConstraint)]
    assert [next(iter(key.columns)).name for key in keys] == ["account_id"] * len(keys)


def test_the_tables_live_on_metadata_of_their_own() -> None:
    from sqlmodel import SQLModel

    assert LedgerRow.metadata is metadata
    assert not [name for name in SQLModel.metadata.tables if name.startswith("ledger_")]


def test_amounts_and_moments_are_whole_numbers_of_64_bits() -> None:
    kinds = {type(column.type) for table in metadata.sorted_tables for column in table.columns}
    assert kinds == {sa.BigInteger, sa.SmallInteger, sa.Text, sa.LargeBinary}


def differences(connection: sa.Connection, **options: bool) -> list[Any]:
    """How the tables that a database has differ from the declared ones, in what is declared for its engine."""

    def is_meant(found: Any, _name: str | None, kind: str, reflected: bool, _other: Any) -> bool:
        sqlite_alone = kind == "foreign_key_constraint" and not reflected and found._ddl_if is not None
        return not sqlite_alone or connection.dialect.name == "sqlite"

    settings = {"version_table": VERSION_TABLE, "include_object": is_meant, **options}
    return list(compare_metadata(MigrationContext.configure(connection, opts=settings), metadata))


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index")
def test_the_migrations_make_what_the_tables_say(engine: Engine) -> None:
    with engine.connect() as connection:
        assert differences(connection, compare_type=True) == []
        inspector = sa.inspect(connection)
        for table in metadata.sorted_tables:
            declared = {c.name for c in table.constraints if isinstance(c, sa.CheckConstraint)}
            assert {found["name"] for found in inspector.get_check_constraints(table.name)} == declared
            partial = {str(index.name) for index in table.indexes}
            uniques = {str(c.name) for c in table.constraints if isinstance(c, sa.UniqueConstraint)}
            seen = {str(found["name"]) for found in inspector.get_indexes(table.name)}
            assert seen - uniques - _OVER_EXPRESSIONS == partial - _OVER_EXPRESSIONS


def test_the_partial_indexes_have_the_conditions_that_the_tables_say(engine: Engine) -> None:
    query = (
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
        if engine.dialect.name == "postgresql"
        else "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    )
    with engine.connect() as connection:
        found: dict[str, str] = {row[0]: row[1] for row in connection.execute(text(query))}
    for table in metadata.sorted_tables:
        for index in table.indexes:
            where = index.dialect_options["sqlite"]["where"]
            condition = "" if where is None else str(where)
            words = {word for word in condition.replace("'", " ").split() if word.isidentifier()}
            assert all(word in found[str(index.name)] for word in words), index.name


def test_upgrading_again_changes_nothing_and_a_connection_may_be_given(engine: Engine) -> None:
    assert ledger.upgrade(engine) == HEAD
    with engine.begin() as connection:
        assert ledger.upgrade(connection) == HEAD
    assert ledger.current_revision(engine) == HEAD
    ledger.check_schema(engine)


def test_an_upgrade_joins_the_transaction_of_the_connection_it_is_given(
    tmp_path: Any, postgres: Any, request: Any
) -> None:
    url = postgres.create()
    request.addfinalizer(lambda: postgres.drop(url))
    for fresh in (url, f"sqlite:///{tmp_path / 'fresh.sqlite'}"):
        engine = create_engine(fresh)
        with engine.connect() as connection:
            ledger.upgrade(connection)
            connection.rollback()
            assert current_revision(connection) is None
        with pytest.raises(ledger.SchemaMismatch, match="credits db upgrade"):
            ledger.check_schema(engine)
        engine.dispose()


def test_an_engine_of_the_hosts_own_is_upgraded_too(tmp_path: Any) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'host.sqlite'}")
    assert ledger.upgrade(engine) == HEAD
    ledger.check_schema(engine)
    engine.dispose()


def test_a_hosts_own_migrations_are_left_alone(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num varchar(32))"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('host')"))
    ledger.upgrade(engine)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "host"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_account SET available = -1, held = held + 10000001",
        "UPDATE ledger_account SET issued = issued + 1",
        "UPDATE ledger_account SET sequence = -1, issued = issued",
        "UPDATE ledger_grant SET available = available + 1",
        "UPDATE ledger_grant SET available = -1, consumed = amount + 1",
        _INTO_GRANT + " VALUES ('acme', 9, 1, NULL, 0, 0, 0, 0, 0, 0)",
        _INTO_GRANT + " VALUES ('nobody', 9, 1, NULL, 1, 1, 0, 0, 0, 0)",
        _INTO_RESERVATION + " VALUES ('acme', 9, 'lost', 1, 0, 0, 0, NULL, NULL, NULL)",
        _INTO_RESERVATION + " VALUES ('acme', 9, 'held', 1, 2, 0, 0, NULL, NULL, NULL)",
        _INTO_RESERVATION + " VALUES ('acme', 9, 'held', 1, 0, 1, 0, NULL, NULL, NULL)",
        _INTO_RESERVATION + " VALUES ('acme', 9, 'held', 1, 0, 0, 0, 5, NULL, NULL)",
        "UPDATE ledger_grant SET kind = 'gift'",
        "UPDATE ledger_grant SET repaid = 1",
        "UPDATE ledger_account SET owed = issued + 1",
        "INSERT INTO ledger_limit VALUES ('acme', 9, '', '*', 'week', 1)",
        "INSERT INTO ledger_limit VALUES ('acme', 9, '', '*', 'day', -1)",
        "INSERT INTO ledger_usage VALUES ('acme', 9, '', 0, 1, 1)",
        _INTO_RESERVATION + " VALUES ('acme', 9, 'captured', 1, 0, 0, 0, NULL, NULL, NULL)",
        _INTO_RESERVATION + " VALUES ('acme', 9, 'held', -1, 0, 0, 0, NULL, NULL, NULL)",
        _INTO_RESERVATION + " VALUES ('acme', 9, 'held', 1, 0, 0, 0, NULL, 'd1', NULL)",
        "INSERT INTO ledger_transfer VALUES ('acme', 1, 9, 1, 'held', 'held', 1)",
        "INSERT INTO ledger_transfer VALUES ('acme', 1, 9, 1, 'held', 'spent', 1)",
        "INSERT INTO ledger_transfer VALUES ('acme', 1, 9, 1, 'lost', 'held', 1)",
        "INSERT INTO ledger_transfer VALUES ('acme', 1, 9, 1, 'held', 'expired', 0)",
    ],
)
def test_the_database_refuses_rows_that_break_the_book(session: Session, acme: str, statement: str) -> None:
    with pytest.raises(IntegrityError):
        session.execute(text(statement))


def test_sqlite_refuses_a_transfer_without_an_entry_and_elsewhere_the_audit_finds_it(
    session: Session, acme: str
) -> None:
    statement = text("INSERT INTO ledger_transfer VALUES ('acme', 9, 0, 1, 'held', 'expired', 1)")
    if session.connection().dialect.name == "sqlite":
        with pytest.raises(IntegrityError):
            session.execute(statement)
    else:
        session.execute(statement)
        assert [(found.account_id, found.sequence) for found in ledger.audit(session)] == [("acme", 9)]


def test_the_database_refuses_a_second_active_run_and_a_second_use_of_a_key(session: Session, acme: str) -> None:
    ledger.grant_credits(session, acme, 1, key="k", at=START)
    run = _INTO_RESERVATION + " VALUES ('acme', {number}, 'held', 1, 0, 0, 0, NULL, 'd1', {number})"
    session.execute(text(run.format(number=8)))
    with pytest.raises(IntegrityError), session.begin_nested():
        session.execute(text(run.format(number=9)))
    columns = ", ".join(column.name for column in table_of(EntryRow).columns)
    with pytest.raises(IntegrityError), session.begin_nested():
        session.execute(
            text(
                f"INSERT INTO ledger_entry ({columns}) SELECT {columns.replace('sequence', '9')}"
                " FROM ledger_entry WHERE key = 'k'"
            )
        )
