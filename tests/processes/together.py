"""Runs one task in many processes at the same moment, and gathers what each answered.

The processes are forked from a server that has imported everything once, so that sixty-four real processes cost a
second, and wait for each other at a barrier, so that they really collide.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from typing import Any

from sqlalchemy import Engine, NullPool, text

import ledger

Task = Callable[[Engine, int], Any]
"""Is given an engine and the caller's number; what it answers or raises must pickle."""

_PATIENCE_SECONDS = 120
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(
    [
        *("tests.processes.together", "tests.processes.tasks", "psycopg", "sqlite3", "estimator"),
        # What `create_engine` imports when it is called.
        *("sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.dialects.sqlite.pysqlite"),
        "tests.processes.frozen",
    ]
)


def run_together(url: str, task: Task, callers: int) -> list[Any]:
    """What `task` answered in each of `callers` processes, a refusal of the ledger as the exception itself."""
    barrier = context.Barrier(callers)
    pipes = [context.Pipe(duplex=False) for _ in range(callers)]
    processes = [
        context.Process(target=_call, args=(url, task, number, barrier, sender), daemon=True)
        for number, (_, sender) in enumerate(pipes)
    ]
    for process in processes:
        process.start()
    for _, sender in pipes:
        sender.close()
    try:
        return [_received(receiver) for receiver, _ in pipes]
    finally:
        for process in processes:
            process.kill()
            process.join()
            process.close()
        for receiver, _ in pipes:
            receiver.close()


def _received(receiver: Any) -> Any:
    if not receiver.poll(_PATIENCE_SECONDS):
        raise TimeoutError("a caller gave no answer")
    is_refusal, answer = receiver.recv()
    if not is_refusal and isinstance(answer, BaseException):
        raise answer
    return answer


def _call(url: str, task: Task, number: int, barrier: Barrier, sender: Any) -> None:
    engine = ledger.create_engine(url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        barrier.wait(_PATIENCE_SECONDS)
        sender.send((False, task(engine, number)))
    except ledger.LedgerError as refusal:
        sender.send((True, refusal))
    except BaseException as error:  # noqa: BLE001  # whatever it was is raised again in the test
        sender.send((False, RuntimeError(f"caller {number}: {type(error).__name__}: {error}")))
    finally:
        engine.dispose()
        sender.close()
