"""The store of psycopg: statements in one round trip, their cursors, and what becomes of what fails."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, InvalidRequestError, PendingRollbackError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

import ledger
from ledger.schema.tables import CardRow
from ledger.storage.shapes import RowShape, Write
from ledger.storage.stores import execute_writes, fetch, store_of, stream
from ledger.storage.stores import psycopg as module
from ledger.storage.stores.arrays import Bigints, Byteas, Smallints, Texts
from ledger.storage.stores.base import Request
from ledger.storage.stores.literals import array_literal
from tests.ledger.conftest import START
from tests.ledger.storage.stores.test_literals import HARD

pytestmark = pytest.mark.default_driver("of the driver's own objects")

ASKED = [
    Request("SELECT CAST($1 AS bigint), CAST($2 AS text)", (1, "x")),
    Request("SELECT CAST($1 AS text)", [("a",), ("b",)], is_each=True),
    Request("CREATE TEMPORARY TABLE seen (word text) ON COMMIT DROP", has_rows=False),
    Request("INSERT INTO seen VALUES ($1)", [("c",), ("d",)], is_each=True, has_rows=False),
    Request("SELECT word FROM seen WHERE word = ANY($1) ORDER BY 1", [Texts(["d", "c", "e"])], is_planned_anew=True),
]
FOUND = [[(1, "x")], [("a",), ("b",)], [], [], [("c",), ("d",)]]


@pytest.fixture
def connection(postgresql_url: str) -> Iterator[Connection]:
    """A connection to PostgreSQL."""
    engine = ledger.create_engine(postgresql_url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def of_async(url: str, work: Any) -> Any:
    """What some work answers on an async connection of the same driver."""

    async def scenario() -> Any:
        engine = create_async_engine(url)
        async with engine.connect() as connection:
            answer = await connection.run_sync(work)
        await engine.dispose()
        return answer

    return asyncio.run(scenario())


def run(connection: Connection, requests: list[Request] = ASKED) -> list[list[tuple[Any, ...]]]:
    """The rows of requests, sent together."""
    return store_of(connection).run(connection, requests)


def test_each_request_answers_its_rows_in_order(connection: Connection, postgresql_url: str) -> None:
    """Sync and async, together and alone."""
    assert run(connection) == FOUND
    connection.rollback()
    assert [run(connection, [request])[0] for request in ASKED] == FOUND
    assert of_async(postgresql_url, run) == FOUND
    assert of_async(postgresql_url, lambda given: [run(given, [request])[0] for request in ASKED]) == FOUND


def test_nothing_is_asked_and_nothing_is_answered(connection: Connection, postgresql_url: str) -> None:
    assert run(connection, []) == of_async(postgresql_url, lambda given: run(given, [])) == []


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (Texts([*HARD, None, "é"]), "text"),
        (Bigints([1, None, -(2**63)]), "bigint"),
        (Smallints([1, None, -5]), "smallint"),
        (Byteas([b"", None, b'\x00\xff"\\']), "bytea"),
        (Texts(), "text"),
        (Texts([None]), "text"),
    ],
)
def test_an_array_is_unpacked_to_its_elements(connection: Connection, array: Any, kind: str) -> None:
    """Its literal is what PostgreSQL makes of the driver's own list."""
    found = fetch(connection, f"SELECT v FROM unnest(CAST($1 AS {kind}[])) AS v", array)
    assert [value for (value,) in found] == list(array)
    (literal,) = connection.execute(
        text(f"SELECT CAST(:literal AS {kind}[]) IS NOT DISTINCT FROM CAST(:listed AS {kind}[])"),
        {"literal": array_literal(kind, array), "listed": list(array)},
    ).one()
    assert literal is True


def prepared(connection: Connection, like: str) -> int:
    """How many statements of a connection are prepared that contain a text."""
    statement = text("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE :like")
    return int(connection.execute(statement, {"like": f"%{like}%"}).scalar_one())


def test_a_statement_is_prepared_once_whatever_its_values_are(connection: Connection) -> None:
    """Small and large numbers, nulls and texts are of one type each to the driver."""
    for value in (1, 2**15, 2**31, 2**40, -1, 0) * 3:
        fetch(connection, "SELECT CAST($1 AS bigint) AS small", value)
    assert prepared(connection, "AS small") == 1


