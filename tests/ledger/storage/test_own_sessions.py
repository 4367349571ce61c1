"""Transactions of the library's own: what begins them, whatever is sent first, and how their connections come back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from psycopg.pq import TransactionStatus
from sqlalchemy import Engine, text
from sqlalchemy.exc import InvalidRequestError, OperationalError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

import ledger
from ledger.schema.roles import ACCOUNT_SETTING
from ledger.storage.stores import stream
from ledger.storage.stores.opening import OPENED, OPENING, Opening
from ledger.storage.stores.psycopg import AsyncPsycopgStore, PsycopgStore
from ledger.storage.transactions import transact

pytestmark = pytest.mark.default_driver("of the driver's own objects")

Work = Callable[[Session], Any]
_SET = text(f"SELECT current_setting('{ACCOUNT_SETTING}', true)")
_ISOLATION = text("SHOW transaction_isolation")


def run_async(engine: Engine, work: Work, **options: Any) -> Any:
    """`run_transaction_async` on an engine of its own; after it the connection must be as the driver made it."""

    async def scenario() -> Any:
        own = create_async_engine(engine.url, pool_size=1, max_overflow=0)
        try:
            await ledger.run_transaction_async(own, lambda session: ledger.list_accounts(session))
            return await ledger.run_transaction_async(own, work, **options)
        finally:
            async with own.connect() as connection:
                check_as_new(await connection.get_raw_connection())
            await own.dispose()

    return asyncio.run(scenario())


def run_sync(engine: Engine, work: Work, **options: Any) -> Any:
    """`run_transaction`; after it the connection must be as the driver made it."""
    try:
        return ledger.run_transaction(engine, work, **options)
    finally:
        with engine.connect() as connection:
            check_as_new(connection.connection)


def check_as_new(pooled: Any) -> None:
    """A connection from the pool is in no transaction, in the driver's own mode, and has nothing noted."""
    driver = pooled.driver_connection
    assert driver.autocommit is False
    assert driver.pgconn.transaction_status == TransactionStatus.IDLE
    assert not {OPENED, OPENING} & pooled.info.keys()


BOTH = pytest.mark.parametrize("run", [run_sync, run_async])


def reserve(session: Session, amount: int = 1) -> ledger.Reservation:
    """Hold credits of the account."""
    return ledger.reserve(session, "acme", amount)


