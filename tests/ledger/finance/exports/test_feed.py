"""The feed: every entry once, each account's in order, whatever is written meanwhile."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import ledger
from ledger.finance import Cursor, entries_since, stream_book
from ledger.schema.triggers import remove_triggers
from tests.drivers import create_engine


def drain(engine: Engine, cursor: Cursor | None = None, limit: int = 7) -> tuple[list[tuple[str, int]], Cursor]:
    """What the feed gives until there is no more, a transaction a page, and the cursor behind it."""
    given: list[tuple[str, int]] = []
    while True:
        with Session(engine) as session:
            page = entries_since(session, cursor, limit=limit)
        given += [(entry.account_id, entry.sequence) for entry in page.entries]
        cursor = Cursor.from_json(page.cursor.to_json())
        assert len(page.entries) <= limit
        if page.is_last:
            return given, cursor


def everything(engine: Engine) -> set[tuple[str, int]]:
    with Session(engine) as session:
        return {(entry.account_id, entry.sequence) for entry in stream_book(session)}


@pytest.mark.parametrize("limit", [1, 7, 10_000])
def test_every_entry_is_given_once_and_then_what_is_new(book: Engine, limit: int) -> None:
    given, cursor = drain(book, limit=limit)
    assert len(given) == len(set(given))
    assert set(given) == everything(book)
    assert drain(book, cursor)[0] == []
    with Session(book) as session, session.begin():
        ledger.grant_credits(session, "zürich; a:b  c,d", 1, key="new")
    assert drain(book, cursor)[0] == [("zürich; a:b  c,d", 10)]


def test_entries_are_what_statements_have(book: Engine) -> None:
    with Session(book) as session:
        page = entries_since(session, limit=10_000)
        own = tuple(entry for entry in page.entries if entry.account_id == "Acme")
        assert own == ledger.get_statement(session, "Acme").entries


def test_a_busy_account_holds_up_no_other(book: Engine) -> None:
    _, cursor = drain(book)
    with Session(book) as session, session.begin():
        for name, count in (("Acme", 5), ("日本", 1)):
            ledger.execute(session, [ledger.GrantCredits(name, 1, f"k{number}") for number in range(count)])
    with Session(book) as session:
        first = entries_since(session, cursor, limit=3)
        second = entries_since(session, first.cursor, limit=3)
    names = [entry.account_id for entry in (*first.entries, *second.entries)]
    assert names in (["Acme"] * 3 + ["日本"] + ["Acme"] * 2, ["日本"] + ["Acme"] * 5)


def test_nothing_is_missed_or_doubled_while_others_write(engine: Engine) -> None:
    names = ["a", "b", "c"]
    with Session(engine) as session, session.begin():
        ledger.execute(session, [ledger.OpenAccount(name) for name in names])

    def write(number: int) -> None:
        for turn in range(15):
            commands = [ledger.GrantCredits(name, 1, f"{number}-{turn}") for name in names]
            ledger.run_transaction(engine, lambda session, given=commands: ledger.execute(session, given), keyed=True)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for writer in writers:
        writer.start()
    given: list[tuple[str, int]] = []
    cursor = None
    while any(writer.is_alive() for writer in writers):
        more, cursor = drain(engine, cursor)
        given += more
    for writer in writers:
        writer.join()
    given += drain(engine, cursor)[0]
    assert given == sorted(set(given), key=given.index)
    assert set(given) == everything(engine) == {(name, number) for name in names for number in range(1, 46)}
    for name in names:
        assert [sequence for account, sequence in given if account == name] == list(range(1, 46))


@pytest.mark.parametrize(
    "written",
    ["", "[]", "{}", '{"version":2,"after":"","positions":{}}', '{"version":1,"after":"","positions":{"a":-1}}'],
)
def test_what_is_no_cursor_is_refused(written: str) -> None:
    with pytest.raises(ledger.CommandInvalid, match="no cursor"):
        Cursor.from_json(written)


def test_the_cursor_of_another_book_and_a_limit_of_none_are_refused(book: Engine) -> None:
    with Session(book) as session:
        with pytest.raises(ledger.CommandInvalid, match="another book"):
            entries_since(session, Cursor({"acme": 10_000}))
        for limit in (0, 1.5, True, 100_001):
            with pytest.raises(ledger.CommandInvalid, match="limit"):
                entries_since(session, limit=limit)  # type: ignore[arg-type]


def later_book(engine: Engine, count: int) -> None:
    """Entries that another book has under the numbers of those that the cursor saw."""
    with Session(engine) as session, session.begin():
        for number in range(count):
            ledger.adjust(session, "acme", -1, reason="after the restore", key=f"new-{number}")


@pytest.mark.parametrize("written", [0, 1, 2, 3, 9])
def test_a_cursor_from_before_a_restore_is_refused_however_the_book_grew_since(tmp_path: Path, written: int) -> None:
    """Behind the cursor, level with it, and past it: nothing is skipped, and nothing is given twice."""
    file, copy = tmp_path / "book.sqlite", tmp_path / "copy.sqlite"
    engine = create_engine(f"sqlite:///{file}")
    ledger.upgrade(engine)
    with Session(engine) as session, session.begin():
        ledger.open_account(session, "acme")
        ledger.grant_credits(session, "acme", 100)
    engine.dispose()
    shutil.copy(file, copy)
    with Session(engine) as session, session.begin():
        for number in range(2):
            ledger.reserve(session, "acme", 10, key=f"lost-{number}")
    with Session(engine) as session:
        cursor = Cursor.from_json(entries_since(session).cursor.to_json())
    engine.dispose()
    for end in ("-wal", "-shm"):
        Path(f"{file}{end}").unlink(missing_ok=True)
    shutil.copy(copy, file)
    later_book(engine, written)
    with Session(engine) as session, pytest.raises(ledger.CommandInvalid, match="begin anew") as refused:
        entries_since(session, cursor)
    assert refused.value.field == "cursor"
    engine.dispose()


def test_a_cursor_of_an_account_that_the_book_does_not_have_is_refused(session: Session, acme: str) -> None:
    """The account was opened after the moment that was restored."""
    read = entries_since(session).cursor
    cursor = Cursor({**read.positions, "gone": 1}, read.after, {**read.heads, "gone": "00"})
    with pytest.raises(ledger.CommandInvalid, match="'gone', which is not here"):
        entries_since(session, cursor)


def test_a_cursor_of_the_first_version_goes_on_where_it_was(session: Session, acme: str) -> None:
    """It has no hashes; the page that follows gives one that has them."""
    old = Cursor.from_json('{"after":"acme","positions":{"acme":1},"version":1}')
    hold = ledger.reserve(session, acme, 1)
    page = entries_since(session, old)
    assert [entry.reservation_id for entry in page.entries] == [hold.reservation_id]
    assert page.cursor.heads == {"acme": page.entries[-1].hash}
    assert Cursor.from_json(page.cursor.to_json()) == page.cursor


def test_a_book_that_lacks_an_entry_is_told_and_not_passed_over(session: Session, acme: str) -> None:
    """The entry's row is gone; the account says that there is one."""
    ledger.reserve(session, acme, 1)
    remove_triggers(session.connection())
    session.execute(text("DELETE FROM ledger_transfer WHERE sequence = 2"))
    session.execute(text("DELETE FROM ledger_reservation"))
    session.execute(text("DELETE FROM ledger_entry WHERE sequence = 2"))
    with pytest.raises(ledger.AuditFailed, match="entries 1 to 2 are not all there"):
        entries_since(session)


@pytest.mark.parametrize(
    "written",
    [
        '{"after":"","positions":{"acme":1},"version":2}',
        '{"after":"","heads":{"acme":"xyz"},"positions":{"acme":1},"version":2}',
        '{"after":"","heads":[],"positions":{"acme":1},"version":2}',
        '{"after":"","heads":{},"positions":{"acme":1},"version":3}',
    ],
)
def test_a_cursor_that_was_changed_is_refused(written: str) -> None:
    """Heads that are no hashes, and versions that are not known."""
    with pytest.raises(ledger.CommandInvalid) as refused:
        Cursor.from_json(written)
    assert refused.value.field == "cursor"
