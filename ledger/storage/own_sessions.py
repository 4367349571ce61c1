"""Transactions that the library owns, and their sessions: their BEGIN and settings wait for what is sent first.

When a verb is the first to use the session, they go along with the verb's reads, without a round trip of their own.
When the host's own statement comes first, they are sent before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.orm import Session

from ledger.errors import TransactionEnded
from ledger.storage.shapes import Write
from ledger.storage.stores import store_of
from ledger.storage.stores.opening import OPENING, Opening, close_openings


@dataclass(slots=True)
class Ending:
    """How a transaction of the library's own ends.

    `is_committing`: the commit was sent, or is being sent. `warnings` are what the server gave of it.
    """

    is_committing: bool = False
    warnings: list[str] = field(default_factory=list)


class OwnSession(Session):
    """A session for one transaction; `opening` is what begins it, and `ending` how it ends."""

    def __init__(self, bind: Any, *, opening: Opening, ending: Ending, **options: Any) -> None:
        super().__init__(bind, expire_on_commit=False, **options)
        self.opening = opening
        self.ending = ending
        self.is_for_verb = False
        self.begun: Connection | None = None


def read_alone_from_here(session: Session) -> None:
    """Let each reading of an `OwnSession` be a transaction of its own, if nothing was sent in it yet."""
    if isinstance(session, OwnSession) and session.begun is None:
        session.opening = replace(session.opening, is_each_alone=True)


def begun_by(session: Session) -> Connection | None:
    """The connection on which an `OwnSession` has begun; None before its first use."""
    return session.begun if isinstance(session, OwnSession) else None


@event.listens_for(OwnSession, "after_begin")
def _begin(session: OwnSession, transaction: Any, connection: Connection) -> None:
    if not transaction.nested:
        session.begun = connection
        # A savepoint that comes first would take the settings back when it is rolled back.
        is_for_verb = session.is_for_verb and session.get_nested_transaction() is None
        begin_own(connection, session.opening, is_for_verb=is_for_verb)


def begin_own(connection: Connection, opening: Opening, *, is_for_verb: bool) -> None:
    """Begin a transaction of the library's own, or leave that to the first statements of a verb."""
    store = store_of(connection)
    if not store.can.pipelines:
        for request in opening.requests() if store.can.hides_rows else ():
            store.run(connection, [request])
        return
    close_openings(connection.engine.pool)
    connection.info[OPENING] = opening if is_for_verb else opening.of_host()
    if not is_for_verb:
        # The driver would send a BEGIN of its own, in as many round trips, and nobody would know of its end.
        store.run(connection, [])


def write_and_commit(connection: Connection, writes: Sequence[Write], ending: Ending) -> None:
    """Carry out the last writes of a transaction, and commit with them where its store can."""
    store = store_of(connection)
    requests = store.writes([write for write in writes if write.rows])
    commit = store.commit_request(connection) if requests else None
    if commit is not None:
        ending.warnings = store.commit_warnings(connection)
        ending.is_committing = True
        requests.append(commit)
    if requests:
        store.run(connection, requests)


def ready_to_commit(connection: Connection, ending: Ending) -> None:
    """Listen for what the server says of the commit to come, unless it was sent already.

    Raises `TransactionEnded` where SQL of the work's own has ended the transaction.
    """
    if ending.is_committing:
        return
    store = store_of(connection)
    if store.has_ended(connection):
        raise TransactionEnded
    ending.warnings = store.commit_warnings(connection)