def held(engine: Engine) -> int:
    """What the account holds, as committed."""
    with Session(engine) as session:
        return int(ledger.get_balance(session, "acme").held)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The statements that the stores send together, without what follows the first two words."""
    trips: list[list[str]] = []

    def noted(send: Callable[..., Any]) -> Callable[..., Any]:
        def note(store: Any, driver: Any, requests: Any) -> Any:
            trips.append([" ".join(request.sql.split("(")[0].split()[:2]) for request in requests])
            return send(store, driver, requests)

        return note

    for kind in (PsycopgStore, AsyncPsycopgStore):
        monkeypatch.setattr(kind, "_send", noted(kind._send))
    return trips


@BOTH
def test_begin_and_the_settings_go_with_the_reads_of_the_first_verb(
    one: Engine, run: Any, sent: list[list[str]]
) -> None:
    run(one, reserve, account_id="acme")
    first = next(trip for trip in reversed(sent) if trip[0] == "BEGIN")
    assert first[:2] == ["BEGIN", "SELECT set_config"]
    assert len(first) > 3
    run(one, reserve)
    first = next(trip for trip in reversed(sent) if trip[0] == "BEGIN")
    assert first[:2] == ["BEGIN", "SELECT t.account_id,"]
    assert held(one) == 2


ORDERS: dict[str, Work] = {
    "verb, verb": lambda session: (reserve(session), reserve(session)),
    "verb, SQL": lambda session: (reserve(session), session.execute(text("SELECT 1"))),
    "SQL, verb": lambda session: (session.execute(text("SELECT 1")), reserve(session)),
    "savepoint, verb": lambda session: in_savepoint(session),
    "verb, savepoint": lambda session: (reserve(session), in_savepoint(session)),
    "connection, verb": lambda session: (session.connection(), reserve(session)),
    "cursor, verb": lambda session: (in_cursor(session), reserve(session)),
    "stream, verb": lambda session: (list(stream(session.connection(), "SELECT 1")), reserve(session)),
}


def in_savepoint(session: Session) -> None:
    """Hold credits in a savepoint, and in one that is undone."""
    with session.begin_nested():
        reserve(session)
    with session.begin_nested() as undone:
        reserve(session)
        undone.rollback()


def in_cursor(session: Session) -> None:
    """Use the driver itself."""
    cursor = session.connection().connection.cursor()
    cursor.execute("SELECT 1")
    cursor.close()


@BOTH
@pytest.mark.parametrize("account_id", [None, "acme"])
@pytest.mark.parametrize("order", ORDERS)
def test_whatever_is_sent_first_all_of_it_is_one_transaction_with_its_settings(
    one: Engine, run: Any, order: str, account_id: str | None
) -> None:
    """Committed together, or undone together, and the setting holds until the end."""

    def work(session: Session) -> Any:
        ORDERS[order](session)
        return session.execute(_SET).scalar_one() or None

    def failing(session: Session) -> None:
        work(session)
        raise KeyError

    with pytest.raises(KeyError):
        run(one, failing, account_id=account_id)
    assert held(one) == 0
    assert run(one, work, account_id=account_id) == account_id
    assert held(one) == (2 if order in ("verb, verb", "verb, savepoint") else 1)


@BOTH
def test_the_setting_holds_for_sql_before_a_verb_as_for_what_follows(one: Engine, run: Any) -> None:
    def work(session: Session) -> list[str]:
        before = session.execute(_SET).scalar_one()
        reserve(session)
        return [before, session.execute(_SET).scalar_one()]

    assert run(one, work, account_id="acme") == ["acme", "acme"]
    assert run(one, lambda session: session.execute(_SET).scalar_one() or None) is None


def refused_and_caught(session: Session) -> None:
    """Go on after a refusal."""
    with pytest.raises(ledger.InsufficientCredits):
        reserve(session, 40)


def raise_key_error(session: Session) -> None:
    """Fail after a verb."""
    reserve(session)
    raise KeyError


ENDS: dict[str, tuple[Work, type[Exception] | None]] = {
    "nothing is done": (lambda session: None, None),
    "only a connection is asked for": (lambda session: session.connection(), None),
    "only the host's SQL": (lambda session: session.execute(text("SELECT 1")), None),
    "committed": (reserve, None),
    "refused": (lambda session: reserve(session, 40), ledger.InsufficientCredits),
    "refused and caught": (refused_and_caught, None),
    "raised": (raise_key_error, KeyError),
    "SQL refused": (lambda session: (reserve(session), session.execute(text("SELECT 1 / 0"))), Exception),
    "session closed": (lambda session: (reserve(session), session.close()), ledger.TransactionEnded),
    "session closed at once": (lambda session: session.close(), ledger.TransactionEnded),
    "session committed": (lambda session: (reserve(session), session.commit()), ledger.TransactionEnded),
    "session rolled back": (lambda session: (reserve(session), session.rollback()), ledger.TransactionEnded),
    "committed and used": (
        lambda session: (reserve(session), session.commit(), reserve(session)),
        InvalidRequestError,
    ),
    "connection invalidated": (lambda session: (reserve(session), session.connection().invalidate()), Exception),
}


@BOTH
@pytest.mark.parametrize("account_id", [None, "acme"])
@pytest.mark.parametrize("end", ENDS)
def test_however_a_transaction_ends_its_connection_comes_back_as_the_driver_made_it(
    one: Engine, run: Any, end: str, account_id: str | None
) -> None:
    """Which `run` looks at. The next transaction on it is as any other."""
    work, expected = ENDS[end]
    if expected is None:
        run(one, work, account_id=account_id)
    else:
        with pytest.raises(expected):
            run(one, work, account_id=account_id)
    before = held(one)
    assert before == (1 if end in ("committed", "session committed", "committed and used") else 0)
    assert run(one, reserve).amount == 1
    with one.connect() as connection:
        connection.execute(text("CREATE TABLE beside (n int)"))
        connection.rollback()
        assert connection.execute(text("SELECT to_regclass('beside')")).scalar_one() is None


@BOTH
@pytest.mark.parametrize("word", ["ROLLBACK", "COMMIT"])
def test_sql_that_ends_the_transaction_after_a_verb_is_found_out(one: Engine, run: Any, word: str) -> None:
    """At the next verb, or at the end: what the work believes to be together would not be."""
    calls: list[str] = []

    def then_a_verb(session: Session) -> None:
        reserve(session)
        session.execute(text(word))
        with pytest.raises(ledger.TransactionEnded):
            reserve(session)
        calls.append("a verb")
        reserve(session)

    def then_the_end(session: Session) -> None:
        reserve(session)
        session.execute(text(word))

    for work in (then_a_verb, then_the_end):
        with pytest.raises(ledger.TransactionEnded):
            run(one, work)
    assert calls == ["a verb"]
    assert held(one) == (2 if word == "COMMIT" else 0)


@BOTH
@pytest.mark.parametrize("account_id", [None, "acme"])
@pytest.mark.parametrize("word", ["ROLLBACK", "COMMIT"])
def test_sql_that_ends_the_transaction_before_a_verb_is_found_out(
    one: Engine, run: Any, word: str, account_id: str | None
) -> None:
    """And where no verb follows."""

    def then_a_verb(session: Session) -> None:
        session.execute(text(word))
        reserve(session)

    def alone(session: Session) -> None:
        session.execute(text(word))

    for work in (then_a_verb, alone):
        with pytest.raises(ledger.TransactionEnded):
            run(one, work, account_id=account_id)
    assert held(one) == 0


def reserved_at(session: Session) -> str:
    """The isolation of the transaction of a verb."""
    reserve(session)
    return str(session.execute(_ISOLATION).scalar_one())


def stated_at(session: Session) -> str:
    """The isolation where the host's statement comes first."""
    found = str(session.execute(_ISOLATION).scalar_one())
    reserve(session)
    return found


