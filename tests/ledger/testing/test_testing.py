"""What the ledger ships for others' tests: an engine in memory, fixtures, invariants, and the machine."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

import ledger
from ledger.testing import assert_sound, memory_engine
from ledger.testing.machine import run_machine
from tests.ledger.conftest import START, later

pytest_plugins = ["pytester"]


def test_a_ledger_in_memory_is_whole_and_forgotten() -> None:
    for _ in range(2):
        with memory_engine() as engine:
            ledger.check_schema(engine)
            with Session(engine) as session, session.begin():
                assert ledger.list_accounts(session) == []
                ledger.open_account(session, "acme")


def test_threads_share_the_ledger_in_memory() -> None:
    with memory_engine() as engine:
        with Session(engine) as session, session.begin():
            ledger.open_account(session, "acme")
            ledger.grant_credits(session, "acme", 10)
        seen: list[object] = []

        def look() -> None:
            with Session(engine) as session:
                seen.append(ledger.get_balance(session, "acme").available)

        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        assert seen == [10]


def test_a_sound_book_is_said_to_be_and_another_is_not(session: Session, acme: str) -> None:
    ledger.set_credit_line(session, acme, 5, at=START)
    hold = ledger.reserve(session, acme, 12, at=START)
    ledger.capture(session, hold.reservation_id, 3, final=False, at=later(1))
    ledger.open_account(session, "empty", at=START)
    assert_sound(session)
    session.execute(text("UPDATE ledger_account SET at = at + 1 WHERE account_id = 'acme'"))
    with pytest.raises(AssertionError, match="the audit found: account 'acme'"):
        assert_sound(session)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("UPDATE ledger_account SET available = available + 1, issued = issued + 1", "its last entry"),
        ("UPDATE ledger_grant SET available = available - 1, consumed = consumed + 1", "grants sum to"),
        ("UPDATE ledger_reservation SET slices = '[]'", "its slices 0"),
        ("UPDATE ledger_reservation SET captured = 1000000, slices = '[[1,1000000,0]]'", "its open holds"),
    ],
)
def test_each_invariant_is_looked_at_apart_from_the_audit(
    session: Session, acme: str, change: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.reserve(session, acme, 2, at=START)
    monkeypatch.setattr("ledger.testing.invariants.audit", lambda _session: iter(()))
    assert_sound(session)
    session.execute(text(change))
    with pytest.raises(AssertionError, match=says):
        assert_sound(session)


def test_the_fixtures_are_a_plugin(pytester: pytest.Pytester) -> None:
    pytester.makeconftest('pytest_plugins = ["ledger.testing.fixtures"]')
    pytester.makepyfile(
        """
        import ledger
        from ledger.testing import assert_sound

        def test_mine(ledger_session):
            ledger.open_account(ledger_session, "acme")
            ledger.grant_credits(ledger_session, "acme", 10)
            assert_sound(ledger_session)

        def test_yours(ledger_engine, ledger_session):
            assert ledger.list_accounts(ledger_session) == []
        """
    )
    pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:xdist").assert_outcomes(passed=2)


def test_the_machine_runs_on_a_hosts_engine() -> None:
    with memory_engine() as engine:
        run_machine(engine, examples=3, steps=8)
        with Session(engine) as session:
            assert_sound(session)
            assert len(ledger.list_accounts(session)) >= 6


def test_the_package_says_how_it_is_used() -> None:
    said = (Path(ledger.__file__).parent / "testing" / "__init__.py").read_text()
    assert "run-credits[testing]" in said
