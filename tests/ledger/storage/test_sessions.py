"""What a verb accepts as its session: one that keeps the ledger's promises, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, scoped_session, sessionmaker

import ledger
from ledger.finance import close_period
from ledger.schema import migrations, revisions
from ledger.schema.tables import AccountRow
from tests.drivers import create_engine
from tests.ledger.conftest import START
from tests.ledger.statements import record_requests

VERBS: dict[str, Callable[[Any], Any]] = {
    "reserve": lambda session: ledger.reserve(session, "acme", 1),
    "execute": lambda session: ledger.execute(session, [ledger.Reserve("acme", 1)]),
    "list_grants": lambda session: ledger.list_grants(session, "acme"),
    "get_balance": lambda session: ledger.get_balance(session, "acme"),
    "list_accounts": lambda session: ledger.list_accounts(session),
    "audit": lambda session: list(ledger.audit(session)),
    "deliver_outbox": lambda session: ledger.deliver_outbox(session, print),
    "take_checkpoint": lambda session: ledger.take_checkpoint(session),
}
WRITING: dict[str, Callable[[Any], Any]] = {
    "reserve": lambda session: ledger.reserve(session, "acme", 1),
    "grant_credits": lambda session: ledger.grant_credits(session, "acme", 1),
    "expire_due": lambda session: ledger.expire_due(session, account_id="acme"),
    "open_account": lambda session: ledger.open_account(session, "new"),
    "deliver_outbox": lambda session: ledger.deliver_outbox(session, print),
    "close_period": lambda session: close_period(session, "2026-02", by="a test"),
}
GIVEN: dict[str, tuple[Callable[[Engine], Any], str]] = {
    "AsyncSession": (lambda engine: AsyncSession(), "run_sync"),
    "Engine": (lambda engine: engine, "Session(engine)"),
    "Connection": (lambda engine: engine.connect(), "Session(engine)"),
    "sessionmaker": (sessionmaker, "Call it"),
    "async_sessionmaker": (lambda engine: async_sessionmaker(), "Call it"),
    "None": (lambda engine: None, "Session(engine)"),
    "unbound": (lambda engine: Session(), "Session(engine)"),
    "binds": (lambda engine: Session(binds={AccountRow: engine}), "Session(engine)"),
}


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("verb", VERBS)
def test_what_is_no_session_is_refused_with_what_to_pass(engine: Engine, verb: str, given: str) -> None:
    """Every verb refuses it in the same words, before anything is sent."""
    make, remedy = GIVEN[given]
    wrong = make(engine)
    with pytest.raises(ledger.SessionUnusable) as refused:
        VERBS[verb](wrong)
    assert remedy in str(refused.value)
    if isinstance(wrong, Connection):
        wrong.close()


def test_a_scoped_session_is_the_session_behind_it(engine: Engine) -> None:
    """A hold that one makes commits with that session."""
    scoped = scoped_session(sessionmaker(engine))
    ledger.open_account(scoped, "acme", at=START)  # type: ignore[arg-type]
    ledger.grant_credits(scoped, "acme", 5, at=START)  # type: ignore[arg-type]
    scoped.commit()
    scoped.remove()
    with Session(engine) as session:
        assert ledger.get_balance(session, "acme").available == 5


@pytest.fixture
def by_itself(database_url: str) -> Engine:
    """A host's engine whose driver commits every statement."""
    return sa.create_engine(ledger.create_engine(database_url).url, isolation_level="AUTOCOMMIT")


def test_in_autocommit_nothing_is_written_and_everything_is_read(
    by_itself: Engine, engine: Engine, acme: str, session: Session
) -> None:
    """By the engine's own setting, and by an option of a connection."""
    session.commit()
    for autocommits in (by_itself, sa.create_engine(engine.url).execution_options(isolation_level="AUTOCOMMIT")):
        with Session(autocommits) as other:
            assert ledger.get_balance(other, acme).available == 10
            for name, verb in WRITING.items():
                with pytest.raises(ledger.SessionUnusable, match="AUTOCOMMIT"):
                    assert verb(other) is None, name
        autocommits.dispose()
    assert ledger.get_balance(session, acme).held == 0


def test_a_read_only_transaction_is_read_and_not_written_in(postgresql_url: str) -> None:
    """As its execution option says, before anything is sent."""
    engine = create_engine(postgresql_url)
    with Session(engine) as session, session.begin():
        ledger.open_account(session, "acme", at=START)
    with Session(engine.execution_options(postgresql_readonly=True)) as session:
        assert ledger.get_balance(session, "acme").issued == 0
        for name, verb in WRITING.items():
            with pytest.raises(ledger.SessionUnusable, match="postgresql_readonly"):
                assert verb(session) is None, name
    engine.dispose()