def connected_at(session: Session) -> str:
    """The isolation that the work itself asks for."""
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    return reserved_at(session)


@pytest.mark.parametrize("account_id", [None, "acme"])
@pytest.mark.parametrize("level", ["SERIALIZABLE", "REPEATABLE READ", "READ COMMITTED"])
@pytest.mark.parametrize("work", [reserved_at, stated_at])
def test_a_transaction_has_the_isolation_level_of_its_engine(
    one: Engine, work: Work, level: str, account_id: str | None
) -> None:
    """Of the engine itself, and of one with options over the same pool, whose connections come back without it."""
    own = ledger.create_engine(one.url, isolation_level=level)
    assert ledger.run_transaction(own, work, account_id=account_id) == level.lower()
    own.dispose()
    assert run_sync(one.execution_options(isolation_level=level), work, account_id=account_id) == level.lower()
    assert run_sync(one, work, account_id=account_id) == "read committed"


@BOTH
@pytest.mark.parametrize("account_id", [None, "acme"])
def test_a_transaction_has_the_isolation_level_that_its_work_asks_for(
    one: Engine, run: Any, account_id: str | None
) -> None:
    assert run(one, connected_at, account_id=account_id) == "repeatable read"
    assert run_sync(one, reserved_at) == "read committed"


@pytest.mark.parametrize("account_id", [None, "acme"])
def test_a_transaction_of_an_engine_that_only_reads_only_reads(one: Engine, account_id: str | None) -> None:
    """The database says so within it, and the verbs that write refuse it."""
    reading = one.execution_options(
        postgresql_readonly=True, isolation_level="SERIALIZABLE", postgresql_deferrable=True
    )

    def work(session: Session) -> list[str]:
        ledger.get_balance(session, "acme")
        names = ("transaction_read_only", "transaction_deferrable", "transaction_isolation")
        return [session.execute(text(f"SHOW {name}")).scalar_one() for name in names]

    assert run_sync(reading, work, account_id=account_id) == ["on", "on", "serializable"]
    with pytest.raises(ledger.SessionUnusable, match="postgresql_readonly"):
        run_sync(reading, reserve, account_id=account_id)
    assert run_sync(one, work) == ["off", "off", "read committed"]


