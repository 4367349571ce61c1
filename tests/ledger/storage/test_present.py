"""An account as it stands at a moment: lapses in memory only, no lock, and no two moments mixed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.orm import Session

import ledger
from ledger.book.states import AccountState
from ledger.model.moments import to_moment
from ledger.storage import present, snapshots
from ledger.storage.stores.base import Store
from tests.drivers import create_engine
from tests.ledger.conftest import START, Stored, later
from tests.ledger.statements import STORES


@pytest.fixture
def asleep(session: Session, acme: str) -> str:
    """An account of 10 credits of which 4 were held until one second later."""
    ledger.reserve(session, acme, 4, expires_in=timedelta(seconds=1), at=START)
    return acme


def test_what_has_come_due_by_the_moment_is_recorded_in_memory_only(
    session: Session, asleep: str, stored: Stored
) -> None:
    before = stored()
    early, late = (present.read_present(session, asleep, to_moment(later(second)), entries=True) for second in (0.5, 1))
    assert (early.sequence, early.buckets[1:3]) == (2, [6_000_000, 4_000_000])
    assert (late.sequence, late.buckets[1:3]) == (3, [10_000_000, 0])
    assert [posting.kind for posting in late.postings] == ["expire"]
    assert stored() == before


def test_a_sketch_has_the_same_figures_and_no_entries(session: Session, asleep: str) -> None:
    """What a reading of a balance needs; nothing is hashed for it."""
    sketch = present.read_present(session, asleep, to_moment(later(1)))
    whole = present.read_present(session, asleep, to_moment(later(1)), entries=True)
    assert (sketch.buckets, sketch.sequence, sketch.at) == (whole.buckets, whole.sequence, whole.at)
    assert sketch.postings == []


def test_grants_are_read_where_they_are_asked_for_or_something_is_due(session: Session, asleep: str) -> None:
    moment = to_moment(later(0.5))
    assert present.read_present(session, asleep, moment).grants == {}
    assert list(present.read_present(session, asleep, moment, grants=True).grants) == [1]
    assert list(present.read_present(session, asleep, to_moment(later(1))).grants) == [1]


def test_an_account_that_is_not_open_is_refused(session: Session) -> None:
    with pytest.raises(ledger.AccountNotFound):
        present.read_present(session, "nobody", 0)


@pytest.fixture
def overtaken(session: Session, asleep: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An account to which somebody writes between the two reads of every attempt; what was done, in order."""
    done: list[str] = []
    read = snapshots.read_accounts

    def begin(*given: Any) -> dict[str, AccountState]:
        done.append("read")
        return read(*given)

    def overtake(*_: object) -> bool:
        done.append("overtaken")
        return True

    monkeypatch.setattr(snapshots, "read_accounts", begin)
    monkeypatch.setattr(present, "is_overtaken", overtake)
    for kind in STORES:
        monkeypatch.setattr(kind, "lock_database", noted(kind.lock_database, done))
    return done


def noted(lock: Callable[[Store, Connection], None], done: list[str]) -> Callable[[Store, Connection], None]:
    """A store's lock of the database that says when it is taken."""

    def taken(store: Store, connection: Connection) -> None:
        done.append("locked")
        lock(store, connection)

    return taken


def test_a_read_that_is_overtaken_is_repeated_and_at_last_made_where_no_writer_disturbs_it(
    session: Session, overtaken: list[str]
) -> None:
    """Eight times beside the writers; then from a snapshot of PostgreSQL, or with SQLite's lock."""
    session.commit()
    state = present.read_unlocked(session, "acme", lambda _: snapshots.Needs({"acme"}, 0, 0, all_grants={"acme"}))
    is_locked = session.get_bind().dialect.name == "sqlite"
    assert overtaken == ["read", "overtaken"] * 8 + ["locked"] * is_locked + ["read"]
    assert (state.sequence, list(state.grants)) == (2, [1])


def test_a_read_is_overtaken_by_whoever_writes_an_entry_of_the_account(session: Session, asleep: str) -> None:
    """An entry of another account changes nothing."""
    connection = session.connection()
    state = snapshots.read_accounts(connection, [asleep])[asleep]
    ledger.open_account(session, "other", at=START)
    ledger.grant_credits(session, "other", 1, at=START)
    assert not snapshots.is_overtaken(connection, state)
    ledger.reserve(session, asleep, 1, at=START)
    assert snapshots.is_overtaken(connection, state)


def test_a_read_of_the_accounts_row_alone_cannot_be_overtaken(session: Session, overtaken: list[str]) -> None:
    assert present.read_unlocked(session, "acme", lambda _: None).grants == {}
    assert overtaken == ["read"]


def test_a_read_that_nobody_overtakes_takes_no_lock(postgresql_url: str) -> None:
    """Another session writes to the account while this one's transaction is still open."""
    engine = create_engine(postgresql_url)
    with Session(engine) as session, session.begin():
        ledger.open_account(session, "acme", at=START)
        ledger.grant_credits(session, "acme", 10, at=START)
    with Session(engine) as reader:
        present.read_present(reader, "acme", to_moment(START), grants=True)
        with Session(engine) as writer, writer.begin():
            assert ledger.reserve(writer, "acme", 1, at=START).amount == 1
    engine.dispose()
