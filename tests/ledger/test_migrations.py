"""A book of an earlier revision is brought up to date with every row, and is the same book afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import ledger
from ledger import migrations
from ledger.tables import metadata
from ledger.triggers import install_triggers
from tests.ledger.conftest import START, later
from tests.postgres import Databases

BOOK: dict[str, Any] = json.loads((Path(__file__).parent / "book_0001.json").read_text())
ACCOUNTS = ("acme", "zürich")


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, postgres: Databases, tmp_path: Path) -> Iterator[Engine]:
    """An engine on a database without tables."""
    url = f"sqlite:///{tmp_path / 'old.sqlite'}" if request.param == "sqlite" else postgres.create()
    engine = ledger.create_engine(url)
    yield engine
    engine.dispose()
    if request.param == "postgresql":
        postgres.drop(url)


@pytest.fixture
def old(empty: Engine) -> Engine:
    """A database at revision 0001, with two accounts that the code of that revision wrote."""
    with empty.begin() as connection:
        config = migrations._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        install_triggers(connection)
        for table, content in BOOK.items():
            names = content["columns"]
            statement = text(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(f':{n}' for n in names)})")
            connection.execute(statement, [dict(zip(names, map(stored, row), strict=True)) for row in content["rows"]])
    return empty


def stored(value: Any) -> Any:
    """A value as it is stored; bytes are written as hex digits in the file."""
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value


def described(engine: Engine) -> dict[str, set[str]]:
    """Everything that the database says about the ledger's columns, constraints, indexes and triggers."""
    if engine.dialect.name == "sqlite":
        query = "SELECT tbl_name, type, name, sql FROM sqlite_master WHERE tbl_name LIKE 'ledger%' AND sql IS NOT NULL"
        with engine.connect() as connection:
            rows = connection.execute(text(query)).all()
        return {f"{row[0]} {row[1]} {row[2]}": words(row[3]) for row in rows if "version" not in row[0]}
    queries = {
        "columns": "SELECT table_name || ' ' || column_name, data_type || ' ' || is_nullable || ' ' ||"
        " coalesce(column_default, '') FROM information_schema.columns WHERE table_name LIKE 'ledger%'",
        "constraints": "SELECT conrelid::regclass || ' ' || conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conrelid::regclass::text LIKE 'ledger%'",
        "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE tablename LIKE 'ledger%'",
        "triggers": "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    }
    with engine.connect() as connection:
        return {
            f"{what} {name}": {definition}
            for what, query in queries.items()
            for name, definition in connection.execute(text(query))
        }


def words(statement: str) -> set[str]:
    """The parts of a CREATE statement, in whatever order they are written."""
    flat = " ".join(statement.replace("(", " ( ").replace(")", " ) ").replace('"', "").split())
    return {part.strip() for part in flat.split(",")} if flat.startswith("CREATE TABLE") else {flat}


def test_an_upgraded_database_is_a_new_one(old: Engine, request: pytest.FixtureRequest) -> None:
    """Its tables, CHECKs, keys, indexes and triggers, one by one."""
    url = request.getfixturevalue(f"{old.dialect.name}_url")
    assert ledger.upgrade(old) == migrations.head_revision()
    new = ledger.create_engine(url)
    assert described(old) == described(new)
    new.dispose()
    with old.connect() as connection:
        if old.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
        names = set(sa.inspect(connection).get_table_names())
    assert {name for name in names if name.startswith("ledger_")} == {*metadata.tables, migrations.VERSION_TABLE}


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