@pytest.mark.parametrize("account_id", [None, "acme"])
def test_on_an_engine_in_autocommit_nothing_is_written(one: Engine, account_id: str | None) -> None:
    """No transaction is begun behind the host's back."""
    own = ledger.create_engine(one.url, isolation_level="AUTOCOMMIT", pool_size=1, max_overflow=0)
    with pytest.raises(ledger.SessionUnusable, match="AUTOCOMMIT"):
        ledger.run_transaction(own, reserve, account_id=account_id)
    assert ledger.run_transaction(own, lambda session: ledger.get_balance(session, "acme").issued) == 10
    with own.connect() as connection:
        driver: Any = connection.connection.driver_connection
        assert driver.autocommit is True
        assert not {OPENED, OPENING} & connection.info.keys()
    own.dispose()
    assert held(one) == 0


def test_what_is_tried_again_begins_anew_with_its_settings(one: Engine) -> None:
    seen: list[str] = []

    def work(session: Session) -> int:
        reserve(session)
        seen.append(session.execute(_SET).scalar_one())
        if len(seen) < 3:
            lost = Exception("lost")
            lost.sqlstate = "40001"  # type: ignore[attr-defined]
            raise OperationalError("SELECT", {}, lost)
        return len(seen)

    assert run_sync(one, work, account_id="acme") == 3
    assert seen == ["acme"] * 3
    assert held(one) == 1


def test_readings_that_are_each_alone_are_one_round_trip_each_and_leave_no_transaction_open(
    one: Engine, sent: list[list[str]]
) -> None:
    seen: list[Any] = []

    def work(session: Session) -> None:
        for _ in range(2):
            ledger.get_balance(session, "acme")
            driver: Any = session.connection().connection.driver_connection
            seen.append(driver.pgconn.transaction_status)

    transact(one, work, Opening((("lock_timeout", "1s"),), is_each_alone=True), attempts=1, keyed=False)
    assert seen == [TransactionStatus.IDLE] * 2
    assert len(sent) == 2
    assert all(trip[:2] == ["BEGIN", "SELECT set_config"] and trip[-1] == "COMMIT" for trip in sent)
    with one.connect() as connection:
        check_as_new(connection.connection)


def test_where_the_hosts_sql_comes_first_readings_are_one_transaction_after_all(one: Engine) -> None:
    """What the host sees before a reading is what the reading sees."""

    def work(session: Session) -> list[Any]:
        before = session.execute(text("SHOW lock_timeout")).scalar_one()
        ledger.get_balance(session, "acme")
        driver: Any = session.connection().connection.driver_connection
        return [before, driver.pgconn.transaction_status]

    opening = Opening((("lock_timeout", "1s"),), is_each_alone=True)
    found = transact(one, work, opening, attempts=1, keyed=False)
    assert found == ["1s", TransactionStatus.INTRANS]


def test_a_stream_among_readings_that_are_each_alone_has_a_transaction_with_their_settings(one: Engine) -> None:
    """A cursor on the server lives no longer than its transaction."""

    def work(session: Session) -> list[Any]:
        session.is_for_verb = True  # type: ignore[attr-defined]
        connection = session.connection()
        return [
            list(part)
            for part in stream(connection, "SELECT current_setting('lock_timeout'), generate_series(1, 2)", size=1)
        ]

    opening = Opening((("lock_timeout", "1s"),), is_each_alone=True)
    assert transact(one, work, opening, attempts=1, keyed=False) == [[("1s", 1)], [("1s", 2)]]
    with one.connect() as connection:
        check_as_new(connection.connection)
