"""What the processes of a race do, each in a transaction of its own."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.orm import Session

import ledger
from estimator import DatasetProfile, RateCardBook, RunRequest, shipped_card

START = datetime(2026, 11, 1, tzinfo=UTC)
STORM_ACCOUNTS = ("storm-a", "storm-b", "storm-c")
_CARDS = RateCardBook([shipped_card("example")])
_PROFILE = DatasetProfile(row_count=164, columns=("prompt",))


def open_one(engine: Engine, _number: int) -> ledger.Account:
    """Open the same account."""
    return ledger.run_transaction(engine, lambda session: ledger.open_account(session, "new", at=START))


def upgrade(engine: Engine, _number: int) -> str:
    """Bring the schema up to date."""
    return ledger.upgrade(engine)


def reserve_one_key(engine: Engine, _number: int) -> ledger.Reservation:
    """Reserve with the same key."""
    return ledger.run_transaction(engine, lambda session: ledger.reserve(session, "acme", 100, key="once"))


def reserve_hundred(engine: Engine, number: int) -> ledger.Reservation:
    """Reserve 100 with a key of one's own."""
    return ledger.run_transaction(engine, lambda session: ledger.reserve(session, "acme", 100, key=f"caller-{number}"))


def launch_without_key(engine: Engine, _number: int) -> ledger.Launch:
    """Launch a run of the same dataset."""
    return _launch(engine, {"column_mapping": {"prompt": "prompt"}})


def launch_one_key(engine: Engine, _number: int) -> ledger.Launch:
    """Launch a run of the same dataset with the same key."""
    return _launch(engine, {"column_mapping": {"prompt": "prompt"}, "job_specification": {"idempotency_key": "once"}})


def _launch(engine: Engine, body: dict[str, Any]) -> ledger.Launch:
    request = RunRequest.from_wire(body)
    return ledger.run_transaction(
        engine,
        lambda session: ledger.launch(
            session, account_id="acme", dataset_id="d1", profile=_PROFILE, request=request, cards=_CARDS
        ),
    )


def launch_numbered(url: str, first: int, sender: Any) -> None:
    """Launch run after run from `first` on, telling each one's number once it is committed, until killed."""
    engine = ledger.create_engine(url)
    number = first
    while True:
        launch_number(engine, number)
        sender.send(number)
        number += 1


def launch_number(engine: Engine, number: int) -> ledger.Launch:
    """Launch the run of a dataset of its own, with a key: again, it is the same run."""
    request = RunRequest.from_wire(
        {"column_mapping": {"prompt": "prompt"}, "job_specification": {"idempotency_key": "once", "max_rows": 1}}
    )
    return ledger.run_transaction(
        engine,
        lambda session: ledger.launch(
            session, account_id="acme", dataset_id=f"d{number}", profile=_PROFILE, request=request, cards=_CARDS
        ),
    )


def deliver_all(engine: Engine, _number: int) -> list[str]:
    """Hand over starts of runs until none is left; answers those that were handed over here."""
    given: list[str] = []
    while deliver_some(engine, lambda start: given.append(start.start_id)):
        pass
    return given


def deliver_some(engine: Engine, handler: Any) -> int:
    """Hand over a few starts and commit."""
    with Session(engine) as session, session.begin():
        return ledger.deliver_outbox(session, handler, limit=3).count


def deliver_until_killed(url: str, sender: Any) -> None:
    """Hand over starts as they come, telling each one's id as a pipeline would see it, until killed."""
    engine = ledger.create_engine(url)
    while True:
        deliver_some(engine, lambda start: sender.send(start.start_id))


def launch_and_die(url: str, sender: Any) -> None:
    """Launch a run, commit, and be killed before anything else happens."""
    launch_number(ledger.create_engine(url), 0)
    _die(sender, "committed")


def deliver_and_die(url: str, sender: Any) -> None:
    """Hand over a start, and be killed when the pipeline has it and before that is committed."""
    engine = ledger.create_engine(url)
    with Session(engine) as session, session.begin():
        ledger.deliver_outbox(session, lambda start: sender.send(start.start_id))
        _die(sender, "not committed")


def _die(sender: Any, last_words: str) -> None:
    sender.send(last_words)
    os.kill(os.getpid(), signal.SIGKILL)


def settle_one_hold(engine: Engine, number: int) -> ledger.Reservation:
    """Capture or release the same hold, which is the account's second entry."""
    settle = ledger.capture if number % 2 else ledger.release
    return ledger.run_transaction(engine, lambda session: settle(session, "acme/r2"))


