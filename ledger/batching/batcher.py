"""Gathers concurrent callers into committed batches: for a service whose many threads or tasks share few accounts.

    with ledger.Batcher(engine) as batcher:
        hold = batcher.execute(Reserve("acme", 5, key="k1"))                     # any thread
        hold = await batcher.execute_async(Reserve("acme", 5, key="k2"))         # any asyncio task

An account is one row, and a row is locked until its transaction is on the disk. Callers with a transaction each
therefore wait for the disk one after another. A batcher has one thread that carries out all queued commands, up to
`batch_max`, in one transaction. It never waits for a batch to fill: commands that arrive during a commit form the next
batch. What it promises:

- **Committed, then answered.** A caller gets its result only after the COMMIT that carries it; a rejection is raised
  to its own caller and disturbs no other.
- **In order.** Commands are carried out in the order in which they were queued.
- **Bounded.** With `queue_max` commands waiting, the next is refused with `QueueFull` and not queued.
- **Giving up is clear.** A command whose caller times out, is interrupted or is cancelled while it is queued is
  certainly not carried out (`NotCarriedOut`). A command already taken may be: `OutcomeUnknown`, or a note on the
  `CancelledError`, says to repeat it with its key.
- **A failing database leaves no guess.** A transaction that was certainly rolled back is tried again, up to `attempts`
  times; then its commands are `NotCarriedOut`. When the answer to a COMMIT is lost, commands with a key, and those
  without a second effect (`OpenAccount`, `ExpireDue`, `GetBalance`), are repeated, and may be answered as a replay;
  the others are `OutcomeUnknown`.
- **A broken command harms itself only.** When a command breaks its batch, its neighbours are carried out without it.
- **Closing drops nothing.** `close()`, or the end of the `with` block, refuses new commands, finishes those queued and
  ends the thread. A process that ends without it does the same at its exit.
- **Row-level security** by account lets a transaction see one account only, and a batch has those of many: give the
  batcher an engine whose role sees all accounts, and check who may use an account before queueing its command.
- **One process.** A batcher belongs to the process that made it; in a forked child it refuses with `BatcherClosed`.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import time
from collections import OrderedDict
from itertools import islice
from types import TracebackType
from typing import Self

from sqlalchemy import Engine

from ledger.batching.attempts import carry_out
from ledger.batching.calls import Call, TaskCall, ThreadCall, wake
from ledger.commands import Command
from ledger.errors import BatcherClosed, NotCarriedOut, OutcomeUnknown, QueueFull
from ledger.model.values import Result
from ledger.schema.databases import check_synchronous

_TIMED_OUT = "The caller's time ran out"
_NOTE_QUEUED = "The ledger command was still queued: it is certainly not carried out."
_NOTE_TAKEN = "The ledger command was already taken and may be carried out: repeat it unchanged, with its key."


class Batcher:
    """Carries out the commands of many threads and tasks in shared transactions; see the module for its promises.

    `engine` is a synchronous engine prepared by `create_engine` or `prepare_engine`; the batcher uses one connection
    of it at a time. `batch_max` bounds the commands in a transaction, `queue_max` those waiting for one, `attempts`
    the transactions that a command is given when the database fails. Raises `EngineUnusable`, `DatabaseUnsupported`.
    """

    def __init__(self, engine: Engine, *, batch_max: int = 1000, queue_max: int = 10_000, attempts: int = 4) -> None:
        for name, value in (("batch_max", batch_max), ("queue_max", queue_max), ("attempts", attempts)):
            if type(value) is not int or value < 1:
                raise ValueError(f"{name} is {value!r}; give a whole number of at least 1")
        self._engine = check_synchronous(engine)
        self._batch_max = batch_max
        self._queue_max = queue_max
        self._attempts = attempts
        self._process = os.getpid()
        self._queue: OrderedDict[Call, None] = OrderedDict()
        self._changed = threading.Condition(threading.Lock())
        self._is_idle = False
        self._is_closing = False
        self._worker = threading.Thread(target=self._work, name="ledger-batcher", daemon=True)
        self._worker.start()
        # A daemon thread does not delay the exit, and still runs during exit functions: nothing queued is lost.
        atexit.register(self.close)

    @property
    def waiting(self) -> int:
        """How many commands are queued and not yet taken, for a gauge."""
        return len(self._queue)

    def execute(self, command: Command, timeout: float | None = None) -> Result:
        """Carry out a command in the next batch and return its result, once that batch is committed.

        Blocks the calling thread for at most `timeout` seconds (None: as long as it takes). Raises the command's own
        rejection; `QueueFull` and `BatcherClosed` before it is queued; `NotCarriedOut` and `OutcomeUnknown`.
        """
        _check_timeout(timeout)
        call = ThreadCall(command)
        self._put(call)
        try:
            is_settled = call.wait(timeout)
        except BaseException as interruption:
            self._abandon(call, interruption)
            raise
        if not is_settled:
            self._give_up(call)
        return call.outcome()

    async def execute_async(self, command: Command, timeout: float | None = None) -> Result:
        """As `execute`, for an asyncio task: its event loop is not blocked, and no thread waits.

        A cancelled task gets its `CancelledError`, with a note that says whether the command may be carried out.
        """
        _check_timeout(timeout)
        call = TaskCall(command, asyncio.get_running_loop())
        self._put(call)
        try:
            if timeout is None:
                await call.future
            else:
                await asyncio.wait((call.future,), timeout=timeout)
        except BaseException as interruption:
            self._abandon(call, interruption)
            raise
        if not call.is_settled:
            self._give_up(call)
        return call.outcome()

    def close(self) -> None:
        """Refuse new commands, finish those that are queued, end the thread. May be called again, by any thread.

        From an event loop, `await asyncio.to_thread(batcher.close)` or `async with`. In a forked child it does nothing.
        """
        if os.getpid() != self._process:
            return
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._worker.join()
        atexit.unregister(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    def _put(self, call: Call) -> None:
        # Before the lock: a fork may have copied it locked by a thread that the child does not have.
        if os.getpid() != self._process:
            raise BatcherClosed("The batcher was made before this process was forked")
        with self._changed:
            if self._is_closing:
                raise BatcherClosed
            if len(self._queue) >= self._queue_max:
                raise QueueFull(self._queue_max)
            self._queue[call] = None
            if self._is_idle:
                self._is_idle = False
                self._changed.notify()

    def _withdraw(self, call: Call) -> bool:
        """Remove a call from the queue; False when the worker has taken it already."""
        with self._changed:
            if call.is_taken:
                return False
            del self._queue[call]
            return True

    def _give_up(self, call: Call) -> None:
        """End a wait that took too long, unless the answer has just arrived."""
        if self._withdraw(call):
            raise NotCarriedOut(f"{_TIMED_OUT} while the command was queued", call.key)
        if not call.is_settled:
            raise OutcomeUnknown(f"{_TIMED_OUT} while the batch was under way", call.key)

    def _abandon(self, call: Call, interruption: BaseException) -> None:
        interruption.add_note(_NOTE_QUEUED if self._withdraw(call) else _NOTE_TAKEN)

    def _work(self) -> None:
        while calls := self._take():
            try:
                carry_out(self._engine, calls, self._attempts)
            except BaseException as error:  # noqa: BLE001  # no caller may wait for ever
                self._fail_open(calls, error)
            self._let_in(len(calls))

    def _fail_open(self, calls: list[Call], error: BaseException) -> None:
        unsettled = [call for call in calls if not call.is_settled]
        for call in unsettled:
            call.is_doubtful = True
            call.fail("The batcher itself failed", error)
        wake(unsettled)

    def _let_in(self, answered: int) -> None:
        """Give the threads just answered the interpreter, for as long as they queue further commands.

        Otherwise the next batch begins with the first of them, and callers who return at once form two halves that
        pay for a commit each: with 32 threads that costs a fifth of the commands a second.
        """
        seen = -1
        while answered > 1 and seen < len(self._queue) < answered:
            seen = len(self._queue)
            time.sleep(0)

    def _take(self) -> list[Call]:
        """The next batch, in the order of arrival; none once the batcher is closed and everything is done."""
        with self._changed:
            while not self._queue:
                if self._is_closing:
                    return []
                self._is_idle = True
                self._changed.wait()
            self._is_idle = False
            calls = list(islice(self._queue, self._batch_max))
            for call in calls:
                del self._queue[call]
                call.is_taken = True
            return calls


def _check_timeout(timeout: float | None) -> None:
    if timeout is not None and not timeout >= 0:
        raise ValueError(f"timeout is {timeout!r}; give seconds of 0 or more, or None to wait as long as it takes")
