"""Transactions that the library owns: one that SQL of the work itself ends is told, not answered as committed."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import ledger


@pytest.mark.parametrize("is_first", [True, False], ids=["first of its engine", "a later one"])
@pytest.mark.parametrize("before", ["SELECT 1", None], ids=["a statement first", "a verb first"])
@pytest.mark.parametrize("end", ["ROLLBACK", "COMMIT"])
def test_a_transaction_that_sql_ended_is_told(engine: Engine, end: str, before: str | None, is_first: bool) -> None:
    """Whoever began it: the store with the verb's reads, or the driver with the host's statement."""

    def work(session: Session) -> ledger.Account:
        if before is not None:
            session.execute(text(before))
        opened = ledger.open_account(session, "acme")
        session.execute(text(end))
        return opened

    if not is_first:
        ledger.run_transaction(engine, ledger.list_accounts)
    with pytest.raises(ledger.TransactionEnded):
        ledger.run_transaction(engine, work)
    assert ledger.run_transaction(engine, ledger.list_accounts) == (["acme"] if end == "COMMIT" else [])


def test_work_that_sends_nothing_has_ended_nothing(engine: Engine) -> None:
    """A transaction that has not begun is not one that ended."""
    assert ledger.run_transaction(engine, lambda session: session.connection() is not None)
    assert ledger.run_transaction(engine, lambda session: 5) == 5
