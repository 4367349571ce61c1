"""`credits db`: what prepares a database, what prints how, and the rights of roles."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

import ledger
from ledger.schema.revisions import HEAD
from ledger.schema.roles import role_script
from tests.command_line import Credits
from tests.postgres import Databases, connect


def test_upgrade_prepares_a_new_file_and_may_be_repeated(tmp_path: Path) -> None:
    new = Credits(f"sqlite:///{tmp_path / 'new.sqlite'}")
    assert new.json("db", "upgrade") == new.json("db", "upgrade")
    assert "at revision" in new("db", "upgrade")
    assert new.json("account", "list") == []
    assert new("account", "list") == "No account is open yet.\n"


def test_the_sql_of_an_upgrade_is_printed_run_by_another_program_and_complete(postgres: Databases) -> None:
    url = postgres.create()
    new = Credits(url)
    printed = new("db", "upgrade", "--sql", "--lock-timeout", "0.2s", columns=40)
    assert "set_config('lock_timeout', '200ms', true)" in printed
    assert new.json("db", "upgrade", "--sql", "--lock-timeout", "0.2s")["sql"] == printed
    assert "Run `credits db upgrade`" in new("account", "list", status=4)
    with connect(url) as connection:
        connection.execute(printed.encode())
    assert new.json("account", "list") == []
    assert new("db", "upgrade", "--sql") == f"-- Nothing to do: the ledger's tables are at revision {HEAD}.\n"
    assert "CREATE TRIGGER" not in new("db", "upgrade", "--sql", "--no-triggers")
    postgres.drop(url)


def test_sql_is_refused_for_a_file(book: Credits) -> None:
    assert "It is a SQLite file" not in book("db", "upgrade", "--sql", status=3)
    assert book.json("db", "upgrade", "--sql", status=3)["code"] == "upgrade_not_scripted"


def test_an_upgrade_that_waits_for_a_file_says_who_is_in_the_way_and_ends_with_status_4(book: Credits) -> None:
    file = str(book.database_url).removeprefix("sqlite:///")
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    said = book("db", "upgrade", "--lock-timeout", "0.05s", status=4)
    assert "waited 50ms for the database's file" in said
    other.close()


@pytest.mark.triggers
def test_an_upgrade_that_waits_for_a_table_names_it_and_ends_with_status_4(postgresql_url: str) -> None:
    engine = ledger.create_engine(postgresql_url)
    with engine.connect() as reader:
        reader.exec_driver_sql("SELECT count(*) FROM ledger_entry")
        refused = Credits(postgresql_url).json("db", "upgrade", "--no-triggers", "--lock-timeout", "0.05s", status=4)
        pid = reader.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    assert (refused["code"], refused["table"], refused["holders"]) == ("upgrade_blocked", "ledger_entry", [pid])
    engine.dispose()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--lock-timeout", "soon"), "duration_invalid"),
        (("--lock-timeout", "0s"), "command_invalid"),
        (("--lock-timeout", "25d"), "command_invalid"),
        (("--distribute", "citus", "--sql"), "options_exclude_each_other"),
        (("--distribute", "citus", "--triggers"), "options_exclude_each_other"),
    ],
)
def test_options_of_an_upgrade_that_cannot_be_followed_are_refused(
    book: Credits, arguments: tuple[str, ...], code: str
) -> None:
    assert book.json("db", "upgrade", *arguments, status=2)["code"] == code


def test_a_database_without_the_extension_is_upgraded_and_not_distributed(book: Credits, postgres: Databases) -> None:
    url = postgres.create()
    for one in (book, Credits(url)):
        assert one.json("db", "upgrade", "--distribute", "citus", status=4)["code"] == "distribution_unavailable"
        assert one.json("account", "list") in ([], ["acme"])
    postgres.drop(url)


@pytest.mark.distributed
def test_a_database_of_several_servers_is_upgraded_and_distributed_once(postgresql_url: str) -> None:
    book = Credits(postgresql_url)
    assert book.json("db", "upgrade", "--distribute", "citus") == {"revision": HEAD, "distributed": []}
    assert "All of them were distributed before." in book("db", "upgrade", "--distribute", "citus")


def test_roles_are_printed_as_sql_without_any_database(command: Credits) -> None:
    printed = command("db", "roles", "--app", "svc", "--readonly", "fin", "--row-level-security")
    assert 'GRANT INSERT ON ledger_entry TO "svc", "ledger_worker";' in printed
    assert 'CREATE POLICY ledger_every_account ON ledger_entry FOR SELECT TO "fin" USING (true);' in printed
    assert "POLICY" not in command.json("db", "roles")["sql"]
    assert command.json("db", "roles", "--app", "a$b", status=2)["code"] == "command_invalid"


@pytest.mark.parametrize("columns", [20, 80])
def test_the_script_of_roles_is_printed_as_it_is_however_narrow_the_terminal(command: Credits, columns: int) -> None:
    name = 'the [bold] "app"  of acme'
    printed = command("db", "roles", "--app", name, "--row-level-security", columns=columns)
    assert printed == role_script(application=name, row_level_security=True)
    assert command.json("db", "roles", "--app", name)["sql"] == role_script(application=name)


@pytest.mark.parametrize("name", ["public", "none", "pg_monitor", "ledger_readonly", ""])
def test_a_name_that_would_give_rights_to_others_is_refused_in_a_sentence(command: Credits, name: str) -> None:
    assert "; give " in command("db", "roles", "--app", name, status=2)


def test_triggers_can_be_left_out_of_an_upgrade(tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite"
    new = Credits(f"sqlite:///{path}")
    for options, count in (((), 8), (("--no-triggers",), 0), (("--triggers",), 8)):
        new("db", "upgrade", *options)
        with sqlite3.connect(path) as connection:
            assert connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'").fetchone() == (
                count,
            )
        connection.close()


def test_check_says_that_a_database_is_ready(any_book: Credits) -> None:
    assert "The database is ready." in any_book("db", "check")
    report = any_book.json("db", "check")
    assert (report["found"], report["expected"], report["missing"]) == (HEAD, HEAD, [])


def test_check_ends_with_status_1_where_something_is_missing(postgres: Databases) -> None:
    url = postgres.create()
    new = Credits(url)
    printed = " ".join(new("db", "check", status=1).split())
    assert "Missing: The database has no ledger tables" in printed
    assert "is ready" not in printed
    assert new.json("db", "check", status=1)["found"] is None
    postgres.drop(url)