def storm(engine: Engine, number: int, operations: int = 40) -> list[tuple[str, str | None]]:
    """Do whatever there is to do, in any order, on a few accounts; answers keys and ids of what was acknowledged."""
    chance = random.Random(number)
    acknowledged: list[tuple[str, str | None]] = []
    holds: list[str] = []
    for turn in range(operations):
        moment = START + timedelta(seconds=turn)
        commands = [
            _command(chance, holds, f"{number}-{turn}-{part}", moment) for part in range(chance.choice([1, 1, 4]))
        ]

        def work(session: Any, commands: list[ledger.Command] = commands) -> list[Any]:
            return ledger.execute(session, commands)

        results = ledger.run_transaction(engine, work, attempts=20)
        for command, result in zip(commands, results, strict=True):
            if isinstance(result, ledger.Reservation):
                acknowledged.append((str(getattr(command, "key", "")), result.reservation_id))
                if result.state == ledger.ReservationState.HELD:
                    holds.append(result.reservation_id)
            elif isinstance(result, ledger.Grant):
                acknowledged.append((str(getattr(command, "key", "")), None))
    return acknowledged


def _command(chance: random.Random, holds: list[str], key: str, moment: datetime) -> ledger.Command:
    account_id = chance.choice(STORM_ACCOUNTS)
    draw = chance.random()
    if draw < 0.2:
        expires_at = chance.choice([None, moment + timedelta(seconds=15)])
        return ledger.GrantCredits(account_id, Decimal(chance.randint(1, 50)), key, expires_at=expires_at, at=moment)
    if draw < 0.6 or not holds:
        lasts = chance.choice([None, timedelta(seconds=5)])
        return ledger.Reserve(account_id, Decimal(chance.randint(1, 30)), key, lasts, moment)
    if draw < 0.65:
        return ledger.ExpireDue(account_id, moment)
    hold = chance.choice(holds)
    return (
        ledger.Capture(hold, chance.choice([None, 0, 1]), key, at=moment)
        if draw < 0.85
        else ledger.Release(hold, key, at=moment)
    )


BATCH = 20


def batch(number: int) -> list[ledger.Command]:
    """The commands of one numbered batch: holds on two accounts, each with a key that says where it belongs."""
    return [
        ledger.Reserve("acme" if part % 2 else "zeta", Decimal("0.5"), f"{number}/{part}", at=START)
        for part in range(BATCH)
    ]


def write_batches(url: str, first: int, sender: Any) -> None:
    """Commit batch after batch from `first` on, telling each one's number once it is committed, until killed."""
    engine = ledger.create_engine(url)
    number = first
    while True:
        commands = batch(number)
        with Session(engine) as session, session.begin():
            ledger.execute(session, commands)
        sender.send(number)
        number += 1


BATCHED_CALLERS = 8


def write_through_batcher(url: str, generation: int, sender: Any) -> None:
    """Hold credits from several threads through one batcher, telling each key once it is answered, until killed."""
    engine = ledger.create_engine(url)
    batcher = ledger.Batcher(engine)
    one_at_a_time = threading.Lock()

    def call(caller: int) -> None:
        turn = 0
        while True:
            key = f"{generation}-{caller}-{turn}"
            batcher.execute(ledger.Reserve("acme" if turn % 2 else "zeta", Decimal("0.5"), key))
            with one_at_a_time:
                sender.send(key)
            turn += 1

    callers = [threading.Thread(target=call, args=(number,)) for number in range(BATCHED_CALLERS)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()


def share_batcher(engine: Engine, number: int, callers: int = 12, turns: int = 20) -> list[tuple[str, str, bool]]:
    """Hold 1 credit at a time through one batcher of this process; answers key, reservation and whether a replay.

    Every third turn asks for a key that all callers of all processes ask for.
    """
    answers: list[tuple[str, str, bool]] = []

    def call(caller: int) -> None:
        for turn in range(turns):
            key = f"common-{turn}" if turn % 3 == 0 else f"{number}-{caller}-{turn}"
            hold = batcher.execute(ledger.Reserve("acme", 1, key))
            if isinstance(hold, ledger.Reservation):
                answers.append((key, hold.reservation_id, hold.replayed))

    with ledger.Batcher(engine) as batcher:
        threads = [threading.Thread(target=call, args=(caller,)) for caller in range(callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return answers


def hold_lock(path: str, pipe: Any) -> None:
    """Hold the write lock of a SQLite file from saying so until told to let go."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        pipe.send("held")
        pipe.recv()
        connection.execute("ROLLBACK")
    pipe.send("let go")
