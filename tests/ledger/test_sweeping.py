"""Sweeping: what has come due in every account is recorded, and no customer waits for it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import ledger
from tests.drivers import create_engine
from tests.ledger.conftest import START, later

ACCOUNTS = [f"account-{number:02d}" for number in range(25)]


@pytest.fixture
def lapsing(engine: Engine) -> Engine:
    """Accounts of which each has a hold that lapses an hour after the start."""
    with Session(engine) as session, session.begin():
        for name in ACCOUNTS:
            ledger.open_account(session, name, at=START)
            ledger.grant_credits(session, name, 10, at=START)
            ledger.reserve(session, name, 4, at=START, expires_in=timedelta(hours=1))
    return engine


def test_a_sweep_records_each_lapse_once_a_few_accounts_a_transaction(lapsing: Engine) -> None:
    """The sums are of all accounts; a second sweep finds nothing."""
    done = ledger.sweep(lapsing, at=later(3600), accounts_max=4)
    assert (done.accounts, done.reservations, done.grants) == (len(ACCOUNTS), len(ACCOUNTS), 0)
    assert (done.freed, done.expired) == (4 * len(ACCOUNTS), 0)
    assert ledger.sweep(lapsing, at=later(3600)).accounts == 0
    with Session(lapsing) as session:
        assert list(ledger.audit(session)) == []
        assert ledger.get_balance(session, ACCOUNTS[0]).available == 10


def test_a_sweep_before_anything_is_due_does_nothing(lapsing: Engine) -> None:
    """A microsecond before the first lapse."""
    assert ledger.sweep(lapsing, at=later(3600) - timedelta(microseconds=1)).accounts == 0


def test_on_postgresql_an_account_that_is_locked_is_passed_over_and_swept_the_next_time(postgresql_url: str) -> None:
    """Neither waits for the other, and the sweep ends."""
    engine = create_engine(postgresql_url)
    with Session(engine) as session, session.begin():
        for name in ("busy", "free"):
            ledger.open_account(session, name, at=START)
            ledger.grant_credits(session, name, 10, at=START, expires_at=later(60))
    with Session(engine) as customer:
        customer.execute(text("SELECT 1 FROM ledger_account WHERE account_id = 'busy' FOR UPDATE"))
        assert ledger.sweep(engine, at=later(60)).accounts == 1
    again = ledger.sweep(engine, at=later(60))
    assert (again.accounts, again.grants, again.expired) == (1, 1, 10)
    engine.dispose()


@pytest.mark.parametrize("most", [0, -1, "5", None, 2.5])
def test_a_transaction_takes_a_whole_number_of_accounts(engine: Engine, most: object) -> None:
    """The argument is refused before anything is recorded."""
    with pytest.raises(ledger.CommandInvalid):
        ledger.sweep(engine, accounts_max=most)  # type: ignore[arg-type]
