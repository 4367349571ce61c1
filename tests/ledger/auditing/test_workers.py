"""The audit by several processes: what one process finds, in the same order, however the work is divided."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import ledger
from ledger.auditing import workers as audit_workers
from ledger.schema.triggers import remove_triggers

SMALL = [f"small-{number:02d}" for number in range(12)]
SIZES = dict.fromkeys(SMALL, 6) | {"giant": 400, "large": 120}
ENTRIES = sum(SIZES.values()) + len(SIZES)


@pytest.fixture
def book(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Small accounts, one that is a portion of its own, and one that several processes share; sizes made small."""
    monkeypatch.setattr(audit_workers, "PORTION_ENTRIES", 30)
    monkeypatch.setattr(audit_workers, "_STRETCH_ENTRIES", 90)
    with Session(engine) as session, session.begin():
        ledger.execute(session, [ledger.OpenAccount(name) for name in SIZES])
        ledger.execute(session, [ledger.GrantCredits(name, 10_000) for name in SIZES])
        ledger.execute(session, [ledger.Reserve(name, 1, f"k{n}") for name, size in SIZES.items() for n in range(size)])
    with engine.begin() as connection:
        remove_triggers(connection)
    return engine


@pytest.fixture(params=[None, "giant"])
def account_id(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """All accounts, and one alone."""
    return request.param


def alone(engine: Engine, account_id: str | None = None) -> list[ledger.Finding]:
    with Session(engine) as session:
        return list(ledger.audit(session, account_id=account_id))


def test_a_sound_book_has_no_findings_and_every_entry_is_counted_as_done(book: Engine) -> None:
    done: list[int] = []
    assert list(ledger.audit_together(book, workers=2, progress=done.append)) == []
    assert sum(done) == ENTRIES


def test_several_processes_find_what_one_finds(book: Engine, account_id: str | None) -> None:
    with book.begin() as connection:
        for change in (
            "UPDATE ledger_entry SET details = '{}' WHERE account_id = 'giant' AND sequence IN (95, 300)",
            "UPDATE ledger_transfer SET amount = amount + 1 WHERE account_id = 'large' AND sequence = 50",
            "UPDATE ledger_reservation SET reserved_at = 7 WHERE account_id = 'small-03' AND number = 4",
            "UPDATE ledger_account SET at = at + 1 WHERE account_id = 'small-11'",
            "DELETE FROM ledger_transfer WHERE account_id = 'small-07' AND sequence = 3",
        ):
            connection.execute(text(change))
    found = list(ledger.audit_together(book, workers=2, account_id=account_id))
    assert found == alone(book, account_id)
    names = {finding.account_id for finding in found}
    assert names == ({"giant", "large", "small-03", "small-07", "small-11"} if account_id is None else {"giant"})


@pytest.mark.parametrize("name", ["a", "giant-", "medium", "small-05x", "z"])
def test_rows_of_nobody_are_found_wherever_they_lie_between_the_accounts(book: Engine, name: str) -> None:
    statement = "INSERT INTO ledger_transfer VALUES (:name, 1, 0, 1, 'issued', 'available', 1)"
    with book.begin() as connection:
        if connection.dialect.name == "sqlite":
            connection.execute(text("PRAGMA defer_foreign_keys = ON"))
        connection.execute(text(statement), {"name": name})
        findings = list(ledger.audit(Session(connection)))
        assert [(finding.account_id, finding.code) for finding in findings] == [(name, "account_missing")]
        if connection.dialect.name == "sqlite":
            connection.rollback()
    if book.dialect.name == "postgresql":
        assert list(ledger.audit_together(book)) == findings
