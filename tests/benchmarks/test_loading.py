"""A book that benchmarks load is one that single calls could have made."""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import ledger
from benchmarks.books import HOT, Book, moment_after
from benchmarks.loading import load
from ledger.model.moments import from_moment
from ledger.schema.tables import metadata

_INDEXES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'index'",
    "postgresql": "SELECT indexname FROM pg_indexes",
}


def test_a_loaded_book_proves_itself_and_has_its_entries_where_it_says(engine: Engine) -> None:
    book = Book(2_000)
    count = load(engine.url.render_as_string(hide_password=False), book)
    with Session(engine) as session:
        ledger.require_clean(session)
        found = dict(session.execute(text("SELECT account_id, max(sequence) FROM ledger_entry GROUP BY 1")).all())
    assert sum(found.values()) == count
    assert found.keys() == book.accounts.keys()
    assert all(found[name] >= entries for name, entries in book.accounts.items())


def test_a_loaded_book_has_every_index_and_goes_on_from_where_it_is(engine: Engine) -> None:
    load(engine.url.render_as_string(hide_password=False), Book(1_000))
    with Session(engine) as session, session.begin():
        found = set(session.execute(text(_INDEXES[engine.dialect.name])).scalars())
        assert {index.name for table in metadata.sorted_tables for index in table.indexes} <= found
        before = ledger.get_balance(session, HOT)
        ledger.reserve(session, HOT, Decimal(2), key="later")
        assert ledger.get_balance(session, HOT).held == before.held + 2
        past = ledger.get_balance(session, HOT, at=from_moment(moment_after(1) - 1))
        assert past.issued == 0
        ledger.require_clean(session, account_id=HOT)
