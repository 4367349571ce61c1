"""The connection to PostgreSQL is cut, really, before and after COMMIT: nothing is lost and nothing doubled."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import ledger
from tests.ledger.conftest import START
from tests.postgres import PostgresServer
from tests.proxy import Cut, Proxy


@pytest.fixture
def proxy(postgresql_url: str) -> Iterator[Proxy]:
    """A way to a new database that can be cut; the database has account `acme` with 10 credits."""
    engine = ledger.create_engine(postgresql_url)
    with Session(engine) as session, session.begin():
        ledger.open_account(session, "acme", at=START)
        ledger.grant_credits(session, "acme", 10, at=START)
    engine.dispose()
    with Proxy.start(postgresql_url) as proxy:
        yield proxy


@pytest.fixture
def engine(proxy: Proxy) -> Iterator[Engine]:
    """An engine by way of the proxy."""
    engine = ledger.create_engine(proxy.url)
    yield engine
    engine.dispose()


def held(engine: Engine) -> list[ledger.Reservation]:
    """What is in the book, which proves itself."""
    with Session(engine) as session:
        ledger.require_clean(session)
        return ledger.list_reservations(session, "acme")


def reserve(session: Session) -> ledger.Reservation:
    """A hold without a key."""
    return ledger.reserve(session, "acme", 4, at=START)


def reserve_keyed(session: Session) -> ledger.Reservation:
    """A hold with a key."""
    return ledger.reserve(session, "acme", 4, key="once", at=START)


def test_a_connection_lost_in_the_work_is_replaced_and_the_work_done_once(proxy: Proxy, engine: Engine) -> None:
    proxy.cut(Cut.IN_WORK)
    hold = ledger.run_transaction(engine, reserve)
    assert proxy.cuts_made == 1
    assert [found.reservation_id for found in held(engine)] == [hold.reservation_id]


@pytest.mark.parametrize(("where", "count"), [(Cut.BEFORE_COMMIT, 0), (Cut.AFTER_COMMIT, 1)])
def test_without_a_key_a_lost_commit_is_told_and_not_repeated(
    proxy: Proxy, engine: Engine, where: Cut, count: int
) -> None:
    proxy.cut(where)
    with pytest.raises(ledger.CommitUnknown, match="same keys"):
        ledger.run_transaction(engine, reserve)
    assert proxy.cuts_made == 1
    assert len(held(engine)) == count


@pytest.mark.parametrize("where", [Cut.BEFORE_COMMIT, Cut.AFTER_COMMIT])
def test_with_keys_a_lost_commit_is_healed_by_asking_again(proxy: Proxy, engine: Engine, where: Cut) -> None:
    proxy.cut(where)
    hold = ledger.run_transaction(engine, reserve_keyed, keyed=True)
    assert hold.replayed == (where is Cut.AFTER_COMMIT)
    assert [found.reservation_id for found in held(engine)] == [hold.reservation_id]
    again = ledger.run_transaction(engine, reserve_keyed)
    assert (again.replayed, again.reservation_id) == (True, hold.reservation_id)


def test_every_commit_lost_is_given_up_in_the_end(proxy: Proxy, engine: Engine) -> None:
    for _ in range(3):
        proxy.cut(Cut.BEFORE_COMMIT)
    with pytest.raises(ledger.CommitUnknown):
        ledger.run_transaction(engine, reserve_keyed, keyed=True, attempts=3)
    assert proxy.cuts_made == 3
    assert held(engine) == []


def test_a_server_that_was_restarted_is_found_again_by_every_pooled_connection() -> None:
    with PostgresServer.start() as server:
        engine = ledger.create_engine(server.databases.create(), pool_size=5)
        ledger.upgrade(engine)
        with Session(engine) as session, session.begin():
            ledger.open_account(session, "acme", at=START)
            ledger.grant_credits(session, "acme", 10, at=START)
        pooled = [engine.connect() for _ in range(5)]
        for connection in pooled:
            connection.execute(text("SELECT 1"))
            connection.close()
        server.kill()
        server.restart()
        assert ledger.run_transaction(engine, reserve_keyed, attempts=2).amount == 4
        assert len(held(engine)) == 1
        engine.dispose()


@pytest.mark.parametrize("level", ["SERIALIZABLE", "REPEATABLE READ"])
def test_a_transaction_that_cannot_be_serialized_is_tried_again(postgresql_url: str, level: str) -> None:
    engine = ledger.create_engine(postgresql_url, isolation_level=level)
    ledger.run_transaction(engine, lambda session: ledger.open_account(session, "acme", at=START))
    ledger.run_transaction(engine, lambda session: ledger.grant_credits(session, "acme", 10, at=START))
    calls: list[int] = []

    def work(session: Session) -> ledger.Reservation:
        session.execute(text("SELECT 1 FROM ledger_account"))  # the transaction sees the book as it is now
        calls.append(1)
        if len(calls) == 1:
            other = ledger.create_engine(postgresql_url)
            ledger.run_transaction(other, reserve)
            other.dispose()
        return reserve(session)

    assert ledger.run_transaction(engine, work).amount == 4
    assert len(calls) == 2
    assert len(held(engine)) == 2
    engine.dispose()
