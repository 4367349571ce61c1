"""A checkpoint is the same bytes every time, and a book that was rewritten behind it does not extend it."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

import ledger
from ledger.book.buckets import BALANCES
from tests.ledger.auditing.test_book import book  # noqa: F401  # the fixture
from tests.ledger.conftest import START, later


def test_a_checkpoint_is_canonical_and_reads_back(session: Session, acme: str) -> None:
    ledger.open_account(session, "zürich", at=START)
    ledger.reserve(session, acme, Decimal("0.25"), at=later(1))
    checkpoint = ledger.take_checkpoint(session, at=later(2))
    document = checkpoint.to_json()
    assert document == ledger.take_checkpoint(session, at=later(2)).to_json()
    assert ledger.Checkpoint.from_json(document) == checkpoint
    content = json.loads(document)
    assert [mark["account_id"] for mark in content["accounts"]] == ["acme", "zürich"]
    assert (content["accounts"][0]["sequence"], content["totals"]["held"]) == (2, "0.25")
    assert document.isascii()
    assert document.endswith("}\n")


def test_a_book_without_accounts_has_a_checkpoint_too(session: Session) -> None:
    checkpoint = ledger.take_checkpoint(session, at=START)
    assert checkpoint.totals() == (0,) * 8
    assert ledger.Checkpoint.from_json(checkpoint.to_json()) == checkpoint
    assert list(ledger.verify_checkpoint(session, checkpoint)) == []


def test_a_book_that_goes_on_extends_its_checkpoint(session: Session, acme: str) -> None:
    ledger.open_account(session, "beta", at=START)
    checkpoint = ledger.take_checkpoint(session)
    ledger.reserve(session, acme, 1, at=later(1))
    ledger.grant_credits(session, "beta", 1, at=later(1))
    ledger.open_account(session, "gamma", at=START)
    assert list(ledger.verify_checkpoint(session, checkpoint)) == []


@pytest.mark.parametrize(
    "document",
    ["", "[]", "{}", "null", '{"accounts": 5}', '{"accounts": [], "taken_at": "2026-01-01", "version": 9}'],
)
def test_what_is_no_checkpoint_is_refused(document: str) -> None:
    with pytest.raises(ledger.CheckpointInvalid):
        ledger.Checkpoint.from_json(document)


@pytest.mark.parametrize(("old", "new"), [('"sequence":1', '"sequence":2'), ("acme", "acmf"), ('"10"', '"11"')])
def test_a_changed_document_is_refused(session: Session, acme: str, old: str, new: str) -> None:
    document = ledger.take_checkpoint(session, at=START).to_json()
    assert old in document
    with pytest.raises(ledger.CheckpointInvalid, match="digest"):
        ledger.Checkpoint.from_json(document.replace(old, new))


def rewrite(session: Session, name: str) -> None:
    """Remove all of an account with SQL and write another history that agrees with itself."""
    for table in ("transfer", "reservation", "entry", "grant", "account"):
        session.execute(text(f"DELETE FROM ledger_{table} WHERE account_id = :name"), {"name": name})
    ledger.open_account(session, name, at=START)
    ledger.grant_credits(session, name, 11, key="grant", at=START)
    for second in range(8):
        ledger.reserve(session, name, 1, at=later(second))


def test_an_account_rewritten_whole_passes_the_audit_and_not_the_checkpoint(book: Session) -> None:  # noqa: F811
    checkpoint = ledger.take_checkpoint(book)
    rewrite(book, "acme")
    assert list(ledger.audit(book)) == []
    (finding,) = ledger.verify_checkpoint(book, checkpoint)
    assert (finding.account_id, finding.sequence, finding.code) == ("acme", 6, "checkpoint_broken")
    assert "written anew" in finding.message


def test_a_tail_cut_off_with_the_account_set_back_is_found(book: Session) -> None:  # noqa: F811
    early = ledger.take_checkpoint(book)
    hold = ledger.reserve(book, "acme", 1, at=later(9))
    late = ledger.take_checkpoint(book)
    number = int(hold.reservation_id.rpartition("r")[2])
    for table, column in (("transfer", "sequence"), ("reservation", "number"), ("entry", "sequence")):
        book.execute(text(f"DELETE FROM ledger_{table} WHERE account_id = 'acme' AND {column} = {number}"))
    mark = early.accounts[0]
    figures = ", ".join(f"{name} = {amount * 10**6:f}" for name, amount in zip(BALANCES, mark.balances, strict=True))
    acme = "WHERE account_id = 'acme'"
    at = book.execute(text(f"SELECT at FROM ledger_entry {acme} AND sequence = {mark.sequence}")).scalar_one()
    book.execute(
        text(f"UPDATE ledger_account SET sequence = {mark.sequence}, at = :at, head = :head, {figures} {acme}"),
        {"head": bytes.fromhex(mark.head), "at": at},
    )
    book.execute(
        text(f"UPDATE ledger_grant SET available = available + 1000000, held = held - 1000000 {acme} AND number = 1")
    )
    assert list(ledger.audit(book)) == []
    assert list(ledger.verify_checkpoint(book, early)) == []
    (finding,) = ledger.verify_checkpoint(book, late)
    assert (finding.account_id, finding.sequence) == ("acme", number)
    assert "gone" in finding.message


def test_an_account_that_is_gone_or_was_opened_anew_is_found(book: Session) -> None:  # noqa: F811
    ledger.open_account(book, "empty", at=START)
    checkpoint = ledger.take_checkpoint(book)
    book.execute(text("DELETE FROM ledger_account WHERE account_id = 'empty'"))
    assert [finding.account_id for finding in ledger.verify_checkpoint(book, checkpoint)] == ["empty"]
    ledger.open_account(book, "empty", at=later(1))
    assert [finding.account_id for finding in ledger.verify_checkpoint(book, checkpoint)] == ["empty"]
