"""Loads a big book: two processes make the rows, this one writes them.

The schema is the final one before the first row is timed. PostgreSQL's secondary indexes are dropped while rows come in
and made again as the ledger's metadata has them, with the room in every page that it leaves by itself. SQLite's grow
with the rows: made in one go, all pages of an index would be full, and each of the keys that are timed would divide
one, which in the life of a book few do. Foreign keys are not checked meanwhile, and SQLite keeps no journal.
"""

from __future__ import annotations

import multiprocessing
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import closing
from multiprocessing.connection import wait
from typing import Any

from sqlalchemy import Engine, make_url
from sqlalchemy.orm import Session

import ledger
from benchmarks.books import START, Book, make_rows
from ledger.book.states import AccountState
from ledger.schema.tables import metadata
from ledger.storage import snapshots
from ledger.storage.shapes import Write
from ledger.storage.stores.base import write_of_row
from tests.postgres import connect

_OPENED_AT_ONCE = 1000


class Loader(ABC):
    """Writes rows on one kind of database, without what guards single calls."""

    @abstractmethod
    def write(self, writes: Sequence[Write]) -> None:
        """Insert rows, or update them by key."""

    @abstractmethod
    def close(self) -> None:
        """Commit what was written."""


class SqliteLoader(Loader):
    """`executemany` in one transaction, without a journal."""

    def __init__(self, url: str) -> None:
        self.connection = sqlite3.connect(make_url(url).database or "", isolation_level=None)
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "foreign_keys = OFF", "cache_size = -1000000"):
            self.connection.execute(f"PRAGMA {pragma}")
        self.connection.execute("BEGIN")

    def write(self, writes: Sequence[Write]) -> None:
        """Insert rows, or update them by key."""
        for write in writes:
            self.connection.executemany(write_of_row(write.shape, write.is_update, "?"), write.rows)

    def close(self) -> None:
        """Commit what was written."""
        self.connection.execute("COMMIT")
        self.connection.close()


class PostgresqlLoader(Loader):
    """`COPY`, without the triggers of foreign keys."""

    def __init__(self, url: str) -> None:
        self.connection = connect(url)
        self.connection.execute("SET session_replication_role = replica")
        self.connection.execute("SET synchronous_commit = off")

    def write(self, writes: Sequence[Write]) -> None:
        """Insert rows, or update them by key."""
        with self.connection.transaction(), self.connection.cursor() as cursor:
            for write in writes:
                if write.is_update:
                    changes = ", ".join(f"{name} = %s" for name in write.shape.columns[len(write.shape.key) :])
                    match = " AND ".join(f"{name} = %s" for name in write.shape.key)
                    size = len(write.shape.key)
                    rows = [(*row[size:], *row[:size]) for row in write.rows]
                    cursor.executemany(f"UPDATE {write.shape.table} SET {changes} WHERE {match}".encode(), rows)
                elif write.rows:
                    columns = ", ".join(write.shape.columns)
                    with cursor.copy(f"COPY {write.shape.table} ({columns}) FROM STDIN".encode()) as copy:
                        for row in write.rows:
                            copy.write_row(row)

    def close(self) -> None:
        """It is committed."""
        self.connection.close()


def load(url: str, book: Book) -> int:
    """Make and load a book into a new database; answers its number of entries."""
    engine = ledger.create_engine(url)
    try:
        ledger.upgrade(engine)
        states = _open_accounts(engine, list(book.accounts))
        is_sqlite = engine.dialect.name == "sqlite"
        indexes = [] if is_sqlite else [index for table in metadata.sorted_tables for index in table.indexes]
        with engine.begin() as connection:
            for index in indexes:
                index.drop(connection)
        engine.dispose()
        loader = SqliteLoader(url) if is_sqlite else PostgresqlLoader(url)
        count = _write_all(loader, states, book.accounts)
        loader.close()
        with engine.begin() as connection:
            for index in indexes:
                index.create(connection)
        _settle(engine)
        return count
    finally:
        engine.dispose()


def _settle(engine: Engine) -> None:
    """Have the database tidy up now, and not while something is timed.

    PostgreSQL is given what a vacuum between two calls would have left: statistics, and rows marked as committed by
    reading them. A vacuum itself would list every small hole in the loaded pages, and the calls that follow would
    fill those, each on a page of its own, which in the life of a book is the lot of one row in a hundred.
    """
    if engine.dialect.name == "sqlite":
        with closing(sqlite3.connect(engine.url.database or "")) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return
    with closing(connect(engine.url.render_as_string(hide_password=False))) as server:
        for table in metadata.sorted_tables:
            server.execute(f"ALTER TABLE {table.name} SET (autovacuum_enabled = off)".encode())
            server.execute(f"SELECT count(*) FROM {table.name}".encode())
        server.execute("ANALYZE")
        server.execute("CHECKPOINT")


def _open_accounts(engine: Engine, names: list[str]) -> list[AccountState]:
    """Open the accounts; answers them as they stand, in the order of their names given."""
    states: dict[str, AccountState] = {}
    for first in range(0, len(names), _OPENED_AT_ONCE):
        some = names[first : first + _OPENED_AT_ONCE]
        with Session(engine) as session, session.begin():
            ledger.execute(session, [ledger.OpenAccount(name, at=START) for name in some])
            states |= snapshots.read_accounts(session.connection(), some)
    return [states[name] for name in names]


def _write_all(loader: Loader, states: list[AccountState], entries: dict[str, int]) -> int:
    """Have the rows made beside this process, the hot account's apart, and write them as they come."""
    context = multiprocessing.get_context("spawn")
    receivers: list[Any] = []
    for share in (states[:1], states[1:]):
        receiver, sender = context.Pipe(duplex=False)
        wanted = {state.account_id: entries[state.account_id] for state in share}
        process = context.Process(target=_make, args=(share, wanted, sender), daemon=True)
        process.start()
        sender.close()
        receivers.append(receiver)
    count = 0
    while receivers:
        ready: Any
        for ready in wait(receivers):
            try:
                writes = ready.recv()
            except EOFError:
                raise SystemExit(
                    "a process that makes rows ended early. Read its error above, and run this again."
                ) from None
            if writes is None:
                receivers.remove(ready)
                ready.close()
                continue
            loader.write(writes)
            count += sum(len(write.rows) for write in writes if write.shape.table == "ledger_entry")
    return count


def _make(states: Sequence[AccountState], entries: dict[str, int], sender: Any) -> None:
    with closing(sender):
        for writes in make_rows(states, entries):
            sender.send(writes)
        sender.send(None)
