"""The outbox, delivered by the service itself: each launched run is handed to the host's pipeline, at least once.

A task of the service delivers a start as soon as its launch has committed, and looks for others at an interval: starts
that failed, and starts of a process that died. Each is delivered in a transaction of its own, so that on SQLite other
writers wait for one handler at most. Where the service only answers requests, leave this out and call
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
    """Delivers the starts of runs to a handler while its context `running` is open."""

    def __init__(self, transactions: Transactions, handler: Handler, interval: timedelta) -> None:
        self._transactions = transactions
        self._handler = handler
        self._seconds = interval.total_seconds()
        self._due: anyio.Event | None = None

    def wake(self) -> None:
        """Tell the running task, if there is one, that a launch has committed. Call it on the event loop."""
        if self._due is not None:
            self._due.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deliver in the background. On exit, a handler that is still at work is waited for."""
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
        """Deliver every start that is due now."""
        try:
            while await self._deliver_one():
                await anyio.lowlevel.checkpoint_if_cancelled()
        except (SQLAlchemyError, LedgerError) as error:
            # A start that was not delivered stays in the outbox and is delivered later.
            warn("delivery", "database_unavailable", cause=cause_of(error))
        except Exception as error:  # noqa: BLE001  # no exception may end the application or later deliveries
            warn("delivery", "defect", cause=cause_of(error), places=places_of(error))

    async def _deliver_one(self) -> int:
        # Once the handler has the start, the delivery is recorded even if the application is ended meanwhile.
        with anyio.CancelScope(shield=True):
            report = await self._transactions.run(self._deliver, None, keyed=False)
        return report.count

    def _deliver(self, session: Session) -> DeliveryReport:
        report = deliver_outbox(session, self._handler, limit=1)
        for start_id in report.failed:
            warn("delivery", "start_failed", start_id=start_id)
        return report
