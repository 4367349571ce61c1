"""The proxy that cuts connections: where it does, that it cuts once, and that it leaves nothing open."""

from __future__ import annotations

import threading
from pathlib import Path

import psycopg
import pytest

from tests.postgres import connect
from tests.proxy import Cut, Proxy


def served(proxy: Proxy) -> psycopg.Connection[object]:
    """A connection by way of the proxy, of a table that counts as the ledger's."""
    connection = connect(proxy.url)
    connection.autocommit = False
    connection.execute("CREATE TABLE IF NOT EXISTS ledger_proxied (number int)")
    connection.commit()
    return connection


def written(url: str) -> list[int]:
    """What was committed."""
    with connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT number FROM ledger_proxied ORDER BY number")]


def write(connection: psycopg.Connection[object], number: int) -> None:
    """A write with a parameter, which the driver prepares once it has seen it a few times."""
    connection.execute("INSERT INTO ledger_proxied VALUES (%s)", [number])


def test_what_is_not_to_be_cut_passes_whole(postgresql_url: str) -> None:
    with Proxy.start(postgresql_url) as proxy, served(proxy) as connection:
        for number in range(20):
            write(connection, number)
        connection.commit()
        text = "x" * 1_000_000
        answer = connection.execute("SELECT %s || %s", [text, text]).fetchone()
        assert answer == (text + text,)
    assert written(postgresql_url) == list(range(20))
    assert proxy.cuts_made == 0


@pytest.mark.parametrize("writes_before", [0, 12])
@pytest.mark.parametrize(("where", "is_there"), [(Cut.IN_WORK, 0), (Cut.BEFORE_COMMIT, 0), (Cut.AFTER_COMMIT, 1)])
def test_a_cut_comes_where_it_is_armed_also_on_a_connection_that_has_prepared_its_statements(
    postgresql_url: str, where: Cut, is_there: int, writes_before: int
) -> None:
    with Proxy.start(postgresql_url) as proxy, served(proxy) as connection:
        for number in range(writes_before):
            write(connection, number)
            connection.commit()
        proxy.cut(where)
        connection.execute("SELECT count(*) FROM ledger_proxied")
        assert proxy.cuts_made == 0
        with pytest.raises(psycopg.OperationalError) as error:  # noqa: PT012  # which of them fails is asserted below
            write(connection, 99)
            assert where is not Cut.IN_WORK
            connection.commit()
        assert error.value.sqlstate is None
        assert proxy.cuts_made == 1
    assert written(postgresql_url) == [*range(writes_before), *[99] * is_there]


def test_a_cut_is_made_once_and_the_next_connection_is_served(postgresql_url: str) -> None:
    with Proxy.start(postgresql_url) as proxy:
        proxy.cut(Cut.BEFORE_COMMIT)
        with pytest.raises(psycopg.OperationalError):
            served(proxy)
        served(proxy).close()
        assert proxy.cuts_made == 1


def test_a_server_that_is_away_is_away_behind_the_proxy_too(tmp_path: Path) -> None:
    with (
        Proxy.start(f"postgresql+psycopg://postgres@/none?host={tmp_path}") as proxy,
        pytest.raises(psycopg.OperationalError),
    ):
        connect(proxy.url)


def test_a_closed_proxy_has_hung_up_on_everybody_and_left_no_thread(postgresql_url: str) -> None:
    before = set(threading.enumerate())
    with Proxy.start(postgresql_url) as proxy:
        connections = [served(proxy) for _ in range(5)]
    assert set(threading.enumerate()) - before == set()
    for connection in connections:
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
        connection.close()
    with pytest.raises(psycopg.OperationalError):
        connect(proxy.url)
    proxy.close()
