"""Batches: one answer a command, refusals that change nothing, and the caller's own transaction."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import ledger
from ledger import Capture, ExpireDue, GrantCredits, OpenAccount, Release, Reserve
from tests.ledger.conftest import START, Buckets, Stored, later


def test_an_empty_batch_does_nothing(session: Session, stored: Stored) -> None:
    before = stored()
    assert ledger.execute(session, []) == []
    assert stored() == before


def test_a_batch_answers_each_command_and_a_refusal_disturbs_no_neighbour(session: Session, buckets: Buckets) -> None:
    results = ledger.execute(
        session,
        [
            Reserve("acme", 1, at=START),
            OpenAccount("zeta", START),
            OpenAccount("acme", START),
            OpenAccount("acme", later(5)),
            GrantCredits("acme", 10, at=START),
            Reserve("acme", 11, at=START),
            Reserve("acme", 4, at=START),
            Reserve("nobody", 1, at=START),
            Capture("acme/r2", 5, at=START),
            Capture("acme/r2", 3, at=START),
            Release("acme/r2", at=START),
            Release("acme/r7", at=START),
            ExpireDue("acme", START),
        ],
    )
    assert [type(result).__name__ for result in results] == [
        "AccountNotFound",
        "Account",
        "Account",
        "Account",
        "Grant",
        "InsufficientCredits",
        "Reservation",
        "AccountNotFound",
        "CaptureExceedsReservation",
        "Reservation",
        "ReservationNotHeld",
        "ReservationNotFound",
        "Expiry",
    ]
    assert [result.replayed for result in results[1:4]] == [False, False, True]  # type: ignore[union-attr]
    assert buckets() == {"available": 7, "consumed": 3}
    assert buckets("zeta") == {}
    ledger.require_clean(session)


def test_the_callers_rollback_undoes_everything_and_the_callers_row_commits_with_the_hold(
    engine: Engine, database_url: str
) -> None:
    with Session(engine) as session, session.begin():
        session.execute(text("CREATE TABLE runs (id text)"))
        ledger.open_account(session, "acme")
        ledger.grant_credits(session, "acme", 10)
    for commits in (False, True):
        with Session(engine) as session:
            session.execute(text("INSERT INTO runs VALUES ('run')"))
            ledger.reserve(session, "acme", 4)
            if commits:
                session.commit()
        with Session(engine) as session:
            rows = session.execute(text("SELECT count(*) FROM runs")).scalar_one()
            assert (rows, ledger.get_balance(session, "acme").held) == ((1, 4) if commits else (0, 0))


def test_a_refusal_that_is_caught_does_not_poison_the_callers_transaction(session: Session, acme: str) -> None:
    for _ in range(2):
        with pytest.raises(ledger.InsufficientCredits):
            ledger.reserve(session, acme, 11, key="k")
        assert ledger.open_account(session, acme).replayed
    assert ledger.reserve(session, acme, 10, key="k").amount == 10


def test_account_ids_of_any_script_are_kept_apart(session: Session) -> None:
    names = ["acme", "Acme", "a'c\"me", "ac\\me", "a,c{me}", "ac me", "NULL", "日本", "a/r1", "x" * 255]
    ledger.execute(session, [OpenAccount(name, START) for name in names])
    ledger.execute(session, [GrantCredits(name, 5, f"k-{name[:9]}", at=START) for name in names])
    holds = ledger.execute(session, [Reserve(name, number + 1, at=START) for number, name in enumerate(names[:5])])
    ledger.execute(session, [Release(hold.reservation_id, at=START) for hold in holds])  # type: ignore[union-attr]
    assert sorted(ledger.list_accounts(session)) == sorted(names)
    assert {ledger.get_balance(session, name, at=START).available for name in names} == {Decimal(5)}
    ledger.require_clean(session)


def test_what_comes_due_is_recorded_except_where_another_transaction_has_the_account(postgresql_url: str) -> None:
    """It waits for nobody, and the next call records the rest."""
    engine = ledger.create_engine(postgresql_url)
    with Session(engine) as session, session.begin():
        for name in "abc":
            ledger.open_account(session, name, at=START)
            ledger.grant_credits(session, name, 4, expires_at=later(30), at=START)
    with Session(engine) as holder, Session(engine) as session:
        ledger.grant_credits(holder, "b", 1, at=later(1))
        assert [found.account_id for found in ledger.expire_due(session, at=later(40))] == ["a", "c"]
        session.commit()
        holder.commit()
        assert [found.account_id for found in ledger.expire_due(session, at=later(40))] == ["b"]
        assert list(ledger.audit(session)) == []
    engine.dispose()
