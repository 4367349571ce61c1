"""Sessions of transactions that the library owns: their BEGIN and settings wait for what is sent first.

When a verb is the first to use the session, they go along with the verb's reads, without a round trip of their own.
When the host's own statement comes first, they are sent before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.orm import Session

from ledger.errors import TransactionEnded
from ledger.storage.shapes import Write
from ledger.storage.stores import store_of
from ledger.storage.stores.opening import OPENING, Opening, close_openings


class OwnSession(Session):
    """A session for one transaction; `opening` is what begins it.

    `is_committing`: the commit has been sent along with the last writes. `warnings` are what the server gave of it.
    """

    def __init__(self, bind: Any, *, opening: Opening, **options: Any) -> None:
        super().__init__(bind, expire_on_commit=False, **options)
        self.opening = opening
        self.is_for_verb = False
        self.begun: Connection | None = None
        self.is_committing = False
        self.warnings: list[str] = []


def begun_by(session: Session) -> Connection | None:
    """The connection on which an `OwnSession` has begun; None before its first use."""
    return session.begun if isinstance(session, OwnSession) else None


def write_and_commit(session: OwnSession, connection: Connection, writes: Sequence[Write]) -> None:
    """Carry out the last writes of a session, and commit with them where its store can."""
    store = store_of(connection)
    requests = store.writes([write for write in writes if write.rows])
    commit = store.commit_request(connection) if requests else None
    if commit is not None:
        session.warnings = store.commit_warnings(connection)
        session.is_committing = True
        requests.append(commit)
    if requests:
        store.run(connection, requests)


def ready_to_commit(session: Session) -> None:
    """Listen for what the server says of the commit to come.

    Raises `TransactionEnded` where SQL of the work's own has ended the transaction.
    """
    if not isinstance(session, OwnSession) or session.begun is None or session.is_committing:
        return
    store = store_of(session.begun)
    if store.has_ended(session.begun):
        raise TransactionEnded
    session.warnings = store.commit_warnings(session.begun)


@event.listens_for(OwnSession, "after_begin")
def _begin(session: OwnSession, transaction: Any, connection: Connection) -> None:
    if transaction.nested:
        return
    session.begun = connection
    store = store_of(connection)
    if not store.can.pipelines:
        for request in session.opening.requests() if store.can.hides_rows else ():
            store.run(connection, [request])
        return
    close_openings(connection.engine.pool)
    connection.info[OPENING] = session.opening if session.is_for_verb else session.opening.of_host()
    if not session.is_for_verb:
        # The driver would send a BEGIN of its own, in as many round trips, and nobody would know of its end.
        store.run(connection, [])
