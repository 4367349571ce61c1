"""PostgreSQL's writes of many rows: what goes once for all of them, and that the book is the same either way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

import ledger
from ledger.model.moments import to_moment
from ledger.schema.tables import CardRow, LedgerRow, ReservationRow
from ledger.storage import journal
from ledger.storage.postgresql import writes
from ledger.storage.postgresql.writes import SAME_FROM, write_statement
from ledger.storage.shapes import RowShape, Write
from ledger.storage.writes import execute_writes
from tests.ledger.conftest import START, later

CARD = RowShape.of(CardRow)
HARD = ['"', "\\", '","', "{}", "NULL", "é\u2028", ":row", "$1"]


def rows_of(size: int) -> list[tuple[Any, ...]]:
    """Cards of one account with one text."""
    return [("acme", f"card-{number}", '{"a":"\\","}') for number in range(size)]


@pytest.mark.parametrize("size", [2, SAME_FROM - 1])
def test_few_rows_go_as_arrays_however_much_they_agree(size: int) -> None:
    _, parameters = write_statement([Write(CARD, rows_of(size))])
    assert list(parameters) == ["a0", "a1", "a2"]


def test_what_many_rows_agree_in_goes_once() -> None:
    rows = rows_of(SAME_FROM)
    _, parameters = write_statement([Write(CARD, rows), Write(CARD, rows[:1])])
    assert list(parameters) == ["a0", "row"]
    assert parameters["a0"].count("card-") == SAME_FROM
    assert parameters["row"].count("acme") == 2


@pytest.mark.parametrize("place", [0, 1, SAME_FROM // 2, SAME_FROM - 1])
def test_one_row_that_differs_is_not_overlooked(place: int) -> None:
    rows = rows_of(SAME_FROM)
    rows[place] = ("acme", f"card-{place}", "other")
    _, parameters = write_statement([Write(CARD, rows)])
    assert list(parameters) == ["a0", "a1", "row"]
    assert parameters["a1"].count("other") == 1


@pytest.mark.parametrize("size", [2, SAME_FROM])
def test_rows_that_are_the_same_in_everything_are_for_the_table_to_refuse(session: Session, size: int) -> None:
    ledger.open_account(session, "acme")
    with pytest.raises(IntegrityError):
        execute_writes(session.connection(), [Write(CARD, rows_of(1) * size)])


VALUES = {"bigint": 1, "smallint": 1, "text": "x", "bytea": b"x"}


@pytest.mark.parametrize("model", LedgerRow.__subclasses__())
def test_postgresql_takes_every_table_s_statement(postgresql_url: str, model: type[LedgerRow]) -> None:
    shape = RowShape.of(model)
    varying = shape.columns.index(shape.key[-1])
    rows = [[VALUES[kind] for kind in shape.types] for _ in range(SAME_FROM)]
    for number, row in enumerate(rows):
        row[varying] = f"x{number}" if shape.types[varying] == "text" else number
    engine = ledger.create_engine(postgresql_url)
    with engine.connect() as connection:
        # What finds the rows of an update goes as arrays, all of it.
        for is_update, arrays in ((False, 1), (True, len(shape.key))):
            statement, parameters = write_statement([Write(shape, [tuple(row) for row in rows], is_update)])
            assert list(parameters) == [*(f"a{number}" for number in range(arrays)), "row"]
            assert connection.exec_driver_sql(f"EXPLAIN {statement.pyformat}", parameters).all()
    engine.dispose()


def test_an_update_finds_its_rows_one_by_one_however_many_the_account_has(postgresql_url: str) -> None:
    engine = ledger.create_engine(postgresql_url)
    shape = RowShape.of(ReservationRow, ("captured", "freed"))
    with Session(engine) as session, session.begin():
        ledger.open_account(session, "acme")
        ledger.grant_credits(session, "acme", 10_000)
        ledger.execute(session, [ledger.Reserve("acme", 1) for _ in range(2000)])
        session.execute(text("ANALYZE ledger_reservation"))
        statement, parameters = write_statement(
            [Write(shape, [("acme", 2 + number, 0, 0) for number in range(SAME_FROM)], is_update=True)]
        )
        session.execute(text("SET LOCAL enable_hashjoin = off"))
        session.execute(text("SET LOCAL enable_mergejoin = off"))
        explained = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.pyformat}"
        (found,) = session.connection().exec_driver_sql(explained, parameters).scalar_one()
    engine.dispose()
    scans = [step for step in steps_of(found["Plan"]) if "Index Cond" in step]
    assert scans
    assert all("number" in step["Index Cond"] for step in scans)


def steps_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan's steps, from the outermost inwards."""
    yield plan
    for inner in plan.get("Plans", ()):
        yield from steps_of(inner)


def commands_of(size: int) -> list[list[ledger.Command]]:
    """Batches in which columns agree and do not: of two accounts and of one; with expiries, limits, captures."""
    holds = [
        ledger.Reserve("ab"[number % 2], 1 + number % 3, HARD[number % 8] + str(number), at=START)
        for number in range(size)
    ]
    labels = [{"project": HARD[number % 8]} for number in range(size)]
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


@pytest.mark.parametrize("size", [SAME_FROM - 2, SAME_FROM, 3 * SAME_FROM])
def test_the_book_is_the_same_whatever_goes_once(
    session: Session,
    stored: Callable[[], dict[str, list[Any]]],
    monkeypatch: pytest.MonkeyPatch,
    size: int,
) -> None:
    monkeypatch.setattr(journal, "clock", lambda: to_moment(START))
    books = []
    for same_from in (2, 10**6):
        monkeypatch.setattr(writes, "SAME_FROM", same_from)
        with session.begin_nested() as once:
            ledger.execute(session, [ledger.OpenAccount(name, START) for name in "ab"])
            ledger.execute(session, [ledger.GrantCredits(name, 10_000, at=START) for name in "ab"])
            ledger.execute(session, [ledger.SetLimit("a", "total", 10_000, "project", at=START)])
            for batch in commands_of(size):
                answers = ledger.execute(session, batch)
                assert [answer for answer in answers if isinstance(answer, Exception)] == []
            assert list(ledger.audit(session)) == []
            books.append(stored())
            once.rollback()
    assert books[0] == books[1]
    assert len(books[0]["ledger_entry"]) > 4 * size
