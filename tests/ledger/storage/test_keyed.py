"""Rows of many keys: what becomes of hard values, and how PostgreSQL finds the rows in a new database."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import ledger
from tests.ledger.conftest import START
from tests.ledger.storage.postgresql.test_literals import HARD

_SCANS = text("SELECT relname, seq_scan FROM pg_stat_xact_user_tables WHERE relname LIKE 'ledger%'")


@pytest.mark.parametrize("size", [1, len(HARD)])
def test_texts_that_mean_something_to_arrays_come_back_as_they_were(session: Session, size: int) -> None:
    ledger.execute(session, [ledger.OpenAccount(name, START) for name in HARD])
    grants = [ledger.GrantCredits(name, 5, key=name, metadata={name: name}, at=START) for name in HARD]
    for first in range(0, len(grants), size):
        ledger.execute(session, grants[first : first + size])
    for name in HARD:
        (entry,) = ledger.get_statement(session, name).entries
        assert (entry.account_id, entry.key, entry.details["metadata"]) == (name, name, {name: name})
    again = ledger.execute(session, grants)
    assert all(isinstance(grant, ledger.Grant) and grant.replayed for grant in again)
    assert list(ledger.audit(session)) == []


def test_a_new_database_looks_keys_up_by_index_before_it_has_statistics(postgresql_url: str) -> None:
    engine: Engine = ledger.create_engine(postgresql_url)
    with Session(engine) as session, session.begin():
        session.execute(text("SET plan_cache_mode = force_generic_plan"))
        ledger.open_account(session, "acme")
        ledger.grant_credits(session, "acme", 10_000)
        for batch in range(3):
            holds = ledger.execute(session, [ledger.Reserve("acme", 1, f"{batch}-{n}") for n in range(300)])
        before = dict(session.execute(_SCANS).all())
        reservations = [hold.reservation_id for hold in holds if isinstance(hold, ledger.Reservation)]
        ledger.execute(session, [ledger.Capture(name, key=f"c{name}") for name in reservations])
        after = dict(session.execute(_SCANS).all())
    engine.dispose()
    assert len(reservations) == 300
    assert after["ledger_entry"] == before["ledger_entry"]
