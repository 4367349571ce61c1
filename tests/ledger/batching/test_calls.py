"""Waking callers: one that is gone is no reason to leave the others asleep."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ledger import Reserve
from ledger.batching.calls import Call, TaskCall, ThreadCall, wake

COMMAND = Reserve("acme", 1, "k")


def settle(*calls: Call) -> None:
    """Settle calls and wake their callers."""
    for call in calls:
        call.answer(call)
    wake(calls)


def test_a_closed_loop_keeps_nobody_else_asleep() -> None:
    closed, running = asyncio.new_event_loop(), asyncio.new_event_loop()
    gone, waiting, thread = TaskCall(COMMAND, closed), TaskCall(COMMAND, running), ThreadCall(COMMAND)
    closed.close()
    settle(gone, waiting, thread)
    assert thread.wait(0)
    running.run_until_complete(asyncio.wait_for(waiting.future, 10))
    running.close()
    assert waiting.outcome() is waiting


def test_a_cancelled_future_keeps_no_other_task_of_its_loop_asleep() -> None:
    complaints: list[dict[str, Any]] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, complaint: complaints.append(complaint))
        cancelled, waiting = TaskCall(COMMAND, loop), TaskCall(COMMAND, loop)
        cancelled.future.cancel()
        settle(cancelled, waiting)
        await asyncio.wait_for(waiting.future, 10)

    asyncio.run(scenario())
    assert complaints == []


def test_a_loop_is_interrupted_once_however_many_of_its_tasks_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> int:
        loop = asyncio.get_running_loop()
        interruptions: list[Any] = []
        interrupt = loop.call_soon_threadsafe

        def count(*arguments: Any, **options: Any) -> Any:
            interruptions.append(arguments)
            return interrupt(*arguments, **options)

        monkeypatch.setattr(loop, "call_soon_threadsafe", count)
        calls = [TaskCall(COMMAND, loop) for _ in range(50)]
        settle(*calls)
        await asyncio.wait_for(asyncio.gather(*(call.future for call in calls)), 10)
        return len(interruptions)

    assert asyncio.run(scenario()) == 1


def test_every_thread_is_woken_exactly_once() -> None:
    calls = [ThreadCall(COMMAND) for _ in range(6)]
    settle(*calls)
    assert [call.wait(0) for call in calls] == [True] * 6
    assert [call.wait(0) for call in calls] == [False] * 6
