"""The batcher: whose answer is whose, in which order, what it refuses, and what survives failures and closing."""

from __future__ import annotations

import asyncio
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import create_async_engine

import ledger
from ledger import Batcher
from ledger import Reserve as Hold
from ledger.batching import attempts
from ledger.batching import batcher as batching
from tests.ledger.batching.gates import PATIENCE_SECONDS, Gate, behind, book, enqueue, occupy, replayed, until


def test_a_result_is_answered_after_its_commit_and_not_before(
    funded: Engine, gate: Gate, callers: ThreadPoolExecutor
) -> None:
    with behind(gate, funded) as batcher:
        future = occupy(batcher, gate, callers)
        assert not future.done()
        gate.open()
        hold = future.result(PATIENCE_SECONDS)
        assert (hold.amount, hold.replayed) == (1, False)
        assert book(funded) == {"first": 1}


def test_what_arrives_while_a_batch_commits_is_the_next_one_and_each_caller_gets_its_own_answer(
    funded: Engine, gate: Gate, callers: ThreadPoolExecutor
) -> None:
    with behind(gate, funded) as batcher:
        occupy(batcher, gate, callers)
        futures = enqueue(
            batcher,
            callers,
            Hold("acme", 7, "a"),
            Hold("nobody", 1, "b"),
            Hold("acme", 1000, "c"),
            Hold("acme", 7, "a"),
            ledger.GrantCredits("acme", 5, "d"),
            ledger.Capture("acme/r99", key="e"),
            Hold("acme", 8, "a"),
            ledger.GetBalance("acme"),
            ledger.OpenAccount("zeta"),
        )
        gate.open()
        answers = [future.exception(PATIENCE_SECONDS) or future.result() for future in futures]
    assert [type(answer).__name__ for answer in answers] == [
        "Reservation",
        "AccountNotFound",
        "InsufficientCredits",
        "Reservation",
        "Grant",
        "ReservationNotFound",
        "IdempotencyConflict",
        "Balance",
        "Account",
    ]
    assert (answers[0].replayed, answers[3].replayed) == (False, True)
    assert answers[0].reservation_id == answers[3].reservation_id
    assert (answers[1].account_id, answers[2].requested, answers[7].held) == ("nobody", 1000, 8)
    assert gate.commits == 2


def test_commands_are_carried_out_in_order_of_arrival_at_most_batch_max_at_once(
    funded: Engine, gate: Gate, callers: ThreadPoolExecutor
) -> None:
    with behind(gate, funded, batch_max=2) as batcher:
        occupy(batcher, gate, callers)
        futures = enqueue(batcher, callers, *(Hold("acme", 1, f"k{number}") for number in range(5)))
        gate.open()
        numbers = [future.result(PATIENCE_SECONDS).reservation_id for future in futures]
    assert numbers == [f"acme/r{number}" for number in range(3, 8)]
    assert gate.commits == 1 + 3


def test_a_rejection_is_the_callers_own_and_does_not_carry_the_frames_of_its_batch(funded: Engine) -> None:
    refusals = []
    with Batcher(funded) as batcher:
        for _ in range(2):
            with pytest.raises(ledger.InsufficientCredits) as caught:
                batcher.execute(Hold("acme", 1000))
            refusals.append(caught.value)
    assert refusals[0] is not refusals[1]
    assert refusals[0].to_dict() == refusals[1].to_dict()
    frames = [frame.name for frame in traceback.extract_tb(refusals[1].__traceback__)]
    assert frames[1:] == ["execute", "outcome"]


def test_a_full_queue_refuses_what_comes_next_and_forgets_it(
    funded: Engine, gate: Gate, callers: ThreadPoolExecutor
) -> None:
    with behind(gate, funded, queue_max=2) as batcher:
        occupy(batcher, gate, callers)
        enqueue(batcher, callers, Hold("acme", 1, "a"), Hold("acme", 1, "b"))
        with pytest.raises(ledger.QueueFull) as caught:
            batcher.execute(Hold("acme", 1, "c"), timeout=1)
        with pytest.raises(ledger.QueueFull):
            asyncio.run(batcher.execute_async(Hold("acme", 1, "d"), timeout=1))
        assert caught.value.queue_max == 2
        gate.open()
    assert book(funded) == {"first": 1, "a": 1, "b": 1}


def test_tasks_share_a_batch_without_a_thread_each_while_their_loop_goes_on(funded: Engine, gate: Gate) -> None:
    async def scenario() -> list[Any]:
        first = asyncio.create_task(batcher.execute_async(Hold("acme", 1, "first")))
        await asyncio.to_thread(gate.reached.wait, PATIENCE_SECONDS)
        threads = threading.active_count()
        commands = [Hold("acme", number, f"k{number}") for number in range(1, 61)]
        tasks = [asyncio.create_task(batcher.execute_async(command)) for command in commands]
        # The loop runs these while the batch stands before its commit.
        while batcher.waiting < len(commands):
            await asyncio.sleep(0)
        assert threading.active_count() == threads
        gate.open()
        return await asyncio.gather(first, *tasks, return_exceptions=True)

    with behind(gate, funded) as batcher:
        answers = asyncio.run(scenario())
    # 1 and then 1 + ... + 13 of the 100 credits; every later one asks for more than the rest.
    assert [answer.amount for answer in answers if isinstance(answer, ledger.Reservation)] == [1, *range(1, 14)]
    refusals = [answer for answer in answers if isinstance(answer, ledger.InsufficientCredits)]
    assert [refusal.requested for refusal in refusals] == list(range(14, 61))
    assert gate.commits == 2