def test_a_statement_that_is_planned_anew_is_never_prepared(connection: Connection) -> None:
    for _ in range(20):
        run(connection, [Request("SELECT 1 AS anew WHERE 1 = ANY($1)", [Bigints([1])], is_planned_anew=True)] * 2)
    assert prepared(connection, "AS anew") == 0


def test_requests_that_are_sent_together_are_one_pipeline(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request alone needs none. No pipeline outlives the call."""
    pipelines: list[int] = []
    pipeline = psycopg.Connection.pipeline

    def counted(driver: psycopg.Connection[Any]) -> Any:
        pipelines.append(1)
        return pipeline(driver)

    monkeypatch.setattr(psycopg.Connection, "pipeline", counted)
    run(connection)
    assert len(pipelines) == 1
    run(connection, ASKED[:1])
    assert len(pipelines) == 1
    driver: Any = connection.connection.driver_connection
    assert driver.pgconn.pipeline_status == psycopg.pq.PipelineStatus.OFF


def test_cursors_are_kept_for_the_next_time(connection: Connection) -> None:
    store: Any = store_of(connection)
    run(connection)
    first = list(store.cursors)
    assert len(first) == len(ASKED)
    run(connection, ASKED[:2])
    assert store.cursors == first
    run(connection, [ASKED[0]] * 7)
    assert store.cursors[: len(first)] == first
    assert len(store.cursors) == 7


def test_cursors_that_hold_very_many_rows_or_failed_are_not_kept(connection: Connection) -> None:
    store: Any = store_of(connection)
    many = Request("SELECT generate_series(1, $1)", (module._ROWS_KEPT + 1,))
    run(connection, ASKED[:2])
    first = list(store.cursors)
    assert len(run(connection, [ASKED[0], many])[1]) == module._ROWS_KEPT + 1
    assert store.cursors == []
    run(connection, ASKED[:2])
    assert not set(store.cursors) & set(first)
    with pytest.raises(DBAPIError):
        run(connection, [ASKED[0], Request("SELECT nothing"), ASKED[0]])
    assert store.cursors == []
    connection.rollback()
    assert run(connection) == FOUND


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_error_within_a_pipeline_is_raised_with_its_state_and_leaves_the_connection_usable(
    connection: Connection, postgresql_url: str, place: int
) -> None:
    asked = [Request("SELECT 1"), Request("SELECT 1"), Request("SELECT 1")]
    asked[place] = Request("SELECT CAST($1 AS bigint)", ("x",))

    def refused(given: Connection) -> Any:
        with pytest.raises(DBAPIError) as raised:
            run(given, asked)
        assert not raised.value.connection_invalidated
        given.rollback()
        return getattr(raised.value.orig, "sqlstate", None), run(given)

    assert refused(connection) == of_async(postgresql_url, refused) == ("22P02", FOUND)


def test_what_the_driver_itself_refuses_is_raised_as_sqlalchemy_raises_it(connection: Connection) -> None:
    with pytest.raises(DBAPIError) as raised:
        fetch(connection, "SELECT CAST($1 AS text)", object())
    assert isinstance(raised.value.orig, psycopg.ProgrammingError)


def lose(connection: Connection) -> None:
    """End a connection on the server."""
    pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    with connection.engine.connect() as other:
        other.execute(text("SELECT pg_terminate_backend(CAST(:pid AS integer), 10000)"), {"pid": pid})


@pytest.mark.parametrize("count", [1, 3])
def test_a_connection_lost_while_reading_is_not_used_again(connection: Connection, count: int) -> None:
    """Alone, and within a pipeline."""
    lose(connection)
    with pytest.raises(DBAPIError) as raised:
        run(connection, [ASKED[0]] * count)
    assert raised.value.connection_invalidated
    assert connection.invalidated


def test_a_connection_that_was_closed_is_lost_as_one_that_breaks(connection: Connection) -> None:
    connection.begin()
    connection.connection.dbapi_connection.close()  # type: ignore[union-attr]
    with pytest.raises(DBAPIError) as raised:
        fetch(connection, "SELECT 1")
    assert raised.value.connection_invalidated
    assert connection.invalidated


@pytest.mark.parametrize("count", [1, 2])
def test_on_a_connection_that_was_lost_nothing_is_read_before_the_rollback(connection: Connection, count: int) -> None:
    """As SQLAlchemy refuses it; after the rollback there is a new connection, with a store of its own."""
    before = store_of(connection)
    lose(connection)
    with pytest.raises(DBAPIError):
        run(connection, [ASKED[0]] * count)
    with pytest.raises(PendingRollbackError):
        run(connection, [ASKED[0]] * count)
    connection.rollback()
    assert run(connection) == FOUND
    assert store_of(connection) is not before


def test_a_first_statement_begins_a_transaction_as_one_of_sqlalchemys_does(connection: Connection) -> None:
    assert not connection.in_transaction()
    run(connection, [ASKED[0]])
    assert connection.in_transaction()
    connection.rollback()
    assert next(stream(connection, "SELECT 1")) == [(1,)]
    assert connection.in_transaction()


def test_a_transaction_that_failed_or_ended_is_not_written_in(connection: Connection) -> None:
    with connection.begin(), pytest.raises(DBAPIError):
        run(connection, [Request("SELECT nothing")])
    with connection.begin() as transaction:
        transaction.rollback()
        with pytest.raises(InvalidRequestError):
            run(connection, [ASKED[0]])


@pytest.mark.parametrize("size", [1, 1000])
def test_a_stream_is_one_cursor_on_the_server_gone_at_its_end(
    connection: Connection, postgresql_url: str, size: int
) -> None:
    cursors = "SELECT count(*) FROM pg_cursors WHERE name LIKE 'ledger%'"

    def streamed(given: Connection) -> Any:
        parts = stream(given, "SELECT generate_series(1, $1)", [10], size=size)
        first = list(next(parts))
        during = fetch(given, cursors)
        rest = [row for part in parts for row in part]
        return first + rest, during, fetch(given, cursors)

    expected = ([(number,) for number in range(1, 11)], [(1,)], [(0,)])
    assert streamed(connection) == of_async(postgresql_url, streamed) == expected


def test_two_streams_at_once_are_two_cursors(connection: Connection) -> None:
    parts = [stream(connection, "SELECT generate_series(1, $1)", [4], size=2) for _ in range(2)]
    assert [list(part) for pair in zip(*parts, strict=True) for part in pair] == [
        [(1,), (2,)], [(1,), (2,)], [(3,), (4,)], [(3,), (4,)],
    ]  # fmt: skip


def test_what_fails_in_the_middle_of_a_stream_is_raised_as_sqlalchemy_raises_it(
    connection: Connection, postgresql_url: str
) -> None:
    def broken(given: Connection) -> Any:
        parts = stream(given, "SELECT 1 / (3 - v) FROM generate_series(1, $1) AS v", [5], size=1)
        assert [next(parts), next(parts)] == [[(0,)], [(1,)]]
        with pytest.raises(DBAPIError) as raised:
            next(parts)
        return getattr(raised.value.orig, "sqlstate", None)

    assert broken(connection) == of_async(postgresql_url, broken) == "22012"


@pytest.mark.parametrize("paramstyle", ["pyformat", "format"])
def test_a_book_is_the_same_whatever_mark_sqlalchemy_uses(postgresql_url: str, paramstyle: str) -> None:
    engine: Engine = ledger.create_engine(postgresql_url, paramstyle=paramstyle)
    with Session(engine) as session, session.begin():
        ledger.open_account(session, "acme", at=START)
        ledger.grant_credits(session, "acme", 100, at=START)
        batch = [ledger.Reserve("acme", 1, f"k{number}", at=START) for number in range(40)]
        holds = [*ledger.execute(session, batch), *ledger.execute(session, batch)]
        replayed = [isinstance(hold, ledger.Reservation) and hold.replayed for hold in holds]
        assert replayed == [False] * 40 + [True] * 40
        assert list(ledger.audit(session)) == []
    engine.dispose()


def test_a_write_that_the_server_refuses_undoes_the_whole_pipeline_with_its_transaction(
    connection: Connection, postgresql_url: str
) -> None:
    """What comes after it is not carried out."""
    with Session(connection.engine) as session, session.begin():
        ledger.open_account(session, "acme", at=START)
    card = RowShape.of(CardRow)
    writes = [
        Write(card, [("acme", "a", "{}")]),
        Write(card, [("nobody", "b", "{}")]),
        Write(card, [("acme", "c", "")]),
    ]
    with pytest.raises(DBAPIError, match="foreign key"):
        execute_writes(connection, writes)
    connection.rollback()
    assert fetch(connection, "SELECT card_id FROM ledger_card") == []
