"""Triggers that refuse changes to what is written once: there after every upgrade, unless they are left out."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

import ledger
from ledger.schema.triggers import APPEND_ONLY, KEPT
from tests.drivers import create_engine
from tests.ledger.verbs import close_february, fill
from tests.postgres import Databases

pytestmark = pytest.mark.triggers

CHANGES = [f"UPDATE {table} SET account_id = account_id" for table in APPEND_ONLY]
CHANGES += [f"DELETE FROM {table}" for table in APPEND_ONLY]


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """A book with entries."""
    with Session(engine) as session, session.begin():
        close_february(session)
        fill(session, "acme")
    return engine


def refused(engine: Engine) -> list[str]:
    """Which of the changes the triggers refuse; all are undone."""
    found = []
    for change in CHANGES:
        with engine.connect() as connection:
            try:
                connection.execute(text(change))
            except DBAPIError as error:
                if "is append-only: correct a mistake with a new entry" in str(error):
                    found.append(change)
    return found


def test_the_triggers_refuse_changes_and_can_be_left_out_and_put_back(filled: Engine) -> None:
    assert refused(filled) == CHANGES
    for triggers in (False, False, True, True):
        revision = ledger.upgrade(filled, triggers=triggers)
        assert revision == ledger.current_revision(filled)
        assert refused(filled) == (CHANGES if triggers else [])


def test_a_table_cannot_be_emptied_on_postgresql(postgresql_url: str) -> None:
    engine = create_engine(postgresql_url)
    for table in (*APPEND_ONLY, *KEPT):
        with engine.connect() as connection, pytest.raises(DBAPIError, match=r"append-only|keeps every row"):
            connection.execute(text(f"TRUNCATE {table} CASCADE"))
    engine.dispose()


def test_an_upgrade_without_triggers_makes_none_and_no_function_for_them(
    postgres: Databases, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = postgres.create()
    request.addfinalizer(lambda: postgres.drop(url))
    made = {  # a trigger for each table and two functions; a trigger for each change of a table
        url: (
            (
                "SELECT (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal)"
                " + (SELECT count(*) FROM pg_proc WHERE proname LIKE 'ledger%')"
            ),
            len(APPEND_ONLY) + len(KEPT) + 2,
        ),
        f"sqlite:///{tmp_path / 'new.sqlite'}": (
            "SELECT count(*) FROM sqlite_master WHERE type = 'trigger'",
            2 * len(APPEND_ONLY) + len(KEPT),
        ),
    }
    for fresh, (count, complete) in made.items():
        engine = create_engine(fresh)
        for triggers, expected in ((False, 0), (True, complete)):
            ledger.upgrade(engine, triggers=triggers)
            with engine.connect() as connection:
                assert connection.execute(text(count)).scalar_one() == expected
        engine.dispose()


@pytest.mark.parametrize("change", ["DISABLE", "ENABLE REPLICA"])
def test_a_trigger_that_was_switched_off_is_at_work_after_an_upgrade(postgresql_url: str, change: str) -> None:
    engine = create_engine(postgresql_url)
    with Session(engine) as session, session.begin():
        fill(session, "acme")
        session.execute(text(f"ALTER TABLE ledger_entry {change} TRIGGER ledger_entry_append_only"))
    assert refused(engine) != CHANGES
    ledger.upgrade(engine)
    assert refused(engine) == CHANGES
    engine.dispose()


@pytest.mark.parametrize("triggers", [True, False])
def test_an_upgrade_with_nothing_to_do_waits_for_no_reader(postgresql_url: str, triggers: bool) -> None:
    engine = create_engine(postgresql_url)
    ledger.upgrade(engine, triggers=triggers)
    with engine.connect() as reader, engine.connect() as connection:
        for table in APPEND_ONLY:
            reader.execute(text(f"SELECT count(*) FROM {table}"))
        connection.execute(text("SET lock_timeout = '100ms'"))
        ledger.upgrade(connection, triggers=triggers)
        if triggers:
            with pytest.raises(ledger.UpgradeBlocked, match="waited 100ms for the table ledger_entry"):
                ledger.upgrade(connection, triggers=False)
    engine.dispose()
