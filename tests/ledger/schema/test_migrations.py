"""A book of an earlier revision is brought up to date with every row, and is the same book afterwards."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

import ledger
from estimator import RunOutcome
from ledger.finance import close_period, list_closings
from ledger.schema import migrations
from ledger.schema.revisions import HEAD, VERSION_TABLE
from ledger.schema.tables import metadata
from ledger.schema.triggers import KEPT, remove_triggers
from tests.drivers import create_engine
from tests.ledger.conftest import START, later
from tests.ledger.schema.earlier import ACCOUNTS, BOOK, described, described_by, insert, run_revisions, stored
from tests.ledger.schema.test_tables import differences
from tests.ledger.test_runs import launch, settle
from tests.postgres import Databases


@pytest.mark.triggers
def test_an_upgraded_database_is_a_new_one(old: Engine, request: pytest.FixtureRequest) -> None:
    """Its tables, CHECKs, keys, indexes and triggers, one by one."""
    url = request.getfixturevalue(f"{old.dialect.name}_url")
    assert ledger.upgrade(old) == HEAD
    new = create_engine(url)
    request.addfinalizer(new.dispose)
    assert described(old) == described(new)
    with old.connect() as connection:
        if old.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
        names = set(sa.inspect(connection).get_table_names())
    assert {name for name in names if name.startswith("ledger_")} == {*metadata.tables, VERSION_TABLE}


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index")
def test_an_upgraded_database_is_what_the_tables_say(
    old: Engine, postgres: Databases, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The columns in their order, each condition of a CHECK and of an index; the triggers are no part of the tables."""
    if old.dialect.name == "postgresql":
        url = postgres.create()
        request.addfinalizer(lambda: postgres.drop(url))
    else:
        url = f"sqlite:///{tmp_path / 'declared.sqlite'}"
    ledger.upgrade(old)
    declared = create_engine(url)
    request.addfinalizer(declared.dispose)
    metadata.create_all(declared)
    upgraded = {name: what for name, what in described(old).items() if not name.startswith("trigger")}
    assert upgraded == described(declared)
    with old.connect() as connection:
        assert differences(connection, compare_type=True, compare_server_default=True) == []


def test_the_triggers_of_the_first_revision_are_there_after_the_second(old: Engine) -> None:
    """By the revision alone: what `ledger.upgrade` installs after it is told apart."""
    before = {name: what for name, what in described(old).items() if name.startswith("trigger")}
    with old.begin() as connection:
        run_revisions(connection, "0002")
    after = {name: what for name, what in described(old).items() if name.startswith("trigger")}
    assert before
    assert after == before
    for statement in ("UPDATE ledger_entry SET at = 0", "DELETE FROM ledger_transfer"):
        with pytest.raises(DBAPIError, match="append-only"), old.begin() as connection:
            connection.execute(text(statement))


def test_every_row_is_kept_and_the_book_proves_itself(old: Engine) -> None:
    ledger.upgrade(old)
    with Session(old) as session:
        for table, content in BOOK.items():
            kept = session.execute(text(f"SELECT {', '.join(content['columns'])} FROM {table}")).all()
            rows = {repr([stored(value) for value in row]) for row in content["rows"]}
            assert {repr([bytes(v) if isinstance(v, memoryview) else v for v in row]) for row in kept} == rows
        assert list(ledger.audit(session)) == []


def test_what_is_new_is_filled_from_what_was_there(old: Engine) -> None:
    ledger.upgrade(old)
    with Session(old) as session:
        for name in ACCOUNTS:
            values = {"name": name}
            slices = session.execute(
                text("SELECT number, slices FROM ledger_reservation WHERE account_id = :name ORDER BY number"), values
            )
            found = [json.loads(row[1]) for row in slices]
            # captured in part, released, lapsed, held, captured for nothing, a settled run, an active run
            assert found[0] == [[2, 0, 5_000_000], [1, 0, 250_000]]
            assert found[1] == [[1, 0, 0]]
            assert found[2] == [[1, 0, 0]]
            assert [part[1:] for part in found[3]] == [[30_000_000, 0], [3_000_000, 0]]
            assert all(not part[1] and not part[2] for part in found[4])
            assert found[5][0][2] > 0
            assert found[6][0][1] > 0
            effects = session.execute(
                text("SELECT min(effective_at), max(effective_at) FROM ledger_grant WHERE account_id = :name"), values
            ).one()
            start = int(START.timestamp()) * 10**6
            assert tuple(effects) == (start, start + 24 * 10**6)


