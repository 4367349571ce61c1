"""PostgreSQL's statements: how keys and rows go, which plans they have, and that the book is the same either way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.orm import Session

import ledger
from ledger.model.moments import to_moment
from ledger.schema.databases import SUPPORTED
from ledger.schema.tables import CardRow, LedgerRow, ReservationRow
from ledger.storage import journal, queries
from ledger.storage.shapes import RowShape, Write
from ledger.storage.stores import fetch, postgresql
from ledger.storage.stores.arrays import Bigints, Texts, array_of
from ledger.storage.stores.base import Request
from ledger.storage.stores.psycopg import PsycopgStore
from ledger.storage.stores.selects import Select
from tests.ledger.conftest import START, later
from tests.ledger.storage.stores.test_literals import HARD

CARD = RowShape.of(CardRow)
STORE = PsycopgStore(SUPPORTED["postgresql", "psycopg"].can)
SIZES = [2, 3, 40]


@pytest.fixture
def new_engine(postgresql_url: str) -> Iterator[Engine]:
    """An engine on a PostgreSQL database."""
    engine = ledger.create_engine(postgresql_url)
    yield engine
    engine.dispose()


def selected(select: Select, keys: list[tuple[Any, ...]], *extras: Any) -> Request:
    """The request for some keys, of which there is at least one."""
    found = STORE.select(select, keys, extras)
    assert found is not None
    return found


def test_one_key_is_plain_values_whose_plan_is_kept() -> None:
    found = selected(queries.DUE_RESERVATIONS, [("a",)], 7)
    assert found == Request(queries.DUE_RESERVATIONS.sql_of_one, (7, "a"))
    assert STORE.select(queries.DUE_RESERVATIONS, [], (7,)) is None


def test_many_accounts_are_one_array_whose_plan_is_not_kept() -> None:
    found = selected(queries.DUE_RESERVATIONS, [("a",), ("b",)], 7)
    assert "t.account_id = ANY($2)" in found.sql
    assert (found.values, found.is_each, found.is_planned_anew) == ([7, ["a", "b"]], False, True)
    assert isinstance(found.values[1], Texts)


MANY = {name: each for name, each in vars(queries).items() if isinstance(each, Select) and len(each.key) > 1}


@pytest.mark.parametrize("name", MANY)
def test_many_longer_keys_are_an_array_for_each_column_and_no_condition_stands_beside_them(name: str) -> None:
    """One on the accounts as well would make a plan look cheap that reads these accounts whole."""
    select = MANY[name]
    keys = [tuple("a" if kind == "text" else 1 for kind in select.types), tuple(None for _ in select.types)]
    found = selected(select, keys)
    assert found.is_planned_anew
    assert [array.kind for array in found.values] == list(select.types)
    assert found.sql.count("unnest(") == 1
    assert "ANY" not in found.sql
    assert all(found.sql.count(f"t.{column} = ") == 1 for column in select.key)


@pytest.mark.parametrize("select", [queries.FIRST_GRANTS, queries.LOCK_ACCOUNTS, queries.TAKE_ACCOUNTS])
def test_what_is_limited_or_locked_for_each_key_is_a_statement_for_each(select: Select) -> None:
    """In the order of the keys, which is that of the locks."""
    keys = [("b",), ("a",)]
    found = selected(select, keys)
    assert found.sql == f"{select.sql_of_one} {select.lock}".rstrip()
    assert (found.values, found.is_each) == (keys, True)
    assert selected(select, keys[:1]) == Request(found.sql, ("b",))


def rows_of(size: int) -> list[tuple[Any, ...]]:
    """Cards of one account with one text."""
    return [("acme", f"card-{number}", '{"a":"\\","}') for number in range(size)]


def test_one_row_goes_as_plain_values_whose_plan_is_kept() -> None:
    (found,) = STORE.writes([Write(CARD, rows_of(1))])
    assert found.values == rows_of(1)[0]
    assert "unnest" not in found.sql
    assert (found.is_each, found.is_planned_anew, found.has_rows) == (False, False, False)


@pytest.mark.parametrize("size", SIZES)
def test_what_rows_agree_in_goes_once(size: int) -> None:
    (found,) = STORE.writes([Write(CARD, rows_of(size))])
    assert found.values == ["acme", [f"card-{number}" for number in range(size)], '{"a":"\\","}']
    assert [type(value) for value in found.values] == [str, Texts, str]
    assert found.is_planned_anew
    assert not found.has_rows


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("place", [0, 1, -1])
def test_one_row_that_differs_is_not_overlooked(size: int, place: int) -> None:
    rows = rows_of(size)
    rows[place] = (*rows[place][:2], "other")
    (found,) = STORE.writes([Write(CARD, rows)])
    assert [type(value) for value in found.values] == [str, Texts, Texts]
    assert found.values[2].count("other") == 1


@pytest.mark.parametrize("size", SIZES)
def test_rows_that_are_the_same_in_everything_are_sent_as_rows(size: int) -> None:
    (found,) = STORE.writes([Write(CARD, rows_of(1) * size)])
    assert [len(value) for value in found.values] == [size] * 3


def test_each_write_has_a_statement_of_its_own() -> None:
    changed = Write(RowShape.of(ReservationRow, ("captured", "freed")), [("acme", n, 0, 0) for n in (1, 2)], True)
    first, second = STORE.writes([Write(CARD, rows_of(2)), changed])
    assert first.sql.startswith("INSERT INTO ledger_card ")
    assert second.sql.startswith("UPDATE ledger_reservation t SET captured = CAST($3 AS bigint), freed = ")
    assert [type(value) for value in second.values] == [Texts, Bigints, int, int]


VALUES = {"bigint": 1, "smallint": 1, "text": "x", "bytea": b"x"}


@pytest.mark.parametrize("model", LedgerRow.__subclasses__())
def test_postgresql_takes_every_table_s_statement(new_engine: Engine, model: type[LedgerRow]) -> None:
    shape = RowShape.of(model)
    varying = shape.columns.index(shape.key[-1])
    rows = [[VALUES[kind] for kind in shape.types] for _ in range(3)]
    for number, row in enumerate(rows):
        row[varying] = f"x{number}" if shape.types[varying] == "text" else number
    with new_engine.connect() as connection:
        # What finds the rows of an update goes as arrays, all of it.
        for is_update, arrays in ((False, {varying}), (True, {shape.columns.index(name) for name in shape.key})):
            (found,) = STORE.writes([Write(shape, [tuple(row) for row in rows], is_update)])
            assert {place for place, value in enumerate(found.values) if isinstance(value, list)} == arrays
            assert explained(connection, found)


def explained(connection: Connection, request: Request, how: str = "EXPLAIN") -> list[tuple[Any, ...]]:
    """How PostgreSQL carries out a request."""
    return fetch(connection, f"{how} {request.sql}", *request.values)


@pytest.mark.one_server
def test_an_update_finds_its_rows_one_by_one_however_many_the_account_has(new_engine: Engine) -> None:
    shape = RowShape.of(ReservationRow, ("captured", "freed"))
    with Session(new_engine) as session, session.begin():
        ledger.open_account(session, "acme")
        ledger.grant_credits(session, "acme", 10_000)
        ledger.execute(session, [ledger.Reserve("acme", 1) for _ in range(2000)])
        session.execute(text("ANALYZE ledger_reservation"))
        rows = [("acme", 2 + number, 0, 0) for number in range(20)]
        (request,) = STORE.writes([Write(shape, rows, is_update=True)])
        session.execute(text("SET LOCAL enable_hashjoin = off"))
        session.execute(text("SET LOCAL enable_mergejoin = off"))
        ((found,),) = explained(session.connection(), request, "EXPLAIN (ANALYZE, FORMAT JSON)")
    scans = [step for step in steps_of(found[0]["Plan"]) if "Index Cond" in step]
    assert scans
    assert all("number" in step["Index Cond"] for step in scans)


def steps_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan's steps, from the outermost inwards."""
    yield plan
    for inner in plan.get("Plans", ()):
        yield from steps_of(inner)


