"""The outbox, delivered by the service itself: each launched run is handed to the host's pipeline, at least once.

A task of the service hands starts over as soon as a launch has committed, and looks for others (those that failed,
and those that another process left when it died) every so often. Each is handed over in a transaction of its own, so
that on SQLite nobody waits for more than one handler. Where the service only answers requests, leave this out and call
`ledger.deliver_outbox` from a worker.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import anyio
import anyio.lowlevel
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from ledger.errors import LedgerError
from ledger.fastapi.refusals import cause_of
from ledger.fastapi.telemetry import places_of, warn
from ledger.fastapi.transactions import Transactions
from ledger.outbox import DeliveryReport, Handler, deliver_outbox


class StartDelivery:
    """Hands the starts of runs to a handler for as long as its `running` lasts."""

    def __init__(self, transactions: Transactions, handler: Handler, interval: timedelta) -> None:
        self._transactions = transactions
        self._handler = handler
        self._seconds = interval.total_seconds()
        self._due: anyio.Event | None = None

    def wake(self) -> None:
        """Say that a launch has committed. From the event loop; nothing happens while it is not running."""
        if self._due is not None:
            self._due.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deliver in the background; a handler that is at work at the end is waited for."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._run)
            yield
            tasks.cancel_scope.cancel()

    async def _run(self) -> None:
        while True:
            self._due = anyio.Event()
            await self.drain()
            with anyio.move_on_after(self._seconds):
                await self._due.wait()

    async def drain(self) -> None:
        """Hand over what is due now."""
        try:
            while await self._deliver_one():
                await anyio.lowlevel.checkpoint_if_cancelled()
        except (SQLAlchemyError, LedgerError) as error:
            # What was not handed over is still there, and is handed over later.
            warn("delivery", "database_unavailable", cause=cause_of(error))
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not end the application, nor later deliveries
            warn("delivery", "defect", cause=cause_of(error), places=places_of(error))

    async def _deliver_one(self) -> int:
        # A start that the handler has is also to be written down as delivered, whoever ends the application meanwhile.
        with anyio.CancelScope(shield=True):
            report = await self._transactions.run(self._deliver, keyed=False)
        return report.count

    def _deliver(self, session: Session) -> DeliveryReport:
        report = deliver_outbox(session, self._handler, limit=1)
        for start_id in report.failed:
            warn("delivery", "start_failed", start_id=start_id)
        return report
