"""The batcher: whose answer is whose, what a caller who gives up may rely on, and what survives failures."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

import ledger
from ledger import Batcher
from ledger import Reserve as Hold
from ledger.batching import attempts
from ledger.batching import batcher as batching
from ledger.batching.calls import ThreadCall

PATIENCE_SECONDS = 20


class Gate:
    """Stops a batch at its commit until opened, and counts the commits."""

    def __init__(self, engine: Engine) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()
        self.commits = 0
        event.listen(engine, "commit", self._pass)

    def _pass(self, _connection: Any) -> None:
        self.commits += 1
        self.reached.set()
        assert self._open.wait(PATIENCE_SECONDS)

    def open(self) -> None:
        """Let this batch, and all later ones, commit."""
        self._open.set()


@pytest.fixture
def funded(engine: Engine) -> Engine:
    """An engine on a book whose account `acme` has 100 credits."""
    with Session(engine) as session, session.begin():
        ledger.open_account(session, "acme")
        ledger.grant_credits(session, "acme", 100)
    return engine


@pytest.fixture
def gate(funded: Engine) -> Iterator[Gate]:
    """A closed gate, opened at the end whatever happens, so that no thread hangs."""
    gate = Gate(funded)
    yield gate
    gate.open()


@pytest.fixture
def callers() -> Iterator[ThreadPoolExecutor]:
    """Threads to call from."""
    with ThreadPoolExecutor(80) as pool:
        yield pool


@contextmanager
def behind(gate: Gate, engine: Engine, **bounds: int) -> Iterator[Batcher]:
    """A batcher whose gate is open by the time it is closed, whatever a test finds, or closing would wait for ever."""
    with Batcher(engine, **bounds) as batcher:
        try:
            yield batcher
        finally:
            gate.open()


def until(condition: Callable[[], bool]) -> None:
    """Poll until something is so. Fails when it takes too long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def occupy(batcher: Batcher, gate: Gate, pool: ThreadPoolExecutor) -> Future[Any]:
    """Have the worker take one command and stand before its commit."""
    first = pool.submit(batcher.execute, Hold("acme", 1, "first"))
    assert gate.reached.wait(PATIENCE_SECONDS)
    return first


def enqueue(batcher: Batcher, pool: ThreadPoolExecutor, *commands: ledger.Command) -> list[Future[Any]]:
    """Queue commands in this order, each from a thread of its own."""
    futures = []
    for command in commands:
        already = batcher.waiting
        futures.append(pool.submit(batcher.execute, command, PATIENCE_SECONDS))
        until(lambda already=already: batcher.waiting > already)  # type: ignore[misc]
    return futures


def book(engine: Engine) -> dict[str, int]:
    """How often each key stands in a book that proves itself."""
    with Session(engine) as session:
        ledger.require_clean(session)
        rows = session.execute(text("SELECT key, count(*) FROM ledger_entry WHERE key IS NOT NULL GROUP BY key")).all()
    return {row[0]: row[1] for row in rows}


def replayed(result: ledger.Result) -> bool:
    """Whether a reservation was answered as a replay."""
    assert isinstance(result, ledger.Reservation)
    return result.replayed


def notes(error: BaseException) -> str:
    """What was noted on an error."""
    return " ".join(getattr(error, "__notes__", []))


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
    with pytest.raises(ValueError, match="the engine is asynchronous; give one"):
        Batcher(engine)  # type: ignore[arg-type]


def run_script(script: str, url: str) -> str:
    """What a Python process of its own prints. Fails when it fails or does not end."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script, url],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


_EXIT = """
import sys, threading
from sqlalchemy import event
import ledger

engine = ledger.create_engine(sys.argv[1])
batcher = ledger.Batcher(engine)
reached, opened = threading.Event(), threading.Event()
event.listen(engine, "commit", lambda connection: (reached.set(), opened.wait(20)))
for number in range(5):
    command = ledger.Reserve("acme", 1, f"k{number}")
    threading.Thread(target=batcher.execute, args=(command,), daemon=True).start()
    assert reached.wait(20)
while batcher.waiting < 4:
    pass
opened.set()
"""


def test_a_process_that_ends_without_closing_finishes_what_is_queued_and_does_not_hang(
    funded: Engine, database_url: str
) -> None:
    run_script(_EXIT, database_url)
    assert book(funded) == {f"k{number}": 1 for number in range(5)}


_FORK = """
import asyncio, os, sys
import ledger

engine = ledger.create_engine(sys.argv[1])
batcher = ledger.Batcher(engine)
batcher.execute(ledger.Reserve("acme", 1, "parent"))
# As if another thread held it at that moment.
batcher._changed.acquire()
child = os.fork()
if child == 0:
    for call in (batcher.execute, lambda command: asyncio.run(batcher.execute_async(command))):
        try:
            call(ledger.Reserve("acme", 1, "child"))
        except ledger.BatcherClosed as refusal:
            print(refusal)
    batcher.close()
    sys.exit(0)
batcher._changed.release()
assert os.waitpid(child, 0)[1] == 0
batcher.execute(ledger.Reserve("acme", 1, "parent again"))
"""


def test_a_forked_child_is_refused_clearly_and_does_not_hang(funded: Engine, database_url: str) -> None:
    printed = run_script(_FORK, database_url)
    assert printed.count("before this process was forked") == 2
    assert "Make a new Batcher" in printed
    assert book(funded) == {"parent": 1, "parent again": 1}
