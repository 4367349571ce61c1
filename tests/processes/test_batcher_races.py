"""Many callers behind batchers, in several processes, and `kill -9` of one in mid-load."""

from __future__ import annotations

from collections import Counter, defaultdict
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import ledger
from tests.processes import tasks
from tests.processes.together import context, run_together

PATIENCE_SECONDS = 60


@pytest.fixture
def funded_url(engine: Engine, database_url: str) -> str:
    """A database whose accounts `acme` and `zeta` have plenty."""
    with Session(engine) as session, session.begin():
        for account_id in ("acme", "zeta"):
            ledger.open_account(session, account_id)
            ledger.grant_credits(session, account_id, 1_000_000)
    return database_url


def stored_keys(engine: Engine) -> Counter[str]:
    """How often each key stands in a book that proves itself."""
    with Session(engine) as session:
        ledger.require_clean(session)
        return Counter(session.execute(text("SELECT key FROM ledger_entry WHERE key IS NOT NULL")).scalars())


def test_every_command_of_many_callers_in_many_processes_is_acknowledged_once(funded_url: str, engine: Engine) -> None:
    processes, callers, turns = 3, 12, 20
    answers = [answer for found in run_together(funded_url, tasks.share_batcher, processes) for answer in found]
    assert len(answers) == processes * callers * turns
    holds = defaultdict(set)
    for key, reservation_id, _ in answers:
        holds[key].add(reservation_id)
    first = Counter(key for key, _, is_replay in answers if not is_replay)
    # A key has one reservation, answered as new exactly once, and to everybody else as a replay.
    assert {len(ids) for ids in holds.values()} == {1}
    assert len(set().union(*holds.values())) == len(holds)
    assert set(first.values()) == {1}
    assert set(first) == set(holds)
    assert sum(key.startswith("common-") for key in holds) == 7
    assert len(holds) == 7 + processes * callers * (turns - 7)
    assert stored_keys(engine) == Counter(holds.keys())
    with Session(engine) as session:
        assert ledger.get_balance(session, "acme").held == Decimal(len(holds))


def test_a_process_killed_with_a_batcher_in_mid_load_keeps_every_answer_it_gave(
    funded_url: str, engine: Engine
) -> None:
    acknowledged: list[str] = []
    for generation in range(5):
        acknowledged += killed_writer(funded_url, generation, answers=40 + 17 * generation)
        stored = stored_keys(engine)
        assert set(stored.values()) == {1}
        assert set(acknowledged) <= set(stored)
        # Beyond those: what was committed and not yet told, at most one command for each caller.
        assert len(stored) - len(acknowledged) <= tasks.BATCHED_CALLERS * (generation + 1)
    assert len(acknowledged) == len(set(acknowledged))
    with Session(engine) as session:
        held = sum(ledger.get_balance(session, account_id).held for account_id in ("acme", "zeta"))
    assert held == Decimal("0.5") * len(stored)


def killed_writer(url: str, generation: int, answers: int) -> list[str]:
    """Run a process with a batcher, kill it after so many answers; all the keys that it acknowledged."""
    receiver, sender = context.Pipe(duplex=False)
    process: Any = context.Process(target=tasks.write_through_batcher, args=(url, generation, sender), daemon=True)
    process.start()
    sender.close()
    keys: list[str] = []
    try:
        while len(keys) < answers:
            assert receiver.poll(PATIENCE_SECONDS)
            keys.append(receiver.recv())
        process.kill()
        process.join()
        while receiver.poll(0):
            keys.append(receiver.recv())
    except EOFError:
        assert len(keys) >= answers
    finally:
        process.kill()
        process.join()
        process.close()
        receiver.close()
    return keys
