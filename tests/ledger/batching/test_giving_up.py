"""What callers who run out of time, are interrupted or are cancelled may rely on."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine

import ledger
from ledger import Batcher
from ledger import Reserve as Hold
from ledger.batching import batcher as batching
from ledger.batching.calls import ThreadCall
from tests.ledger.batching.gates import PATIENCE_SECONDS, Gate, behind, book, enqueue, notes, occupy, replayed, until


def test_a_caller_out_of_time_whose_command_is_queued_may_rely_on_it_not_being_carried_out(
    funded: Engine, gate: Gate, callers: ThreadPoolExecutor
) -> None:
    with behind(gate, funded, queue_max=1) as batcher:
        occupy(batcher, gate, callers)
        with pytest.raises(ledger.NotCarriedOut) as caught:
            batcher.execute(Hold("acme", 1, "late"), timeout=0.01)
        assert caught.value.key == "late"
        with pytest.raises(ledger.NotCarriedOut):
            asyncio.run(batcher.execute_async(Hold("acme", 1, "later"), timeout=0.01))
        # The place in the queue is free again.
        futures = enqueue(batcher, callers, Hold("acme", 1, "next"))
        gate.open()
        assert futures[0].result(PATIENCE_SECONDS).reservation_id == "acme/r3"
    assert book(funded) == {"first": 1, "next": 1}


class Interrupted(BaseException):
    """Stands for a KeyboardInterrupt, which pytest would take for its own."""


def test_a_caller_out_of_time_whose_command_is_taken_is_told_to_repeat_it_with_its_key(
    funded: Engine, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = ThreadCall.wait

    def wait_until_taken(call: ThreadCall, _seconds: float | None) -> bool:
        return gate.reached.wait(PATIENCE_SECONDS) and wait(call, 0)

    with behind(gate, funded) as batcher:
        monkeypatch.setattr(ThreadCall, "wait", wait_until_taken)
        with pytest.raises(ledger.OutcomeUnknown) as caught:
            batcher.execute(Hold("acme", 1, "slow"), timeout=5)
        assert (caught.value.key, caught.value.status_hint) == ("slow", 504)
        assert "'slow'" in str(caught.value)
        gate.open()
        monkeypatch.setattr(ThreadCall, "wait", wait)
        assert replayed(batcher.execute(Hold("acme", 1, "slow")))
    assert book(funded) == {"slow": 1}


def test_a_task_out_of_time_whose_command_is_taken_is_told_to_repeat_it_with_its_key(
    funded: Engine, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wait_until_taken(*_futures: Any, **_options: Any) -> None:
        await asyncio.to_thread(gate.reached.wait, PATIENCE_SECONDS)

    async def scenario() -> Any:
        monkeypatch.setattr(batching.asyncio, "wait", wait_until_taken)
        with pytest.raises(ledger.OutcomeUnknown):
            await batcher.execute_async(Hold("acme", 1, "slow"), timeout=5)
        gate.open()
        return await batcher.execute_async(Hold("acme", 1, "slow"))

    with behind(gate, funded) as batcher:
        assert replayed(asyncio.run(scenario()))
    assert book(funded) == {"slow": 1}


def test_an_answer_that_comes_as_the_time_runs_out_is_given(funded: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    wait = ThreadCall.wait
    monkeypatch.setattr(ThreadCall, "wait", lambda call, _seconds: wait(call, PATIENCE_SECONDS) and False)
    with Batcher(funded) as batcher:
        assert not replayed(batcher.execute(Hold("acme", 1, "just"), timeout=5))


@pytest.mark.parametrize(("taken", "said"), [(False, "certainly not"), (True, "may be carried out")])
def test_an_interrupted_caller_is_told_on_the_interruption_what_becomes_of_its_command(
    funded: Engine, gate: Gate, callers: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, taken: bool, said: str
) -> None:
    def interrupt(_call: ThreadCall, _seconds: float | None) -> bool:
        assert gate.reached.wait(PATIENCE_SECONDS)
        raise Interrupted

    with behind(gate, funded) as batcher:
        if not taken:
            occupy(batcher, gate, callers)
        monkeypatch.setattr(ThreadCall, "wait", interrupt)
        with pytest.raises(Interrupted) as caught:
            batcher.execute(Hold("acme", 1, "k"))
        gate.open()
    assert said in notes(caught.value)
    assert book(funded) == ({"k": 1} if taken else {"first": 1})


def test_callers_interrupted_as_they_are_answered_leave_nobody_of_their_batch_asleep(
    funded: Engine, gate: Gate, callers: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = ThreadCall.wait

    def interrupt_some(call: ThreadCall, seconds: float | None) -> bool:
        assert wait(call, seconds)
        if str(call.key).startswith("interrupted"):
            raise Interrupted
        return True

    monkeypatch.setattr(ThreadCall, "wait", interrupt_some)
    with behind(gate, funded) as batcher:
        occupy(batcher, gate, callers)
        names = ["interrupted 1", "interrupted 2", "interrupted 3", "next", "last"]
        futures = enqueue(batcher, callers, *(Hold("acme", 1, name) for name in names))
        gate.open()
        errors = [future.exception(PATIENCE_SECONDS) for future in futures]
    assert [type(error) for error in errors] == [Interrupted] * 3 + [type(None)] * 2


@pytest.mark.parametrize(("taken", "said"), [(False, "certainly not"), (True, "may be carried out")])
def test_a_cancelled_task_is_cancelled_and_its_command_carried_out_only_if_it_was_taken(
    funded: Engine, gate: Gate, callers: ThreadPoolExecutor, taken: bool, said: str
) -> None:
    async def scenario() -> BaseException:
        task = asyncio.create_task(batcher.execute_async(Hold("acme", 1, "k")))
        reached = (lambda: gate.reached.is_set()) if taken else (lambda: batcher.waiting == 1)
        await asyncio.to_thread(until, reached)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert batcher.waiting == 0
        return caught.value

    with behind(gate, funded) as batcher:
        if not taken:
            occupy(batcher, gate, callers)
        error = asyncio.run(scenario())
        gate.open()
    assert said in notes(error)
    assert book(funded) == ({"k": 1} if taken else {"first": 1})


def test_a_task_under_a_timeout_of_asyncio_finds_the_note_on_its_cause(
    funded: Engine, gate: Gate, callers: ThreadPoolExecutor
) -> None:
    async def scenario() -> None:
        async with asyncio.timeout(0.01):
            await batcher.execute_async(Hold("acme", 1, "k"))

    with behind(gate, funded) as batcher:
        occupy(batcher, gate, callers)
        with pytest.raises(TimeoutError) as caught:
            asyncio.run(scenario())
        gate.open()
    assert "certainly not" in notes(caught.value.__cause__ or caught.value)
    assert book(funded) == {"first": 1}
