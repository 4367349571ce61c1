"""PgBouncer in transaction mode: with few server connections and many callers, everything works as without it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

import ledger
from ledger.finance import PeriodClosed, close_period, stream_book
from ledger.schema.roles import ACCOUNT_SETTING
from tests.ledger.verbs import ON_ONE_ACCOUNT, OVER_ACCOUNTS, Filled, fill
from tests.pooler import Pooler
from tests.postgres import PostgresServer
from tests.processes import tasks

pytestmark = pytest.mark.external
THREADS = 8
TURNS = 10
ACCOUNTS = 4
SERVER_CONNECTIONS = 3
UNPREPARED = {"prepare_threshold": None}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL server for poolers to be in front of."""
    with PostgresServer.start() as server:
        yield server


@pytest.fixture
def direct_url(server: PostgresServer) -> Iterator[str]:
    """A database with the ledger's tables, without the pooler."""
    url = server.databases.create()
    engine = ledger.create_engine(url)
    ledger.upgrade(engine)
    engine.dispose()
    yield url
    server.databases.drop(url)


@pytest.fixture
def pooled_url(server: PostgresServer, direct_url: str) -> Iterator[str]:
    """The same database by way of the pooler."""
    with Pooler.start(server, SERVER_CONNECTIONS) as pooler:
        yield pooler.url(direct_url)


def open_accounts(engine: Engine) -> None:
    """Accounts `a0` to `a3` with a thousand credits."""
    with Session(engine) as session, session.begin():
        for number in range(ACCOUNTS):
            ledger.open_account(session, f"a{number}")
            ledger.grant_credits(session, f"a{number}", 1000)


def at_once(work: Callable[[int], Any]) -> list[Any]:
    """What the threads' work answers, all at the same time."""
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(work, range(THREADS)))


def made_by_ledger(url: str) -> Engine:
    """An engine that finds the pooler by itself."""
    return ledger.create_engine(url, pool_size=THREADS)


def made_with_the_setting(url: str) -> Engine:
    """A host's own engine, which prepares no statements."""
    return sqlalchemy.create_engine(url, pool_size=THREADS, connect_args=UNPREPARED)


@pytest.mark.parametrize("make", [made_by_ledger, made_with_the_setting])
def test_every_verb_works_through_it_in_many_threads_at_once(pooled_url: str, make: Callable[[str], Engine]) -> None:
    """More often than the driver sends a statement before it would prepare it."""
    engine = make(pooled_url)

    def work(number: int) -> int:
        with Session(engine) as session, session.begin():
            of: Filled = fill(session, f"account-{number}")
        for _ in range(6):
            for verb in ON_ONE_ACCOUNT.values():
                with Session(engine) as session:
                    verb(session, of)
        return number

    assert at_once(work) == list(range(THREADS))
    for read in OVER_ACCOUNTS.values():
        for _ in range(6):
            with Session(engine) as session:
                read(session)
    engine.dispose()


def test_transactions_tasks_and_batches_are_in_the_book_once(pooled_url: str) -> None:
    engine = made_by_ledger(pooled_url)
    asynchronous = create_async_engine(pooled_url, pool_size=THREADS)
    ledger.prepare_engine(asynchronous.sync_engine)
    open_accounts(engine)

    def reserve(key: str) -> Callable[[Session], ledger.Reservation]:
        return lambda session: ledger.reserve(session, f"a{len(key) % ACCOUNTS}", 1, key=key)

    def work(number: int) -> None:
        for turn in range(TURNS):
            ledger.run_transaction(engine, reserve(f"thread/{number}/{turn}"), keyed=True)
            batcher.execute(ledger.Reserve(f"a{turn % ACCOUNTS}", 1, f"batch/{number}/{turn}"))

    async def task(number: int) -> None:
        for turn in range(TURNS):
            await ledger.run_transaction_async(asynchronous, reserve(f"task/{number}/{turn}"), keyed=True)

    async def all_tasks() -> None:
        await asyncio.gather(*map(task, range(THREADS)))
        await asynchronous.dispose()

    with ledger.Batcher(engine) as batcher:
        at_once(work)
    asyncio.run(all_tasks())
    with Session(engine) as session:
        keys = [entry.key for entry in stream_book(session) if entry.key is not None]
        entries = sum(len(ledger.get_statement(session, f"a{number}").entries) for number in range(ACCOUNTS))
        assert list(ledger.audit(session)) == []
    assert len(set(keys)) == len(keys)
    assert Counter(key.split("/")[0] for key in keys) == dict.fromkeys(("thread", "batch", "task"), TURNS * THREADS)
    assert entries == len(keys) + ACCOUNTS
    assert list(ledger.audit_together(engine, workers=2)) == []
    engine.dispose()


