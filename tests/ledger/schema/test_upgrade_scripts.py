"""The printed SQL of an upgrade does what the upgrade does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import Engine, text

import ledger
from ledger.schema.revisions import HEAD, VERSION_TABLE
from ledger.schema.triggers import remove_triggers
from tests.ledger.schema.earlier import described, run_revisions
from tests.postgres import Databases, connect

EARLIER = [None, "0002", "0003", "0004"]


@pytest.fixture
def bare(postgres: Databases) -> Iterator[Engine]:
    """An engine on a PostgreSQL database without tables."""
    url = postgres.create()
    engine = ledger.create_engine(url)
    yield engine
    engine.dispose()
    postgres.drop(url)


def run(engine: Engine, script: str) -> None:
    """Run a script as psql does: in one transaction, and nothing of it understood by a driver."""
    with connect(engine.url.render_as_string(hide_password=False)) as connection, connection.transaction():
        connection.execute(script.encode())


def bring_to(engine: Engine, revision: str | None) -> None:
    """Bring an empty database to a revision."""
    with engine.begin() as connection:
        if revision is not None:
            run_revisions(connection, revision)


@pytest.mark.parametrize("triggers", [True, False])
@pytest.mark.parametrize("revision", EARLIER)
def test_the_script_makes_the_schema_that_the_upgrade_makes(
    bare: Engine, revision: str | None, triggers: bool, postgres: Databases, request: pytest.FixtureRequest
) -> None:
    """Columns, constraints, indexes and triggers, the version table too; then an upgrade finds nothing to do."""
    url = postgres.create()
    other = ledger.create_engine(url)
    request.addfinalizer(lambda: postgres.drop(url))
    request.addfinalizer(other.dispose)
    for engine in (bare, other):
        bring_to(engine, revision)
    run(bare, ledger.upgrade_sql(bare, triggers=triggers))
    ledger.upgrade(other, triggers=triggers)
    assert described(bare, with_versions=True) == described(other, with_versions=True)
    assert ledger.upgrade_sql(bare, triggers=triggers).startswith("-- Nothing to do")
    with bare.connect() as connection:
        assert connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalars().all() == [HEAD]
    with bare.connect() as reader, bare.connect() as connection:
        # Nothing is locked by an upgrade that has nothing to do.
        reader.execute(text("SELECT count(*) FROM ledger_entry"))
        assert ledger.upgrade(connection, triggers=triggers, lock_timeout=timedelta(milliseconds=50)) == HEAD


def test_a_script_for_another_revision_changes_nothing(bare: Engine) -> None:
    script = ledger.upgrade_sql(bare)
    bring_to(bare, "0004")
    of_0004 = ledger.upgrade_sql(bare)
    before = described(bare)
    with pytest.raises(psycopg.errors.RaiseException, match="another revision of the ledger: print it again"):
        run(bare, script)
    assert described(bare) == before
    run(bare, of_0004)
    with pytest.raises(psycopg.errors.RaiseException, match="print it again"):
        run(bare, of_0004)


def test_a_script_is_carried_out_as_a_whole_or_not_at_all(bare: Engine) -> None:
    """Also by a client that commits each statement."""
    with bare.begin() as connection:
        connection.execute(text("CREATE TABLE ledger_closing (name text)"))
    with connect(bare.url.render_as_string(hide_password=False)) as connection:
        with pytest.raises(psycopg.errors.DuplicateTable):
            connection.execute(ledger.upgrade_sql(bare).encode())
        found = connection.execute("SELECT tablename FROM pg_tables WHERE tablename LIKE 'ledger%'").fetchall()
    assert found == [("ledger_closing",)]


def test_a_script_leaves_the_lock_timeout_of_its_transaction_as_it_was(bare: Engine) -> None:
    script = ledger.upgrade_sql(bare, lock_timeout=timedelta(milliseconds=70))
    assert "'70ms'" in script
    with connect(bare.url.render_as_string(hide_password=False)) as connection, connection.transaction():
        connection.execute("SET LOCAL lock_timeout = '7s'")
        connection.execute(script.encode())
        assert connection.execute("SHOW lock_timeout").fetchone() == ("7s",)


@pytest.mark.triggers
def test_missing_triggers_alone_are_printed_alone(postgresql_url: str) -> None:
    engine = ledger.create_engine(postgresql_url)
    with engine.begin() as connection:
        remove_triggers(connection)
        script = ledger.upgrade_sql(connection)
        assert (script.count("CREATE TRIGGER"), script.count("CREATE TABLE"), script.count("-- Revision")) == (5, 0, 0)
    engine.dispose()


def test_what_works_out_values_from_rows_is_refused_and_says_to_run_the_upgrade(old: Engine) -> None:
    why = "It is a SQLite file" if old.dialect.name == "sqlite" else "revision 0002 works out new values"
    with pytest.raises(ledger.UpgradeNotScripted, match=f"(?i){why}.*Run `credits db upgrade` without --sql"):
        ledger.upgrade_sql(old)
    assert ledger.current_revision(old) == "0001"


def test_a_database_of_a_later_version_gets_no_script(bare: Engine) -> None:
    ledger.upgrade(bare)
    with bare.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(ledger.SchemaMismatch, match="at revision 9999"):
        ledger.upgrade_sql(bare)