def test_a_schema_that_is_translated_is_refused_with_what_to_do(engine: Engine) -> None:
    """Statements past SQLAlchemy would go to another schema than those through it."""
    with Session(engine.execution_options(schema_translate_map={None: "billing"})) as session:
        for name, verb in VERBS.items():
            with pytest.raises(ledger.SessionUnusable, match="search_path"):
                assert verb(session) is None, name


def test_on_postgresql_the_tables_are_found_by_the_search_path(postgresql_url: str) -> None:
    """Upgrade, verbs and audit in a schema that the connection's search_path names."""
    owner = create_engine(postgresql_url)
    with owner.begin() as connection:
        connection.execute(text("CREATE SCHEMA billing"))
    engine = ledger.create_engine(postgresql_url, connect_args={"options": "-c search_path=billing"})
    try:
        ledger.upgrade(engine)
        with Session(engine) as session, session.begin():
            ledger.open_account(session, "acme", at=START)
            ledger.grant_credits(session, "acme", 5, at=START)
            ledger.reserve(session, "acme", 2, at=START)
        with Session(engine) as session:
            assert ledger.get_balance(session, "acme").held == 2
            assert list(ledger.audit(session)) == []
        with Session(owner) as session:
            assert ledger.list_accounts(session) == []
    finally:
        engine.dispose()
        with owner.begin() as connection:
            connection.execute(text("DROP SCHEMA billing CASCADE"))
        owner.dispose()


@pytest.mark.parametrize("found", [None, "0004", "9999"])
def test_another_schema_is_named_by_the_first_verb_on_an_engine(
    engine: Engine, acme: str, session: Session, found: str | None
) -> None:
    """Older, newer, or none at all: nothing is written, and the refusal says what to run."""
    session.commit()
    with engine.begin() as connection:
        if found is None:
            connection.execute(text("ALTER TABLE ledger_alembic_version RENAME TO ledger_elsewhere"))
        else:
            connection.execute(text("UPDATE ledger_alembic_version SET version_num = :found"), {"found": found})
    other = create_engine(engine.url)
    try:
        remedy = "Install the version that made it" if found == "9999" else "credits db upgrade"
        for verb in VERBS.values():
            with Session(other) as fresh, pytest.raises(ledger.SchemaMismatch, match=remedy) as refused:
                verb(fresh)
            assert (refused.value.found, refused.value.expected) == (found, revisions.HEAD)
    finally:
        other.dispose()
        with engine.begin() as connection:
            if found is None:
                connection.execute(text("ALTER TABLE ledger_elsewhere RENAME TO ledger_alembic_version"))
            connection.execute(text("UPDATE ledger_alembic_version SET version_num = :head"), {"head": revisions.HEAD})


def test_the_schema_is_looked_at_once_an_engine(
    engine: Engine, acme: str, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the good path sends does not name the table of revisions."""
    session.commit()
    asked: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *seen: asked.append(seen[2]))
    sent = record_requests(monkeypatch)
    with Session(engine) as other:
        ledger.get_balance(other, acme)
        ledger.list_accounts(other)
    assert len(sent) > 1
    assert not [sql for sql in (*asked, *(request.sql for request in sent)) if "alembic" in sql]


def test_the_revision_that_this_version_works_with_is_the_last_file_of_its_migrations() -> None:
    """Said in code, so that no verb has to load Alembic."""
    script = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert script.get_current_head() == revisions.HEAD


def test_a_schema_that_a_rolled_back_transaction_had_upgraded_is_looked_at_again(sqlite_url: str) -> None:
    """A verb in that transaction finds the tables, and the next one says that there are none."""
    engine = ledger.create_engine("sqlite:///" + sqlite_url.removeprefix("sqlite:///") + ".new")
    with Session(engine) as session:
        ledger.upgrade(session.connection())
        assert ledger.list_accounts(session) == []
        session.rollback()
        with pytest.raises(ledger.SchemaMismatch):
            ledger.list_accounts(session)
    with Session(engine) as session, session.begin():
        ledger.upgrade(session.connection())
        assert ledger.open_account(session, "acme").account_id == "acme"
    with Session(engine) as session:
        assert ledger.list_accounts(session) == ["acme"]
    engine.dispose()


def test_two_phases_are_refused_where_the_database_has_none(sqlite_url: str) -> None:
    engine = ledger.create_engine(sqlite_url)
    with Session(engine, twophase=True) as session, pytest.raises(ledger.SessionUnusable, match="twophase"):
        ledger.list_accounts(session)
    engine.dispose()
