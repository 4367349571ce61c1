"""One account, one shard: keys begin with the account, and an operation touches the accounts that it is given only.

What a statement touches is not guessed from its text: the database itself is asked how it would carry it out.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

import ledger
from ledger import commands
from ledger.schema.tables import metadata
from ledger.storage import queries
from ledger.storage.stores import postgresql
from ledger.storage.stores.base import sql_of_one
from ledger.storage.stores.psycopg import _prepared as prepared
from ledger.storage.stores.selects import Select
from tests.ledger.conftest import START, later
from tests.ledger.test_runs import PLAIN
from tests.ledger.verbs import (
    COMMANDS,
    DELIVERIES,
    NOW,
    ON_ONE_ACCOUNT,
    ON_POSTGRESQL,
    OVER_ACCOUNTS,
    Filled,
    execute,
    fill,
    launch_command,
    public_verbs,
)

OTHER = "another-account"
_PATIENCE_SECONDS = 30


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=str)
def test_every_key_begins_with_the_account_and_every_reference_stays_within_it(table: sa.Table) -> None:
    keys: list[Any] = [table.primary_key, *(index for index in table.indexes if index.unique)]
    keys += [found for found in table.constraints if isinstance(found, sa.UniqueConstraint)]
    assert [next(iter(key.columns)).name for key in keys] == ["account_id"] * len(keys)
    for reference in table.foreign_key_constraints:
        pairs = [(element.parent.name, element.column.name) for element in reference.elements]
        assert ("account_id", "account_id") in pairs
    assert table.name == "ledger_account" or table.foreign_key_constraints


def test_nothing_public_that_works_in_a_session_is_left_out() -> None:
    held = {name.partition(" ")[0] for name in (*ON_ONE_ACCOUNT, *OVER_ACCOUNTS)}
    assert held | ON_POSTGRESQL | DELIVERIES == public_verbs()
    assert set(COMMANDS) == set(commands.Command.__args__)  # type: ignore[attr-defined]


@dataclass(slots=True)
class Book:
    """A book of two accounts, the statements that its engine is given, and how the database would carry them out."""

    engine: Engine
    account: Filled
    statements: list[Any] = field(default_factory=list)

    def others(self) -> list[Any]:
        """Every row of the other account; on PostgreSQL with the marks that a change or a lock leaves on it."""
        marks = "t.ctid, t.xmin, t.xmax, " if self.engine.dialect.name == "postgresql" else ""
        with self.engine.connect() as connection:
            return [
                tuple(row)
                for table in sorted(metadata.tables)
                for row in connection.execute(
                    text(f"SELECT {marks}t.* FROM {table} t WHERE account_id LIKE :other"), {"other": f"{OTHER}%"}
                )
            ]


def written(engine: Engine) -> Filled:
    """Two accounts with the same rows, the first of which is to be worked on."""
    with Session(engine) as session, session.begin():
        accounts = [fill(session, name) for name in ("acme", OTHER)]
    return accounts[0]


class Sent(NamedTuple):
    """A statement as the driver was given it, with its values, or those of each of its executions."""

    cursor: type[Any]
    sql: str
    values: Any
    is_each: bool


@pytest.fixture
def on_postgresql(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Book]:
    """Two accounts on PostgreSQL, whose statements are seen by the driver, which all of them go through."""
    statements: list[Sent] = []

    def recording(send: Callable[..., Any], is_each: bool) -> Callable[..., Any]:
        def record(cursor: Any, query: Any, params: Any = None, **options: Any) -> Any:
            if type(cursor) is not Asking:
                statements.append(Sent(type(cursor), query, params, is_each))
            return send(cursor, query, params, **options)

        return record

    for kind in (psycopg.Cursor, psycopg.ServerCursor):
        monkeypatch.setattr(kind, "execute", recording(kind.execute, is_each=False))
    monkeypatch.setattr(psycopg.Cursor, "executemany", recording(psycopg.Cursor.executemany, is_each=True))
    engine = ledger.create_engine(postgresql_url)
    account = written(engine)
    statements.clear()
    yield Book(engine, account, statements)
    engine.dispose()


class Asking(psycopg.RawCursor[Any]):
    """A cursor of the tests' own, which is not recorded."""


