"""A database that tests use one after another is as good as new for each of them."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy.orm import Session

import ledger
from tests.conftest import TEMPLATE
from tests.postgres import Databases, connect
from tests.reuse import DistributedDatabase, ReusedDatabase, is_coordinator


@pytest.fixture
def reused(postgres: Databases) -> Iterator[ReusedDatabase]:
    """A database of its own, apart from the one that all other tests use."""
    database = ReusedDatabase(postgres, TEMPLATE)
    yield database
    database.drop()


def test_what_a_test_wrote_is_gone_in_the_next_one_and_the_database_is_the_same(reused: ReusedDatabase) -> None:
    url = reused.lend()
    for _ in range(3):
        engine = ledger.create_engine(url)
        with Session(engine) as session, session.begin():
            assert ledger.list_accounts(session) == []
            ledger.open_account(session, "acme")
            ledger.grant_credits(session, "acme", 5)
            ledger.reserve(session, "acme", 1)
        engine.dispose()
        reused.take_back()
        assert reused.lend() == url
    engine = ledger.create_engine(url)
    ledger.check_schema(engine)
    engine.dispose()


@pytest.mark.parametrize(
    "change",
    [
        "DROP TABLE ledger_outbox",
        "CREATE TABLE of_the_host (id int)",
        "CREATE VIEW of_the_host AS SELECT 1",
        "CREATE SCHEMA of_the_host",
        "CREATE FUNCTION of_the_host() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER TABLE ledger_entry DISABLE TRIGGER USER",
        "ALTER TABLE ledger_entry ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE ledger_grant ADD COLUMN of_the_host int",
        "ALTER TABLE ledger_grant ALTER COLUMN kind DROP NOT NULL",
        "GRANT SELECT ON ledger_entry TO pg_monitor",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = 1024', current_database()); END $$",
        "UPDATE ledger_alembic_version SET version_num = '0001'",
        "DELETE FROM ledger_alembic_version",
    ],
)
def test_a_database_in_which_more_than_rows_was_changed_is_not_lent_again(reused: ReusedDatabase, change: str) -> None:
    url = reused.lend()
    with connect(url) as connection:
        connection.execute(change.encode())
    reused.take_back()
    again = reused.lend()
    assert again != url
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        connect(url)


def test_whoever_is_still_connected_is_sent_off(reused: ReusedDatabase) -> None:
    with connect(reused.lend()) as connection:
        connection.execute(b"BEGIN; LOCK TABLE ledger_account")
        reused.take_back()
        with pytest.raises(psycopg.OperationalError):
            connection.execute(b"SELECT 1")


def test_a_database_that_cannot_be_reached_is_not_lent_again(reused: ReusedDatabase, postgres: Databases) -> None:
    url = reused.lend()
    postgres.drop(url)
    reused.take_back()
    assert reused.lend() != url


def test_a_database_with_tables_of_others_is_never_emptied_for_tests_of_distributed_tables(postgres: Databases) -> None:
    url = postgres.create()
    with connect(url) as connection:
        connection.execute("CREATE TABLE of_the_host (id int)")
        with pytest.raises(RuntimeError, match="Name an empty one"):
            DistributedDatabase(url).lend()
        assert connection.execute("SELECT count(*) FROM of_the_host").fetchone() == (0,)
    assert not is_coordinator(url)
    postgres.drop(url)


@pytest.mark.distributed
def test_a_database_of_several_servers_is_emptied_or_made_anew_in_place(postgresql_url: str) -> None:
    database = DistributedDatabase(postgresql_url)
    assert is_coordinator(database.lend())
    tables = "SELECT count(*) FROM pg_dist_partition"
    with connect(postgresql_url) as connection:
        before = connection.execute(tables).fetchone()
        connection.execute("CREATE TABLE of_the_host (id int)")
        connection.execute("CREATE VIEW of_the_host_too AS SELECT 1")
    database.take_back()
    assert database.lend() == postgresql_url
    with connect(postgresql_url) as connection:
        assert connection.execute("SELECT to_regclass('of_the_host'), to_regclass('of_the_host_too')").fetchone() == (
            None,
            None,
        )
        assert connection.execute(tables).fetchone() == before
        connection.execute("INSERT INTO ledger_account SELECT 'a', 0, 0, 0, '', 0, 0, 0, 0, 0, 0")
    database.take_back()
    with connect(database.lend()) as connection:
        assert connection.execute("SELECT count(*) FROM ledger_account").fetchone() == (0,)
