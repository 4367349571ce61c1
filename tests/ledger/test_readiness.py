"""`check_database` says what a database can do for the ledger, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine, text

import ledger
from ledger.schema.revisions import HEAD, VERSION_TABLE
from ledger.schema.tables import metadata
from ledger.schema.triggers import APPEND_ONLY, KEPT
from tests.ledger.schema.roles import Roles
from tests.postgres import Databases
from tests.proxy import Proxy

TABLES = tuple(sorted(metadata.tables))


@pytest.fixture
def roles(postgresql_url: str) -> Iterator[Roles]:
    """A database with the three roles, not yet made."""
    owner = ledger.create_engine(postgresql_url)
    found = Roles(postgresql_url, owner, *(f"{name} {uuid4().hex}" for name in ("app", "reader", "worker")))
    yield found
    found.drop()
    owner.dispose()


@pytest.mark.default_driver("of the driver's own version")
@pytest.mark.triggers
def test_a_database_that_is_as_it_should_be_lacks_nothing(engine: Engine) -> None:
    report = ledger.check_database(engine)
    assert report.missing == ()
    assert (report.found, report.expected) == (HEAD, HEAD)
    assert (report.database, report.distributed, report.triggers_missing) == (engine.dialect.name, None, ())
    if engine.dialect.name == "sqlite":
        assert report.settings == {
            "journal_mode": "wal",
            "synchronous": "full",
            "foreign_keys": "on",
            "busy_timeout": "30000",
            "begin": "immediate",
        }
        assert (report.role, report.sees_all_accounts, report.rights_missing, report.row_level_security) == (None,) * 4
        assert report.hints == ()
    else:
        assert report.driver == f"psycopg {psycopg.__version__}"
        assert report.version[:2].isdigit()
        assert (report.role, report.isolation, report.sees_all_accounts) == ("postgres", "READ COMMITTED", True)
        assert (report.rights_missing, report.row_level_security, report.policy_roles) == ((), (), ())
        # The server of the tests may lose what was committed.
        assert [hint for hint in report.hints if "on disk" not in hint] == []


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_database_without_tables_is_sent_to_the_upgrade(kind: str, postgres: Databases, tmp_path: object) -> None:
    url = f"sqlite:///{tmp_path}/empty.sqlite" if kind == "sqlite" else postgres.create()
    engine = ledger.create_engine(url)
    report = ledger.check_database(engine)
    assert [said for said in report.missing if "Run `credits db upgrade`" in said] == list(report.missing) != []
    assert (report.found, report.rights_missing, report.triggers_missing) == (None, None, None)
    engine.dispose()
    if kind == "postgresql":
        postgres.drop(url)


def test_a_database_of_another_version_is_named_with_both_revisions(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    report = ledger.check_database(engine)
    assert report.found == "9999"
    assert report.missing == (str(ledger.SchemaMismatch("9999", HEAD)),)


@pytest.mark.triggers
def test_triggers_that_are_missing_are_a_hint(engine: Engine) -> None:
    ledger.upgrade(engine, triggers=False)
    report = ledger.check_database(engine)
    assert (report.missing, set(report.triggers_missing or ())) == ((), {*APPEND_ONLY, *KEPT})
    assert any("`credits db upgrade` makes the triggers" in hint for hint in report.hints)


def test_an_engine_of_a_file_that_was_not_prepared_lacks_what_keeps_a_balance_right(sqlite_url: str) -> None:
    engine = sa.create_engine(sqlite_url)
    with engine.connect() as connection:
        connection.connection.execute("PRAGMA journal_mode = DELETE")  # type: ignore[attr-defined]
    unprepared = ledger.check_database(engine)
    assert len(unprepared.missing) == 2
    assert all("`ledger.prepare_engine(engine)`" in said for said in unprepared.missing)
    assert (unprepared.settings["begin"], unprepared.settings["foreign_keys"]) == ("deferred", "off")
    assert ["journal mode is delete" in hint for hint in unprepared.hints] == [True]
    engine.dispose()
    relaxed = sa.create_engine(sqlite_url)
    with relaxed.connect() as connection:
        connection.connection.execute("PRAGMA synchronous = OFF")  # type: ignore[attr-defined]
    assert any("synchronous is off" in said for said in ledger.check_database(relaxed).missing)
    relaxed.dispose()


@pytest.mark.row_security
def test_each_role_has_what_its_work_needs_and_is_told_what_it_sees(roles: Roles) -> None:
    roles.apply(row_level_security=True)
    found = {}
    for name in (roles.application, roles.worker):
        with roles.engine(name) as engine:
            found[name] = ledger.check_database(engine)
            assert (found[name].missing, found[name].rights_missing) == ((), ())
            assert found[name].row_level_security == TABLES
            assert set(found[name].policy_roles or ()) == {roles.application, roles.readonly, roles.worker}
    assert [report.sees_all_accounts for report in found.values()] == [False, True]
    assert any("sees one account a transaction" in hint for hint in found[roles.application].hints)
    with roles.engine(roles.readonly) as engine:
        reader, writer = ledger.check_database(engine, reads_only=True), ledger.check_database(engine)
    assert (reader.missing, reader.rights_missing, reader.sees_all_accounts) == ((), (), True)
    assert "INSERT on ledger_entry" in (writer.rights_missing or ())
    assert any(right.startswith("UPDATE (sequence, at, head,") for right in writer.rights_missing or ())
    assert ["lacks rights: INSERT on" in said and "more. Run the SQL" in said for said in writer.missing] == [True]


@pytest.mark.row_security
def test_row_level_security_of_some_tables_only_is_found(roles: Roles) -> None:
    roles.apply(row_level_security=True)
    roles.run("ALTER TABLE ledger_card DISABLE ROW LEVEL SECURITY")
    report = ledger.check_database(roles.owner)
    assert ["not for ledger_card. Run the SQL of `credits db roles" in said for said in report.missing] == [True]


def test_a_role_without_any_rights_is_told_which(postgresql_url: str) -> None:
    url = postgresql_url + ("&" if "?" in postgresql_url else "?") + "options=-crole%3Dpg_monitor"
    engine = ledger.create_engine(url)
    report = ledger.check_database(engine)
    assert (report.role, report.rights_missing) == ("pg_monitor", (f"SELECT on {VERSION_TABLE}",))
    assert "The role 'pg_monitor' lacks rights" in report.missing[0]
    engine.dispose()


def test_settings_that_stop_writers_are_named(postgresql_url: str) -> None:
    def of(**options: object) -> ledger.DatabaseReport:
        engine = ledger.create_engine(postgresql_url, **options)
        report = ledger.check_database(engine, reads_only=bool(options.pop("reads_only", False)))
        engine.dispose()
        return report

    read_only = {"options": "-cdefault_transaction_read_only=on"}
    assert ["takes no writes" in said for said in of(connect_args=read_only).missing] == [True]
    assert ["is in AUTOCOMMIT" in said for said in of(isolation_level="AUTOCOMMIT").missing] == [True]
    strict = of(isolation_level="SERIALIZABLE")
    assert strict.missing == ()
    assert any("SERIALIZABLE" in hint for hint in strict.hints)
    impatient = of(connect_args={"options": "-cstatement_timeout=7s"})
    assert impatient.settings["statement_timeout"] == "7s"


def test_a_server_that_answers_elsewhere_may_be_behind_a_pooler(postgresql_url: str) -> None:
    with Proxy.start(postgresql_url) as proxy:
        hints = {}
        for threshold in (5, None):
            engine = ledger.create_engine(proxy.url, connect_args={"prepare_threshold": threshold})
            report = ledger.check_database(engine)
            hints[threshold] = [hint for hint in report.hints if "pooler" in hint]
            assert report.behind_pooler is False
            engine.dispose()
    assert [len(found) for found in hints.values()] == [1, 0]
    assert 'pass connect_args={"prepare_threshold": None} to create_engine' in hints[5][0]