def test_every_hold_of_a_book_that_is_read_in_pages_is_filled(old: Engine) -> None:
    """2,800 holds of 400 accounts, where a page ends between two holds of one account."""
    accounts = [*ACCOUNTS, *(f"account-{number}" for number in range(398))]
    with old.begin() as connection:
        insert(connection, accounts[2:])
    ledger.upgrade(old)
    with old.connect() as connection:
        rows = connection.execute(text("SELECT account_id, number, slices FROM ledger_reservation")).all()
    filled = {(row[0], row[1]): row[2] for row in rows}
    numbers = sorted(number for account, number in filled if account == "acme")
    assert len(filled) == 2800
    assert all(filled[account, number] == filled["acme", number] for account in accounts for number in numbers)
    assert [filled["acme", number] for number in numbers[:2]] == ["[[2,0,5000000],[1,0,250000]]", "[[1,0,0]]"]


def test_a_book_whose_entries_were_removed_is_upgraded_and_then_found_out(old: Engine) -> None:
    """An upgrade is no audit: it neither fails on a damaged book nor hides the damage."""
    with old.begin() as connection:
        remove_triggers(connection)
        for table in ("ledger_transfer", "ledger_entry"):
            connection.execute(text(f"DELETE FROM {table} WHERE account_id = 'acme' AND sequence = 13"))
    ledger.upgrade(old)
    with Session(old) as session:
        found = list(ledger.audit(session))
    assert {finding.account_id for finding in found} == {"acme"}
    assert 13 in {finding.sequence for finding in found}


def test_what_a_host_built_on_the_tables_is_there_after_the_upgrade(old: Engine) -> None:
    views = "CREATE VIEW host_view AS SELECT sum(consumed) AS total FROM ledger_account"
    index = "CREATE INDEX \"host's index\" ON ledger_entry (kind) WHERE kind <> ' :kind'"
    log = "CREATE TABLE host_log (sequence bigint)"
    with old.begin() as connection:
        for statement in (views, index, log, *HOST_TRIGGER[old.dialect.name]):
            connection.exec_driver_sql(statement)
        before = connection.execute(text("SELECT total FROM host_view")).scalar_one()
    ledger.upgrade(old)
    with Session(old) as session, session.begin():
        assert session.execute(text("SELECT count(*) FROM host_log")).scalar_one() == 0
        assert session.execute(text("SELECT total FROM host_view")).scalar_one() == before
        ledger.grant_credits(session, "acme", 1, at=later(50))
        assert session.execute(text("SELECT sequence FROM host_log")).scalars().all() == [17]
    names = {index["name"] for index in sa.inspect(old).get_indexes("ledger_entry")}
    assert names == {"host's index", "uq_ledger_entry_key"}


HOST_TRIGGER = {
    "sqlite": [
        "CREATE TRIGGER host_trigger AFTER INSERT ON ledger_entry BEGIN INSERT INTO host_log VALUES (new.sequence); END"
    ],
    "postgresql": [
        (
            "CREATE FUNCTION host_log() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " INSERT INTO host_log VALUES (new.sequence); RETURN new; END $$"
        ),
        "CREATE TRIGGER host_trigger AFTER INSERT ON ledger_entry FOR EACH ROW EXECUTE FUNCTION host_log()",
    ],
}