_SCANS = text("SELECT relname, seq_scan FROM pg_stat_xact_user_tables WHERE relname LIKE 'ledger%'")


def scans(session: Session) -> dict[str, int]:
    """How often each table was read whole in this transaction."""
    return {str(name): int(count) for name, count in session.execute(_SCANS)}


@pytest.mark.one_server
@pytest.mark.parametrize("mode", ["auto", "force_generic_plan"])
def test_a_new_database_looks_keys_up_by_index_before_it_has_statistics(new_engine: Engine, mode: str) -> None:
    """One key whose statement was prepared when the tables were empty, and many keys at once."""
    with Session(new_engine) as session, session.begin():
        session.execute(text(f"SET plan_cache_mode = {mode}"))
        ledger.open_account(session, "acme")
        ledger.grant_credits(session, "acme", 20_000)
        for number in range(20):
            ledger.capture(session, ledger.reserve(session, "acme", 1).reservation_id, key=f"first {number}")
        for batch in range(20):
            holds = ledger.execute(session, [ledger.Reserve("acme", 1, f"{batch}-{n}") for n in range(600)])
        before = scans(session)
        names = [hold.reservation_id for hold in holds if isinstance(hold, ledger.Reservation)]
        for name in names[:20]:
            ledger.capture(session, name, key=f"c{name}")
        ledger.execute(session, [ledger.Capture(name, key=f"c{name}") for name in names[20:50]])
        after = scans(session)
    assert len(names) == 600
    assert [name for name in ("ledger_entry", "ledger_reservation") if after[name] != before[name]] == []


