"""What begins a transaction that the library itself owns: said by who began it, sent by the store with the first reads.

Kept in the `info` of a connection from when its session begins until the connection goes back to its pool.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

from sqlalchemy import Pool, event

from ledger.storage.stores.base import Request

OPENING = "ledger_opening"
"""A key of a connection's `info`: the `Opening` of a transaction that has not begun."""

OPENED = "ledger_opened"
"""A key of a connection's `info`: a store began its transaction, past the driver, which believes in autocommit."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The settings of a transaction, names and values, that last until its end.

    With `is_each_alone` whatever is sent at once is a transaction of its own: for work that only reads, and only by the
    ledger's verbs.
    """

    settings: tuple[tuple[str, str], ...] = ()
    is_each_alone: bool = False

    def of_host(self) -> Opening:
        """The same for a transaction in which the host sends statements of its own."""
        return Opening(self.settings)

    def requests(self) -> list[Request]:
        """The statement that makes the settings, if there are any."""
        if not self.settings:
            return []
        calls = [f"set_config(${2 * index + 1}, ${2 * index + 2}, true)" for index in range(len(self.settings))]
        return [Request(f"SELECT {', '.join(calls)}", [part for pair in self.settings for part in pair])]


_closing: WeakSet[Pool] = WeakSet()


def close_openings(pool: Pool) -> None:
    """Make a pool's connections the driver's own again when they come back."""
    if pool not in _closing:
        # In this order: two threads may both listen, and none may go on before one does.
        event.listen(pool, "checkin", _close)
        _closing.add(pool)


def _close(connection: Any, record: Any) -> None:
    record.info.pop(OPENING, None)
    if not record.info.pop(OPENED, False) or connection is None or connection.closed:
        return
    try:
        connection.autocommit = False
    except Exception as error:  # noqa: BLE001  # whatever it is, nobody else may get this connection
        record.invalidate(error)
