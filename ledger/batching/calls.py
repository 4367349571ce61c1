"""One caller's command on its way through a batcher: its caller, its state and its outcome.

A call is queued, then either taken by the worker or withdrawn by its caller, never both: the batcher's lock decides
which. A taken call is settled exactly once, with a result or an error, and its caller is woken.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from contextlib import suppress
from copy import copy
from typing import Any

from ledger.commands import Command, is_repeatable
from ledger.errors import NotCarriedOut, OutcomeUnknown
from ledger.model.values import Result


class Call:
    """A command and its outcome; `is_doubtful` once the answer to a COMMIT that carried it was lost."""

    __slots__ = ("_error", "_result", "command", "is_doubtful", "is_settled", "is_taken")

    def __init__(self, command: Command) -> None:
        self.command = command
        self.is_taken = False
        self.is_doubtful = False
        self.is_settled = False
        self._result: Any = None
        self._error: BaseException | None = None

    @property
    def key(self) -> str | None:
        """The command's key, if it has one."""
        key: str | None = getattr(self.command, "key", None)
        return key

    @property
    def is_repeatable(self) -> bool:
        """True when carrying the command out a second time has no second effect."""
        return is_repeatable(self.command)

    def answer(self, result: Any) -> None:
        """Settle with the ledger's answer: a result or a rejection."""
        # A rejection refers to the frames of its batch; a copy does not, and belongs to this caller only.
        if isinstance(result, Exception):
            self._error = copy(result)
            self._error.__cause__ = result.__cause__
        else:
            self._result = result
        self.is_settled = True

    def fail(self, why: str, cause: BaseException) -> None:
        """Settle without an answer of the ledger: `OutcomeUnknown` when the call is doubtful, else `NotCarriedOut`."""
        kind = OutcomeUnknown if self.is_doubtful else NotCarriedOut
        self._error = kind(why, self.key)
        self._error.__cause__ = cause
        self.is_settled = True

    def blame(self, error: BaseException) -> None:
        """Settle with the error that the command itself caused."""
        if self.is_doubtful:
            self.fail("The command failed when it was repeated after a lost commit", error)
            return
        self._error = error
        self.is_settled = True

    def outcome(self) -> Result:
        """The result. Raises the rejection or error that the call was settled with."""
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None
        result: Result = self._result
        return result


class ThreadCall(Call):
    """A call whose caller is a thread, asleep on a lock of its own."""

    __slots__ = ("_settled",)

    def __init__(self, command: Command) -> None:
        super().__init__(command)
        self._settled = threading.Lock()
        self._settled.acquire()

    def wait(self, seconds: float | None) -> bool:
        """Sleep until the call is settled; False when it is not by then."""
        return self._settled.acquire(timeout=-1 if seconds is None else min(seconds, threading.TIMEOUT_MAX))

    def wake(self) -> None:
        """Wake the caller."""
        self._settled.release()


class TaskCall(Call):
    """A call whose caller is an asyncio task, awaiting a future of its own loop."""

    __slots__ = ("future", "loop")

    def __init__(self, command: Command, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(command)
        self.loop = loop
        self.future: asyncio.Future[None] = loop.create_future()


def wake(calls: Iterable[Call]) -> None:
    """Wake the callers of settled calls, each event loop interrupted once however many tasks it has."""
    loops: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for call in calls:
        if isinstance(call, ThreadCall):
            call.wake()
        elif isinstance(call, TaskCall):
            loops.setdefault(call.loop, []).append(call.future)
    for loop, futures in loops.items():
        # A loop that was closed meanwhile has no tasks any more, so nobody is left to be told.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, futures)


def _resolve(futures: Iterable[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