def close_february(session: Session) -> PeriodClosed:
    """Close a month that is over, or answer how it was closed."""
    return close_period(session, "2026-02", by="a test")


def test_starts_of_runs_are_handed_over_once(pooled_url: str) -> None:
    engine = made_by_ledger(pooled_url)
    with Session(engine) as session, session.begin():
        ledger.open_account(session, "acme")
        ledger.grant_credits(session, "acme", 1000)
    for number in range(20):
        tasks.launch_number(engine, number)
    given = [start for starts in at_once(lambda number: tasks.deliver_all(engine, number)) for start in starts]
    assert (len(given), len(set(given))) == (20, 20)
    engine.dispose()


def test_callers_that_upgrade_or_close_a_period_at_once_wait_for_each_other(server: PostgresServer) -> None:
    """Their locks end with the transaction, so no server connection keeps one."""
    url = server.databases.create()
    with Pooler.start(server, SERVER_CONNECTIONS) as pooler:
        engine = made_by_ledger(pooler.url(url))
        assert len(set(at_once(lambda _number: ledger.upgrade(engine)))) == 1
        ledger.check_schema(engine)
        with Session(engine) as session, session.begin():
            ledger.open_account(session, "acme", at=datetime(2026, 2, 1, tzinfo=UTC))
            ledger.grant_credits(session, "acme", 10, at=datetime(2026, 2, 1, tzinfo=UTC))
        closed = at_once(lambda _number: ledger.run_transaction(engine, close_february))
        assert sorted(one.replayed for one in closed) == [False] + [True] * (THREADS - 1)
        with Session(engine) as session:
            assert list(ledger.audit(session)) == []
            held = session.execute(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"))
            assert held.scalar_one() == 0
        engine.dispose()
    server.databases.drop(url)


def test_an_account_set_for_a_transaction_is_not_set_for_the_next_on_its_server_connection(
    server: PostgresServer, direct_url: str
) -> None:
    with Pooler.start(server, 1) as pooler:
        engine = made_by_ledger(pooler.url(direct_url))
        shown = text(f"SELECT coalesce(current_setting('{ACCOUNT_SETTING}', true), '')")
        with Session(engine) as session, session.begin():
            ledger.set_account(session, "acme")
            assert session.execute(shown).scalar_one() == "acme"
        with Session(engine) as session:
            assert session.execute(shown).scalar_one() == ""
        engine.dispose()


def test_a_server_connection_reset_after_each_transaction_changes_nothing(
    server: PostgresServer, direct_url: str
) -> None:
    """What the reset discards, the ledger never needs in a later transaction."""
    with Pooler.start(server, SERVER_CONNECTIONS, server_reset_query_always=1) as pooler:
        engine = made_by_ledger(pooler.url(direct_url))
        open_accounts(engine)
        for turn in range(TURNS):
            ledger.run_transaction(engine, lambda session, turn=turn: ledger.reserve(session, "a0", 1, key=str(turn)))
        with Session(engine) as session:
            assert list(ledger.audit(session)) == []
        engine.dispose()


def test_work_whose_server_connection_ends_is_done_on_another(pooled_url: str, direct_url: str) -> None:
    engine, administrator = made_by_ledger(pooled_url), ledger.create_engine(direct_url)
    open_accounts(engine)
    ended: list[int] = []

    def work(session: Session) -> ledger.Reservation:
        hold = ledger.reserve(session, "a0", 1, key="once")
        if not ended:
            ended.append(session.execute(text("SELECT pg_backend_pid()")).scalar_one())
            with administrator.connect() as connection:
                connection.execute(text("SELECT pg_terminate_backend(CAST(:pid AS integer), 10000)"), {"pid": ended[0]})
        ledger.reserve(session, "a0", 1, key="twice")
        return hold

    hold = ledger.run_transaction(engine, work)
    assert (hold.replayed, len(ended)) == (False, 1)
    with Session(engine) as session:
        assert len(ledger.list_reservations(session, "a0")) == 2
    for used in (engine, administrator):
        used.dispose()


def test_a_hosts_engine_that_would_prepare_statements_is_refused_by_the_first_verb(pooled_url: str) -> None:
    engine = sqlalchemy.create_engine(pooled_url)
    with pytest.raises(ledger.PreparedStatementsLost, match="prepare_threshold"):
        ledger.run_transaction(engine, lambda session: ledger.open_account(session, "acme"))
    engine.dispose()

    async def scenario() -> None:
        asynchronous = create_async_engine(pooled_url)
        with pytest.raises(ledger.PreparedStatementsLost, match="prepare_engine"):
            await ledger.run_transaction_async(asynchronous, lambda session: ledger.open_account(session, "acme"))
        await asynchronous.dispose()

    asyncio.run(scenario())


def test_a_direct_connection_goes_on_preparing_statements(direct_url: str) -> None:
    engine = ledger.create_engine(direct_url)
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        assert driver.prepare_threshold == 5
    engine.dispose()


def send(engine: Engine, statement: str) -> None:
    """Send a statement of the host's own, of one parameter or none, in a transaction of the ledger's."""
    values = (1,) * statement.count("%s")
    ledger.run_transaction(engine, lambda session: session.connection().exec_driver_sql(statement, values).close())


def prepared_by_another(first: Engine, second: Engine) -> None:
    """Prepare a statement on the connection on which the other has prepared one of the same name."""
    send(first, "SELECT 1")
    send(second, "SELECT 2")


def prepared_elsewhere(first: Engine, second: Engine) -> None:
    """Prepare a statement, and send it again while the other has the connection."""
    send(first, "SELECT 1")
    with second.begin() as connection:
        connection.connection.cursor().execute("SELECT 2", prepare=False)
        send(first, "SELECT 1")


def another_of_its_name(first: Engine, second: Engine) -> None:
    """Prepare a statement, and send it again on a connection on which another one has its name."""
    with second.begin() as connection:
        connection.exec_driver_sql("SELECT 2")
        send(first, "SELECT %s::int")
    send(first, "SELECT %s::int")


@pytest.mark.parametrize(
    ("connections", "mix", "sqlstate"),
    [(1, prepared_by_another, "42P05"), (2, prepared_elsewhere, "26000"), (2, another_of_its_name, "08P01")],
)
def test_a_host_that_sets_a_threshold_is_told_what_became_of_its_statements(
    server: PostgresServer, direct_url: str, connections: int, mix: Callable[[Engine, Engine], None], sqlstate: str
) -> None:
    """A number of the host's own is left as it is: a pooler may know prepared statements."""
    with Pooler.start(server, connections) as pooler:
        options = {"connect_args": {"prepare_threshold": 0}}
        first, second = (ledger.create_engine(pooler.url(direct_url), **options) for _ in range(2))
        for used in (first, second):
            send(used, "SELECT 0")  # what SQLAlchemy asks of a new engine is over, and both have counted as far
        with pytest.raises(ledger.PreparedStatementsLost) as raised:
            mix(first, second)
        cause: Any = raised.value.__cause__
        assert getattr(cause, "orig", cause).sqlstate == sqlstate
        for used in (first, second):
            used.dispose()


def test_the_check_of_a_database_finds_the_pooler_and_what_an_engine_needs_there(
    pooled_url: str, direct_url: str
) -> None:
    prepared = ledger.create_engine(pooled_url)
    plain = sqlalchemy.create_engine(pooled_url)
    direct = ledger.create_engine(direct_url)
    found = [ledger.check_database(engine) for engine in (prepared, plain, direct)]
    assert [report.behind_pooler for report in found] == [True, True, False]
    assert (found[0].missing, found[2].missing) == ((), ())
    assert found[1].missing == (str(ledger.PreparedStatementsLost()),)
    for engine in (prepared, plain, direct):
        engine.dispose()


def test_an_upgrade_by_way_of_the_pooler_gives_up_a_table_in_use_and_leaves_no_setting_behind(
    pooled_url: str, direct_url: str
) -> None:
    direct, pooled = ledger.create_engine(direct_url), ledger.create_engine(pooled_url)
    with direct.connect() as reader:
        reader.execute(text("SELECT count(*) FROM ledger_entry"))
        with pytest.raises(ledger.UpgradeBlocked, match="waited 100ms for the table ledger_entry"):
            ledger.upgrade(pooled, triggers=False, lock_timeout=timedelta(milliseconds=100))
    for _ in range(SERVER_CONNECTIONS):
        with pooled.connect() as connection:
            assert connection.execute(text("SHOW lock_timeout")).scalar_one() == "0"
    direct.dispose()
    pooled.dispose()
