"""The audit finds whatever is changed behind the library's back, and names the account and the first bad entry."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

import ledger
from tests.drivers import create_engine
from tests.ledger.conftest import START, later

_GRANT_COLUMNS = "(account_id, number, priority, expires_at, amount, available, held, consumed, expired, revoked)"
_HOLD_COLUMNS = "(account_id, number, state, amount, captured, freed, reserved_at, expires_at, dataset_id, started_ms)"
_ENTRY_COLUMNS = """(account_id, sequence, kind, at, recorded_at, scope, key, digest, reservation, details,
 issued, available, held, consumed, expired, revoked, hash)"""
_COPY = """SELECT account_id, 7, kind, at, recorded_at, scope, NULL, NULL, reservation, details,
 issued, available, held, consumed, expired, revoked, hash FROM ledger_entry"""
_DIGEST = "SELECT digest FROM ledger_entry e WHERE e.account_id = 'acme' AND e.sequence = 1"

# Entries of `acme`: 1 grant, 2 reserve, 3 capture, 4 reserve (held), 5 grant (expiring), 6 reserve (held, expiring).
TAMPERINGS = {
    "an amount of a transfer": (
        "UPDATE ledger_transfer SET amount = amount + 1 WHERE {acme} AND sequence = 3 AND ordinal = 0",
        3,
    ),
    "the bucket of a transfer": ("UPDATE ledger_transfer SET target = 'revoked' WHERE {acme} AND sequence = 1", 1),
    "the grant of a transfer": ("UPDATE ledger_transfer SET grant_number = 5 WHERE {acme} AND sequence = 4", 4),
    "a transfer removed": ("DELETE FROM ledger_transfer WHERE {acme} AND sequence = 2", 2),
    "a transfer added": (
        "INSERT INTO ledger_transfer VALUES ('acme', 4, 9, 1, 'available', 'revoked', 1)",
        4,
    ),
    "the kind of an entry": ("UPDATE ledger_entry SET kind = 'release' WHERE {acme} AND sequence = 3", 3),
    "the moment of an entry": ("UPDATE ledger_entry SET at = at + 1 WHERE {acme} AND sequence = 2", 2),
    "when an entry was recorded": ("UPDATE ledger_entry SET recorded_at = 1 WHERE {acme} AND sequence = 2", 2),
    "the key of an entry": ("UPDATE ledger_entry SET key = 'x' WHERE {acme} AND sequence = 1", 1),
    "the scope of a key": ("UPDATE ledger_entry SET scope = 'x' WHERE {acme} AND sequence = 1", 1),
    "the digest of a request": ("UPDATE ledger_entry SET digest = hash WHERE {acme} AND sequence = 1", 1),
    "the details of an entry": ("UPDATE ledger_entry SET details = details || ' ' WHERE {acme} AND sequence = 4", 4),
    "the balance of an entry": (
        "UPDATE ledger_entry SET available = available - 1, held = held + 1 WHERE {acme} AND sequence = 4",
        4,
    ),
    "the hash of an entry": (
        f"UPDATE ledger_entry SET hash = ({_DIGEST}) WHERE {{acme}} AND sequence = 4",
        4,
    ),
    "the reservation of an entry": ("UPDATE ledger_entry SET reservation = 4 WHERE {acme} AND sequence = 3", 3),
    "the first entry removed": ("DELETE FROM ledger_entry WHERE {acme} AND sequence = 1", 2),
    "a middle entry removed": ("DELETE FROM ledger_entry WHERE {acme} AND sequence = 3", 4),
    "the last entry removed": ("DELETE FROM ledger_entry WHERE {acme} AND sequence = 6", 6),
    "an entry added": (
        f"INSERT INTO ledger_entry {_ENTRY_COLUMNS} {_COPY} WHERE {{acme}} AND sequence = 6",
        None,
    ),
    "what a grant has left": (
        "UPDATE ledger_grant SET available = available - 1, consumed = consumed + 1 WHERE {acme} AND number = 1",
        1,
    ),
    "when a grant lapses": ("UPDATE ledger_grant SET expires_at = expires_at + 1 WHERE {acme} AND number = 5", 5),
    "the priority of a grant": ("UPDATE ledger_grant SET priority = 1 WHERE {acme} AND number = 1", 1),
    "a grant removed": ("DELETE FROM ledger_grant WHERE {acme} AND number = 1", 1),
    "a grant added": (
        f"INSERT INTO ledger_grant {_GRANT_COLUMNS} VALUES ('acme', 9, 1, NULL, 5, 5, 0, 0, 0, 0)",
        9,
    ),
    "the state of a settled hold": (
        "UPDATE ledger_reservation SET state = 'released' WHERE {acme} AND number = 2",
        2,
    ),
    "what a hold captured": (
        "UPDATE ledger_reservation SET captured = captured - 1, freed = freed + 1 WHERE {acme} AND number = 2",
        2,
    ),
    "an open hold closed": (
        "UPDATE ledger_reservation SET state = 'released', freed = amount WHERE {acme} AND number = 4",
        4,
    ),
    "when a hold lapses": (
        "UPDATE ledger_reservation SET expires_at = NULL, lapses_at = NULL WHERE {acme} AND number = 6",
        6,
    ),
    "a hold removed": ("DELETE FROM ledger_reservation WHERE {acme} AND number = 4", 4),
    "a hold added": (
        f"INSERT INTO ledger_reservation {_HOLD_COLUMNS} VALUES ('acme', 9, 'held', 1, 0, 0, 0, NULL, NULL, NULL)",
        None,
    ),
    "an account's balance": (
        "UPDATE ledger_account SET available = available - 1, consumed = consumed + 1 WHERE {acme}",
        None,
    ),
    "an account's sequence": ("UPDATE ledger_account SET sequence = 7 WHERE {acme}", 7),
    "an account's head": (f"UPDATE ledger_account SET head = ({_DIGEST}) WHERE {{acme}}", 6),
    "an account's latest moment": ("UPDATE ledger_account SET at = at + 1 WHERE {acme}", None),
    "when an account was opened": ("UPDATE ledger_account SET opened_at = opened_at - 1 WHERE {acme}", 1),
    "when something lapses next": ("UPDATE ledger_account SET due_at = NULL WHERE {acme}", 6),
    "an account removed": ("DELETE FROM ledger_account WHERE {acme}", None),
}


@pytest.fixture
def book(session: Session) -> Session:
    """Two accounts with every kind of row, nothing refusing changes any more."""
    for name in ("acme", "beta"):
        ledger.open_account(session, name, at=START)
        ledger.grant_credits(session, name, 10, key="grant", at=START)
        hold = ledger.reserve(session, name, 4, at=later(1))
        ledger.capture(session, hold.reservation_id, 3, at=later(2))
        ledger.reserve(session, name, 2, at=later(3))
        ledger.grant_credits(session, name, 5, expires_at=later(90), at=later(4))
        ledger.reserve(session, name, 6, expires_in=timedelta(seconds=95), at=later(5))
    session.commit()
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SET session_replication_role = replica"))
    else:
        session.connection().exec_driver_sql("COMMIT")
        session.connection().exec_driver_sql("PRAGMA foreign_keys = OFF")
        session.connection().exec_driver_sql("BEGIN IMMEDIATE")
        for name in session.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all():
            session.execute(text(f"DROP TRIGGER {name}"))
    return session


def test_an_untouched_book_has_no_findings(book: Session) -> None:
    assert list(ledger.audit(book)) == []
    ledger.require_clean(book)


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_whatever_is_changed_behind_the_librarys_back_is_found(book: Session, tampering: str) -> None:
    statement, first = TAMPERINGS[tampering]
    changed = book.execute(text(statement.format(acme="account_id = 'acme'")))
    assert changed.rowcount == 1  # type: ignore[attr-defined]
    findings = list(ledger.audit(book))
    assert findings
    assert {finding.account_id for finding in findings} == {"acme"}
    sequences = [finding.sequence for finding in findings if finding.sequence is not None]
    assert (sequences[0] if sequences else None) == first or first is None
    assert "acme" in str(findings[0])
    with pytest.raises(ledger.AuditFailed) as caught:
        ledger.require_clean(book)
    assert list(caught.value.findings) == findings


@pytest.mark.parametrize("sequence", [1, 2, 3])
@pytest.mark.parametrize(
    "change", ["details = '{}'", "details = 'x'", "details = '[]'", "kind = 'zzz'", "kind = 'grant'"]
)
def test_an_entry_that_cannot_even_be_read_is_a_finding_and_other_accounts_are_still_audited(
    book: Session, change: str, sequence: int
) -> None:
    book.execute(text(f"UPDATE ledger_entry SET {change} WHERE account_id = 'acme' AND sequence = {sequence}"))
    book.execute(text("UPDATE ledger_transfer SET amount = amount + 1 WHERE account_id = 'beta' AND sequence = 4"))
    findings = list(ledger.audit(book))
    if not (change == "kind = 'grant'" and sequence == 1):
        assert (findings[0].account_id, findings[0].sequence, findings[0].code) == ("acme", sequence, "entry_altered")
    assert "beta" in {finding.account_id for finding in findings}


@pytest.mark.parametrize("change", ["head = 'abc'", "opened_at = 'x'"])
def test_an_account_whose_row_has_another_type_of_value_is_a_finding(sqlite_url: str, change: str) -> None:
    engine = create_engine(sqlite_url)
    with Session(engine) as session:
        ledger.open_account(session, "acme")
        ledger.grant_credits(session, "acme", 1)
        session.execute(text(f"UPDATE ledger_account SET {change}"))
        assert {finding.account_id for finding in ledger.audit(session)} == {"acme"}
    engine.dispose()


def test_a_forged_account_without_a_name_is_audited_too(book: Session) -> None:
    book.execute(
        text(
            "INSERT INTO ledger_account (account_id, opened_at, sequence, at, head, issued, available, held, consumed,"
            " expired, revoked, due_at) SELECT '', opened_at, sequence, at, head, issued, available, held, consumed,"
            " expired, revoked, due_at FROM ledger_account WHERE account_id = 'acme'"
        )
    )
    assert {finding.account_id for finding in ledger.audit(book)} == {""}


def test_swapped_entries_are_found(book: Session) -> None:
    for move in (
        "sequence = 99 WHERE sequence = 2",
        "sequence = 2 WHERE sequence = 3",
        "sequence = 3 WHERE sequence = 99",
    ):
        book.execute(text(f"UPDATE ledger_entry SET {move} AND account_id = 'acme'"))
    assert next(ledger.audit(book)).sequence == 2


def test_one_account_can_be_audited_alone(book: Session) -> None:
    book.execute(text("UPDATE ledger_transfer SET amount = amount + 1 WHERE account_id = 'acme' AND sequence = 3"))
    assert list(ledger.audit(book, account_id="beta")) == []
    assert list(ledger.audit(book, account_id="acme"))


def test_an_audit_of_an_unknown_account_finds_it_missing(book: Session) -> None:
    (finding,) = ledger.audit(book, account_id="nobody")
    assert finding.code == "account_missing"


def test_entries_after_the_cutoff_are_left_out(book: Session) -> None:
    book.execute(text("UPDATE ledger_transfer SET amount = amount + 1 WHERE account_id = 'acme' AND sequence = 4"))
    assert list(ledger.audit(book, at=later(2))) == []
    assert list(ledger.audit(book, at=later(3)))


def test_money_made_from_nothing_with_a_sound_chain_is_still_found(book: Session) -> None:
    """Conservation does not rest on the hashes: an overspend is one even where every hash fits."""
    from ledger.book.postings import chain_hash, genesis
    from ledger.storage import history, snapshots

    connection = book.connection()
    book.execute(
        text("UPDATE ledger_transfer SET amount = amount + 90000000 WHERE account_id = 'beta' AND sequence = 2")
    )
    head = genesis("beta", snapshots.read_accounts(connection, ["beta"])["beta"].opened_at)
    for posting in history.read_postings(connection, [("beta", number) for number in range(1, 7)]):
        head = chain_hash(head, posting)
        values = {"hash": head, "sequence": posting.sequence}
        book.execute(
            text("UPDATE ledger_entry SET hash = :hash WHERE account_id = 'beta' AND sequence = :sequence"), values
        )
    book.execute(text("UPDATE ledger_account SET head = :head WHERE account_id = 'beta'"), {"head": head})
    codes = {finding.code for finding in ledger.audit(book)}
    assert {"balance_wrong", "overspent"} <= codes
    assert "entry_altered" not in codes


@pytest.mark.triggers
@pytest.mark.parametrize("table", ["ledger_entry", "ledger_transfer"])
@pytest.mark.parametrize("change", ["UPDATE {table} SET account_id = 'x'", "DELETE FROM {table}", "TRUNCATE {table}"])
def test_the_database_refuses_changes_to_the_book(session: Session, acme: str, table: str, change: str) -> None:
    if change.startswith("TRUNCATE") and session.get_bind().dialect.name == "sqlite":
        change = "DELETE FROM {table}"  # SQLite has no TRUNCATE
    suffix = " CASCADE" if change.startswith("TRUNCATE") else ""
    with pytest.raises(DBAPIError, match="append-only"):
        session.execute(text(change.format(table=table) + suffix))