def commands_of(size: int) -> list[list[ledger.Command]]:
    """Batches in which columns agree and do not: of two accounts and of one; with expiries, limits, captures."""
    hard = HARD[:8]
    holds = [
        ledger.Reserve("ab"[number % 2], 1 + number % 3, hard[number % 8] + str(number), at=START)
        for number in range(size)
    ]
    labels = [{"project": hard[number % 8]} for number in range(size)]
    lapsing = [
        ledger.Reserve("a", 1, f"l{number}", timedelta(days=1), at=START, labels=labels[number])
        for number in range(size)
    ]
    same = [ledger.Reserve("a", 1, f"s{number}", at=START) for number in range(size)]
    # Those of `same`, which follow upon a grant, a limit, half of `holds`, and `lapsing`.
    first = 3 + size // 2 + size
    captures: list[ledger.Command] = [
        ledger.Capture(f"a/r{number}", 1, key=f"c{number}", at=START) for number in range(first, first + size)
    ]
    return [list(holds), list(lapsing), list(same), captures, [ledger.ExpireDue("a", later(days=2))]]


Writes = Callable[[PsycopgStore, list[Write]], list[Request]]


def as_rows(_store: PsycopgStore, writes: list[Write]) -> list[Request]:
    """Every row by itself."""
    return [postgresql._single(Write(write.shape, [row], write.is_update)) for write in writes for row in write.rows]


def as_arrays(_store: PsycopgStore, writes: list[Write]) -> list[Request]:
    """Every column of a write as an array."""
    requests = []
    for write in writes:
        columns = list(zip(*write.rows, strict=True))
        values = [array_of(kind, column) for kind, column in zip(write.shape.types, columns, strict=True)]
        sql = postgresql._write_of_many(write.shape, write.is_update, (False,) * len(columns))
        requests.append(Request(sql, values, is_planned_anew=True, has_rows=False))
    return requests


@pytest.mark.parametrize("size", [2, 14, 48])
@pytest.mark.parametrize("otherwise", [as_rows, as_arrays])
def test_the_book_is_the_same_whatever_goes_once(
    new_engine: Engine, monkeypatch: pytest.MonkeyPatch, otherwise: Writes, size: int
) -> None:
    monkeypatch.setattr(journal, "clock", lambda: to_moment(START))
    with Session(new_engine) as session:
        book = written(session, size)
    monkeypatch.setattr(PsycopgStore, "writes", otherwise)
    with Session(new_engine) as session:
        assert written(session, size) == book
    assert len(book["ledger_entry"]) > 4 * size


def written(session: Session, size: int) -> dict[str, list[str]]:
    """All rows of a book that batches have written, of which every one is accepted."""
    ledger.execute(session, [ledger.OpenAccount(name, START) for name in "ab"])
    ledger.execute(session, [ledger.GrantCredits(name, 10_000, at=START) for name in "ab"])
    ledger.execute(session, [ledger.SetLimit("a", "total", 10_000, "project", at=START)])
    for batch in commands_of(size):
        answers = ledger.execute(session, batch)
        assert [answer for answer in answers if isinstance(answer, Exception)] == []
    assert list(ledger.audit(session)) == []
    tables = [model.__table__.name for model in LedgerRow.__subclasses__()]  # type: ignore[attr-defined]
    return {name: sorted(map(repr, session.execute(text(f"SELECT * FROM {name}")).all())) for name in tables}