def test_a_loop_that_is_closed_meanwhile_takes_nothing_with_it(funded: Engine, gate: Gate) -> None:
    async def leave() -> None:
        task = asyncio.create_task(batcher.execute_async(Hold("acme", 1, "left")))
        await asyncio.to_thread(gate.reached.wait, PATIENCE_SECONDS)
        assert not task.done()

    with behind(gate, funded) as batcher:
        asyncio.run(leave())
        gate.open()
        assert not replayed(batcher.execute(Hold("acme", 1, "next")))
    assert book(funded) == {"left": 1, "next": 1}


def test_closing_finishes_what_is_queued_and_refuses_what_comes_next_however_many_close(
    funded: Engine, gate: Gate, callers: ThreadPoolExecutor
) -> None:
    with behind(gate, funded, batch_max=1) as batcher:
        futures = [occupy(batcher, gate, callers)]
        futures += enqueue(batcher, callers, *(Hold("acme", 1, f"k{number}") for number in range(3)))
        closers = [callers.submit(batcher.close) for _ in range(4)]

        def is_refused() -> bool:
            with pytest.raises((ledger.BatcherClosed, ledger.NotCarriedOut)) as caught:
                batcher.execute(Hold("acme", 1, "too-late"), timeout=0)
            return isinstance(caught.value, ledger.BatcherClosed)

        until(is_refused)
        assert not any(closer.done() for closer in closers)
        gate.open()
        for closer in closers:
            closer.result(PATIENCE_SECONDS)
    assert wait(futures, PATIENCE_SECONDS).not_done == set()
    batcher.close()
    assert book(funded) == {"first": 1, "k0": 1, "k1": 1, "k2": 1}
    with pytest.raises(ledger.BatcherClosed):
        asyncio.run(batcher.execute_async(Hold("acme", 1), timeout=1))


def test_a_batcher_closes_at_the_end_of_an_async_block_without_holding_the_loop_up(funded: Engine, gate: Gate) -> None:
    async def scenario() -> Any:
        async with Batcher(funded) as batcher:
            task = asyncio.create_task(batcher.execute_async(Hold("acme", 1, "k")))
            await asyncio.to_thread(gate.reached.wait, PATIENCE_SECONDS)
            # Runs only if closing leaves the loop free.
            asyncio.get_running_loop().call_later(0.01, gate.open)
        return await task

    assert not replayed(asyncio.run(scenario()))


def test_a_failure_of_the_batcher_itself_leaves_nobody_waiting_and_is_not_its_end(
    funded: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: Any) -> None:
        raise MemoryError

    with Batcher(funded) as batcher:
        monkeypatch.setattr(batching, "carry_out", fail)
        with pytest.raises(ledger.OutcomeUnknown) as caught:
            batcher.execute(Hold("acme", 1, "k"))
        assert isinstance(caught.value.__cause__, MemoryError)
        monkeypatch.setattr(batching, "carry_out", attempts.carry_out)
        assert not replayed(batcher.execute(Hold("acme", 1, "k")))


@pytest.mark.parametrize("name", ["batch_max", "queue_max", "attempts"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, None])
def test_a_bound_that_makes_no_sense_is_refused(funded: Engine, name: str, value: Any) -> None:
    before = threading.active_count()
    with pytest.raises(ValueError, match=f"{name} is .* whole number of at least 1"):
        Batcher(funded, **{name: value})
    assert threading.active_count() == before


@pytest.mark.parametrize("timeout", [-1, -0.001, float("nan")])
def test_a_timeout_that_makes_no_sense_is_refused(funded: Engine, timeout: float) -> None:
    with Batcher(funded) as batcher:
        with pytest.raises(ValueError, match="timeout is"):
            batcher.execute(Hold("acme", 1, "k"), timeout)
        with pytest.raises(ValueError, match="timeout is"):
            asyncio.run(batcher.execute_async(Hold("acme", 1, "k"), timeout))
        assert not replayed(batcher.execute(Hold("acme", 1, "k"), float("inf")))
    assert book(funded) == {"k": 1}


def test_an_asynchronous_engine_is_refused_with_what_to_give_instead() -> None:
    engine = create_async_engine("sqlite+aiosqlite://")
    for given in (engine, engine.sync_engine):
        with pytest.raises(ledger.EngineUnusable, match=r"is asynchronous.*ledger\.create_engine"):
            Batcher(given)  # type: ignore[arg-type]
