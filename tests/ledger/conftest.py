"""Accounts that tests begin with, and readers of all that is stored."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

import ledger
from ledger.schema.tables import metadata

START = datetime(2026, 3, 1, tzinfo=UTC)
Buckets = Callable[..., dict[str, int]]
Stored = Callable[[], dict[str, list[Any]]]


def later(seconds: float = 0, *, days: float = 0) -> datetime:
    """A moment after the start of the tests' time."""
    return START + timedelta(days=days, seconds=seconds)


@pytest.fixture
def acme(session: Session) -> str:
    """An account with 10 credits that never expire."""
    ledger.open_account(session, "acme", at=START)
    ledger.grant_credits(session, "acme", 10, at=START)
    return "acme"


@pytest.fixture
def stored(session: Session) -> Stored:
    """Reads every row of every table, to tell whether anything changed."""

    def read() -> dict[str, list[Any]]:
        return {
            table.name: sorted(map(repr, session.execute(text(f"SELECT * FROM {table.name}")).all()))
            for table in metadata.sorted_tables
        }

    return read


@pytest.fixture
def buckets(session: Session) -> Buckets:
    """The buckets of an account at a moment, those that are not empty."""

    def read(account_id: str = "acme", at: datetime = START) -> dict[str, int]:
        balance = ledger.get_balance(session, account_id, at=at)
        names = ("available", "held", "consumed", "expired", "revoked")
        return {name: int(getattr(balance, name)) for name in names if getattr(balance, name)}

    return read


@pytest.fixture
def empty(session: Session) -> str:
    """An account without credits."""
    ledger.open_account(session, "acme", at=START)
    return "acme"
