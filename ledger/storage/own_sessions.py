"""Sessions of transactions that the library owns: their BEGIN and settings wait for what is sent first.

When a verb is the first to use the session, they go along with the verb's reads, without a round trip of their own.
When the host's own statement comes first, they are sent before it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.orm import Session

from ledger.errors import TransactionEnded
from ledger.storage.stores import store_of
from ledger.storage.stores.opening import OPENING, Opening, close_openings


class OwnSession(Session):
    """A session for one transaction; `opening` is what begins it."""

    def __init__(self, bind: Any, *, opening: Opening, **options: Any) -> None:
        super().__init__(bind, expire_on_commit=False, **options)
        self.opening = opening
        self.is_for_verb = False
        self.begun: Connection | None = None


def check_open(session: Session) -> None:
    """Raise `TransactionEnded` where SQL of the work's own has ended the transaction."""
    begun = session.begun if isinstance(session, OwnSession) else None
    if begun is not None and store_of(begun).has_ended(begun):
        raise TransactionEnded


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