@pytest.fixture
def on_sqlite(sqlite_url: str) -> Iterator[Book]:
    """Two accounts on SQLite, whose statements are seen by the database itself, values included."""
    filling = ledger.create_engine(sqlite_url)
    account = written(filling)
    filling.dispose()
    engine = ledger.create_engine(sqlite_url)
    book = Book(engine, account)
    event.listen(engine, "connect", lambda connection, _: connection.set_trace_callback(book.statements.append))
    with Session(engine) as session:
        ledger.list_accounts(session)  # the first verb on an engine reads the revision of the schema
    book.statements.clear()
    yield book
    engine.dispose()


def worked(book: Book, name: str) -> list[Any]:
    """Carry out a verb, committed, and answer its statements: none of them names or marks the other account."""
    before = book.others()
    book.statements.clear()
    with Session(book.engine) as session, session.begin():
        ON_ONE_ACCOUNT[name](session, book.account)
    statements = list(book.statements)
    assert statements
    assert not [statement for statement in statements if OTHER in str(statement)]
    assert book.others() == before
    return statements


# Tables of a few rows are planned as if each row were dear, as those of many are, and on figures that do not wait for
# the server's own gathering of them.
_PLANNING = [
    "ANALYZE",
    *(f"SET enable_{way} = off" for way in ("seqscan", "bitmapscan", "hashjoin", "mergejoin", "material")),
    "SET cpu_index_tuple_cost = 10000",
    "SET cpu_tuple_cost = 10000",
]


_BOUNDS = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")


def plans_postgresql(engine: Engine, statements: list[Sent]) -> list[dict[str, Any]]:
    """Each step of each statement's plan that finds rows of a ledger's table, where an index can find them."""
    steps: list[dict[str, Any]] = []
    with engine.connect() as connection:
        for setting in _PLANNING:
            connection.exec_driver_sql(setting)
        for cursor, sql, values, is_each in statements:
            explained = f"EXPLAIN (FORMAT JSON) {sql}"
            if sql.startswith(_BOUNDS):
                continue
            if issubclass(cursor, psycopg.RawCursor | psycopg.RawServerCursor):
                driver: Any = connection.connection.driver_connection
                with prepared(Asking(driver)) as asking:
                    asking.execute(explained, values[0] if is_each else values)
                    (plan,) = asking.fetchone()[0]
            else:
                (plan,) = connection.exec_driver_sql(explained, values[0] if is_each else values).scalar_one()
            steps += _steps(plan["Plan"])
    return [step for step in steps if "Relation Name" in step and step["Node Type"] != "ModifyTable"]


