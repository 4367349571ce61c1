"""`kill -9` of a client in mid-batch, and of PostgreSQL in mid-load: what was acknowledged is there, once and whole."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

import ledger
from tests.postgres import PostgresServer
from tests.processes import tasks
from tests.processes.together import context

_PATIENCE_SECONDS = 60


def fund(url: str) -> None:
    """Open the accounts that the batches hold credits of."""
    engine = ledger.create_engine(url)
    with Session(engine) as session, session.begin():
        for account_id in ("acme", "zeta"):
            ledger.open_account(session, account_id, at=tasks.START)
            ledger.grant_credits(session, account_id, Decimal(1_000_000), at=tasks.START)
    engine.dispose()


@contextmanager
def writer(url: str, first: int) -> Iterator[tuple[Any, Any]]:
    """A process that commits batches from `first` on, and the pipe on which it acknowledges them."""
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=tasks.write_batches, args=(url, first, sender), daemon=True)
    process.start()
    sender.close()
    try:
        yield process, receiver
    finally:
        process.kill()
        process.join()
        process.close()
        receiver.close()


def acknowledgements(receiver: Any, patience: float) -> Iterator[int]:
    """The batches acknowledged until none comes for that long, or the writer is gone."""
    with suppress(EOFError):
        while receiver.poll(patience):
            yield receiver.recv()


def verify(url: str, acknowledged: int) -> None:
    """Every acknowledged batch is there once, every other one whole or not at all, and the book proves itself."""
    engine = ledger.create_engine(url)
    with Session(engine) as session:
        ledger.require_clean(session)
        keys = Counter(session.execute(text("SELECT key FROM ledger_entry WHERE key IS NOT NULL")).scalars())
    engine.dispose()
    assert set(keys.values()) <= {1}
    parts = Counter(int(key.partition("/")[0]) for key in keys)
    assert set(parts.values()) <= {tasks.BATCH}
    assert set(range(acknowledged)) <= set(parts)
    assert len(parts) <= acknowledged + 1


def test_a_client_killed_in_mid_batch_loses_nothing_and_doubles_nothing(database_url: str) -> None:
    fund(database_url)
    chance = random.Random(7)
    acknowledged = 0
    for _ in range(10):
        # The next writer starts with the batch that its predecessor may or may not have committed.
        with writer(database_url, acknowledged) as (process, receiver):
            assert receiver.poll(_PATIENCE_SECONDS)
            for number in acknowledgements(receiver, _PATIENCE_SECONDS):
                acknowledged = number + 1
                if chance.random() < 0.2:
                    break
            # Let it run into the next batch, by a moment that differs each time.
            receiver.poll(chance.random() * 0.004)
            process.kill()
            for number in acknowledgements(receiver, 0):
                acknowledged = number + 1
            process.join()
        verify(database_url, acknowledged)
    assert acknowledged >= 10


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_postgresql_killed_in_mid_load_comes_back_with_what_was_acknowledged(seed: int) -> None:
    chance = random.Random(seed)
    with PostgresServer.start(durable=True) as server:
        url = server.databases.create()
        engine = ledger.create_engine(url)
        ledger.upgrade(engine)
        engine.dispose()
        fund(url)
        acknowledged = 0
        with writer(url, 0) as (_, receiver):
            assert receiver.poll(_PATIENCE_SECONDS)
            for number in acknowledgements(receiver, _PATIENCE_SECONDS):
                acknowledged = number + 1
                if acknowledged > 5 and chance.random() < 0.1:
                    break
            receiver.poll(chance.random() * 0.004)
            server.kill()
            for number in acknowledgements(receiver, _PATIENCE_SECONDS):
                acknowledged = number + 1
        server.restart()
        verify(url, acknowledged)
        # The same keys again heal what was cut off.
        engine = ledger.create_engine(url)
        with Session(engine) as session, session.begin():
            ledger.execute(session, tasks.batch(acknowledged))
        engine.dispose()
        verify(url, acknowledged + 1)