def refer(engine: Engine) -> None:
    """Make a host's table whose row refers to a hold, and goes with it."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE TABLE host_run (account_id text, number bigint, FOREIGN KEY (account_id, number)"
                " REFERENCES ledger_reservation (account_id, number) ON DELETE CASCADE)"
            )
        )
        connection.execute(text("INSERT INTO host_run VALUES ('acme', 16)"))


def test_the_rows_of_a_host_that_refer_to_holds_are_never_lost(old: Engine) -> None:
    """SQLite would delete them with the old table, so the upgrade is refused until their keys are not enforced."""
    refer(old)
    if old.dialect.name == "sqlite":
        before = described(old)
        with pytest.raises(ledger.LedgerError, match=r"host_run refers to ledger_reservation.*foreign_keys = OFF"):
            ledger.upgrade(old)
        assert (migrations.current_revision(old), described(old)) == ("0001", before)
        with old.connect() as connection:
            # The driver's own connection: a pragma about keys is heard outside of transactions only.
            connection.connection.execute("PRAGMA foreign_keys = OFF")
            ledger.upgrade(connection)
            connection.commit()
            connection.connection.execute("PRAGMA foreign_keys = ON")
    else:
        ledger.upgrade(old)
    with old.begin() as connection:
        assert connection.execute(text("SELECT number FROM host_run")).scalars().all() == [16]
        with pytest.raises(DBAPIError, match=r"(?i)foreign key"):
            connection.execute(text("INSERT INTO host_run VALUES ('acme', 99)"))


def test_keys_replay_and_holds_are_settled_as_if_nothing_had_happened(old: Engine) -> None:
    ledger.upgrade(old)
    with Session(old) as session, session.begin():
        for name in ACCOUNTS:
            assert ledger.grant_credits(session, name, 10, key="first", at=later(50)).replayed
            first = ledger.capture(session, f"{name}/r3", Decimal("5.25"), key="captured", at=later(50))
            assert (first.replayed, first.captured, first.freed) == (True, Decimal("5.25"), Decimal("1.75"))
            (held, run) = ledger.list_reservations(session, name, state="held", at=later(50))
            part = ledger.capture(session, held.reservation_id, 31, final=False, at=later(51))
            assert [part.captured, part.state] == [31, "held"]
            back = ledger.refund(session, f"{name}/r3", at=later(52))
            assert back.refunded == Decimal("5.25")
            assert ledger.extend(session, held.reservation_id, timedelta(seconds=5), at=later(53)).state == "held"
            assert ledger.release(session, held.reservation_id, at=later(100)).freed == 2
            assert ledger.get_balance(session, name, at=later(100)).expired == 0
            assert run.run_id is not None
        assert list(ledger.audit(session)) == []


def test_postgresql_looks_up_no_references_of_what_every_operation_adds_and_removes_nothing_of_it(old: Engine) -> None:
    ledger.upgrade(old)
    is_postgresql = old.dialect.name == "postgresql"
    referring = {table for table in metadata.tables if sa.inspect(old).get_foreign_keys(table)}
    added = {"ledger_entry", "ledger_transfer", "ledger_reservation"}
    assert referring & added == (set() if is_postgresql else added)
    for table in KEPT:
        with pytest.raises(DBAPIError, match="keeps every row: entries"), old.begin() as connection:
            connection.execute(text(f"DELETE FROM {table}"))


def test_a_book_of_the_second_revision_gets_an_outbox_and_none_of_its_runs_is_started_again(old: Engine) -> None:
    with old.begin() as connection:
        run_revisions(connection, "0002")
        before = {name: what for name, what in described_by(connection).items() if "outbox" not in name}
        run_revisions(connection, "0003")
        assert {name: what for name, what in described_by(connection).items() if "outbox" not in name} == before
    assert ledger.upgrade(old) == HEAD
    with Session(old) as session, session.begin():
        for name in ACCOUNTS:
            runs = ledger.list_reservations(session, name, state="held", at=later(50))
            assert [run.run_id is not None for run in runs] == [False, True]
        assert ledger.list_outbox(session, state=None) == []
        assert list(ledger.audit(session)) == []
        launched = launch(session, dataset_id="new", at=later(60))
        settled = settle(session, runs[1].run_id, RunOutcome("cancelled", 0), account_id=name, at=later(61))
        assert settled.status == "cancelled"
        given: list[str] = []
        ledger.deliver_outbox(session, lambda start: given.append(start.run_id), at=later(61))
        assert given == [launched.run_id]
        assert list(ledger.audit(session)) == []


@pytest.mark.parametrize("revision", ["0001", "0002", "0003", "0004"])
def test_a_book_of_any_revision_before_has_no_closings_and_is_closed_from_its_beginning(
    old: Engine, revision: str
) -> None:
    with old.begin() as connection:
        run_revisions(connection, revision)
        before = {name: what for name, what in described_by(connection).items() if "ledger_account" not in name}
        if revision == "0004":
            run_revisions(connection, "0005")
            after = {name: what for name, what in described_by(connection).items() if "ledger_account" not in name}
            assert {name: what for name, what in after.items() if "ledger_closing" not in name} == before
    assert ledger.upgrade(old) == HEAD
    with Session(old) as session, session.begin():
        assert list_closings(session) == []
        assert set(session.execute(text("SELECT closings_count FROM ledger_account")).scalars()) == {0}
        ledger.expire_due(session, at=later(days=60))
        closed = close_period(session, "2026-03", by="a test")
        assert closed.closing.accounts == len(ACCOUNTS)
        assert closed.figures.totals[0].credits("sold") > 0
        assert set(session.execute(text("SELECT closings_count FROM ledger_account")).scalars()) == {1}
        assert list(ledger.audit(session)) == []
    with pytest.raises(DBAPIError, match="append-only"), old.begin() as connection:
        connection.execute(text("DELETE FROM ledger_closing"))


def test_an_async_engine_is_upgraded_through_a_connection(tmp_path: Any) -> None:
    async def scenario() -> str:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'fresh.sqlite'}")
        ledger.prepare_engine(engine.sync_engine)
        async with engine.begin() as connection:
            revision = await connection.run_sync(ledger.upgrade)
        await engine.dispose()
        return revision

    assert asyncio.run(scenario()) == HEAD