def _steps(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from _steps(inner)


def is_by_account(step: dict[str, Any]) -> bool:
    """True for a step of a PostgreSQL plan that goes to the rows of given accounts through an index."""
    return re.search(r"\baccount_id = ", step.get("Index Cond", "")) is not None


_TABLE = re.compile(r"(?:FROM|JOIN|UPDATE|INTO|,) (ledger_\w+)")


@pytest.mark.one_server
@pytest.mark.parametrize("name", ON_ONE_ACCOUNT)
def test_on_postgresql_a_verb_goes_to_the_rows_of_its_account_only(on_postgresql: Book, name: str) -> None:
    statements = worked(on_postgresql, name)
    for table, columns in re.findall(r"INSERT INTO (ledger_\w+) \(([^)]*)\)", str(statements)):
        assert columns.startswith("account_id"), table
    assert [each.sql for each in statements if len(set(_TABLE.findall(each.sql))) > 1] == []
    steps = plans_postgresql(on_postgresql.engine, statements)
    assert steps
    assert [step for step in steps if not is_by_account(step)] == []


@pytest.mark.one_server
def test_the_plans_tell_a_statement_that_goes_to_other_accounts_rows(on_postgresql: Book) -> None:
    across = [
        "SELECT * FROM ledger_grant WHERE number = 1",
        "SELECT * FROM ledger_entry e JOIN ledger_transfer t USING (sequence) WHERE e.account_id = 'acme'",
        "UPDATE ledger_reservation SET state = 'held' WHERE number = 1",
        "SELECT account_id FROM ledger_account WHERE due_at < 1",
        "SELECT * FROM ledger_usage WHERE account_id > 'acme'",
    ]
    for statement in across:
        steps = plans_postgresql(on_postgresql.engine, [Sent(psycopg.RawCursor, statement, (), False)])
        assert [step for step in steps if not is_by_account(step)], statement


def test_every_query_of_the_library_is_among_those_that_the_verbs_send(on_postgresql: Book) -> None:
    with Session(on_postgresql.engine) as session:
        for work in (*ON_ONE_ACCOUNT.values(), lambda inner, of: ledger.expire_due(inner, at=NOW)):
            work(session, on_postgresql.account)
            session.rollback()
    sent = {each.sql for each in on_postgresql.statements}
    found = {name: select for name, select in vars(queries).items() if isinstance(select, Select)}
    assert len(found) > 10
    forms = {name: {sql_of_one(select, bool(select.lock)), postgresql._many(select)} for name, select in found.items()}
    assert [name for name, both in forms.items() if not both & sent] == []


_GIVEN = {"k", "place", "CONSTANT", "json_each"}
"""What a plan of SQLite may go through from end to end: the values that a statement was given."""


def is_by_account_sqlite(step: str) -> bool:
    """True for a step of a SQLite plan that goes through given values, or to the rows of given accounts."""
    words = step.split()
    if words[0] == "SCAN":
        return words[1] in _GIVEN
    return words[0] != "SEARCH" or "(account_id=?" in step


def plans_sqlite(engine: Engine, statements: list[str]) -> list[str]:
    """The steps of the plans of statements that are no settings and no bounds of a transaction."""
    asked = [each for each in statements if not each.startswith(("--", "BEGIN", "COMMIT", "ROLLBACK", "PRAGMA"))]
    with engine.connect() as connection:
        cursor = connection.connection.cursor()
        steps = [row[3] for each in asked for row in cursor.execute(f"EXPLAIN QUERY PLAN {each}").fetchall()]
        cursor.close()
    return steps


@pytest.mark.parametrize("name", ON_ONE_ACCOUNT)
def test_on_sqlite_a_verb_goes_to_the_rows_of_its_account_only(on_sqlite: Book, name: str) -> None:
    steps = plans_sqlite(on_sqlite.engine, worked(on_sqlite, name))
    assert [step for step in steps if step.startswith("SEARCH")]
    assert [step for step in steps if not is_by_account_sqlite(step)] == []


def accounts_of(engine: Engine, names: list[str]) -> None:
    """Open accounts, each with credits, in another order than any that is expected."""
    with Session(engine) as session, session.begin():
        for name in random.Random(5).sample(names, len(names)):
            ledger.open_account(session, name, at=START)
            ledger.grant_credits(session, name, 5000, at=START)


NAMES = [f"account-{number}" for number in range(9)]
SHUFFLED = random.Random(3).sample(NAMES, len(NAMES))


def wait_until_blocked(engine: Engine, future: Future[Any]) -> None:
    """Return once another session of the database waits for a lock."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    waiting = text("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
    while True:
        assert not future.done(), "it was to wait for a lock, and did not"
        assert time.monotonic() < deadline, "nobody waits for a lock"
        with engine.connect() as connection:
            if connection.execute(waiting).first() is not None:
                return


def carry_out(engine: Engine, batch: list[ledger.Command]) -> list[Any]:
    """Carry out a batch in a transaction of its own."""
    with Session(engine) as session, session.begin():
        return ledger.execute(session, batch)


@pytest.mark.one_server
def test_a_batch_locks_its_accounts_in_the_order_of_their_ids(postgresql_url: str) -> None:
    engine = ledger.create_engine(postgresql_url)
    accounts_of(engine, NAMES)
    middle = len(NAMES) // 2
    batch: list[ledger.Command] = [ledger.Reserve(name, 1, at=NOW) for name in SHUFFLED]
    free = text("SELECT account_id FROM ledger_account ORDER BY account_id FOR NO KEY UPDATE SKIP LOCKED")
    with ThreadPoolExecutor(1) as pool:
        with Session(engine) as holder, holder.begin():
            ledger.reserve(holder, NAMES[middle], 1, at=NOW)
            future = pool.submit(carry_out, engine, batch)
            wait_until_blocked(engine, future)
            with engine.connect() as connection:
                assert connection.execute(free).scalars().all() == NAMES[middle + 1 :]
        assert [result.account_id for result in future.result(_PATIENCE_SECONDS)] == SHUFFLED
    engine.dispose()


@pytest.mark.one_server
def test_a_batch_opens_its_accounts_in_the_order_of_their_ids(postgresql_url: str) -> None:
    engine = ledger.create_engine(postgresql_url)
    middle = len(NAMES) // 2
    batch: list[ledger.Command] = [ledger.OpenAccount(name, START) for name in SHUFFLED]

    def is_free(name: str) -> bool:
        with Session(engine) as session:
            session.execute(text("SET LOCAL lock_timeout = '100ms'"))
            try:
                ledger.open_account(session, name, at=START)
            except sa.exc.OperationalError:
                return False
            return True

    with ThreadPoolExecutor(1) as pool:
        with Session(engine) as holder, holder.begin():
            ledger.open_account(holder, NAMES[middle], at=START)
            future = pool.submit(carry_out, engine, batch)
            wait_until_blocked(engine, future)
            assert [name for name in NAMES if is_free(name)] == NAMES[middle + 1 :]
        assert [result.replayed for result in future.result(_PATIENCE_SECONDS)] == [
            name == NAMES[middle] for name in SHUFFLED
        ]
    engine.dispose()


def test_opposite_batches_many_at_once_never_deadlock(postgresql_url: str) -> None:
    engine = ledger.create_engine(postgresql_url, pool_size=8)
    accounts_of(engine, NAMES)
    start = threading.Barrier(8)

    def work(seed: int) -> int:
        chance = random.Random(seed)
        start.wait(_PATIENCE_SECONDS)
        done = 0
        for _ in range(25):
            # Of many sizes: the sets that a batch makes of them are in orders of their own.
            names = chance.sample(NAMES, chance.randint(2, len(NAMES)))
            for order in (names, names[::-1]):
                results = carry_out(engine, [ledger.Reserve(name, 1, at=NOW) for name in order])
                assert [result.account_id for result in results] == order
                done += len(order)
        return done

    with ThreadPoolExecutor(8) as pool:
        done = sum(pool.map(work, range(8)))
    with Session(engine) as session:
        assert list(ledger.audit(session)) == []
        held = text("SELECT count(*) FROM ledger_reservation")
        assert session.execute(held).scalar_one() == done
    engine.dispose()


def test_a_launch_keeps_its_card_with_the_account(on_postgresql: Book) -> None:
    with Session(on_postgresql.engine) as session, session.begin():
        ledger.open_account(session, "new", at=START)
        ledger.grant_credits(session, "new", 100, at=later(1))
        execute(session, launch_command("new"))
        rows = session.execute(text("SELECT account_id, card_id FROM ledger_card ORDER BY 1")).all()
    assert [tuple(row) for row in rows] == [(name, PLAIN.id) for name in ("acme", OTHER, "new")]


@pytest.mark.one_server
def test_on_postgresql_a_start_is_found_by_index_and_taken_among_its_accounts_rows(on_postgresql: Book) -> None:
    """What is due is looked for over all accounts; what is locked and changed belongs to one."""
    with Session(on_postgresql.engine) as session, session.begin():
        assert ledger.deliver_outbox(session, lambda start: None, at=NOW, limit=1).delivered == ("acme/o15",)
    sent = [each for each in on_postgresql.statements if "ledger_" in each.sql and "pg_policy" not in each.sql]
    (search,) = [each for each in sent if "LIMIT" in each.sql]
    (found,) = plans_postgresql(on_postgresql.engine, [search])
    assert (found["Node Type"], found["Index Name"]) == ("Index Only Scan", "ix_ledger_outbox_waiting")
    others = [each for each in sent if each != search]
    assert [each.sql.split()[0] for each in others] == ["SELECT", "SELECT", "SELECT", "UPDATE"]
    steps = plans_postgresql(on_postgresql.engine, others)
    assert len(steps) >= 4
    assert [step for step in steps if not is_by_account(step)] == []
    assert "ledger_account" not in str(sent)


def test_on_sqlite_a_start_is_found_by_index_and_taken_among_its_accounts_rows(on_sqlite: Book) -> None:
    with Session(on_sqlite.engine) as session, session.begin():
        assert ledger.deliver_outbox(session, lambda start: None, at=NOW, limit=1).count == 1
    asked = [each for each in on_sqlite.statements if "ledger_" in each]
    (search,) = [each for each in asked if "LIMIT" in each]
    (step,) = plans_sqlite(on_sqlite.engine, [search])
    assert "USING INDEX ix_ledger_outbox_waiting " in step
    assert "next_attempt_at<?" in step
    steps = plans_sqlite(on_sqlite.engine, [each for each in asked if each != search])
    assert len(steps) >= 4
    assert [step for step in steps if not is_by_account_sqlite(step)] == []
