"""A funded book, a gate before its commits, and threads to call from."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

import ledger
from tests.ledger.batching.gates import Gate


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
