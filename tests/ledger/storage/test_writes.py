"""Writes of a batch: rows inserted, rows updated by key, on every database alike."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

import ledger
from ledger.schema.tables import CardRow, GrantRow
from ledger.storage.shapes import RowShape, Write
from ledger.storage.writes import execute_writes

CARD, TERMS = RowShape.of(CardRow), RowShape.of(GrantRow, ("expires_at", "scope"))
CARDS = text("SELECT account_id, card_id, content FROM ledger_card ORDER BY 2")


@pytest.mark.parametrize("count", [1, 2, 40])
def test_rows_are_inserted_as_they_are_given(session: Session, acme: str, count: int) -> None:
    rows = [(acme, f"card-{number:02}", f"'{{}}\\\" {number}") for number in range(count)]
    execute_writes(session.connection(), [Write(CARD, rows)])
    assert [tuple(row) for row in session.execute(CARDS)] == rows


@pytest.mark.parametrize("count", [1, 3, 40])
def test_rows_are_updated_by_their_keys_and_no_others(session: Session, acme: str, count: int) -> None:
    """The columns of the shape change, the others do not; a null is written as one."""
    ledger.execute(session, [ledger.GrantCredits(acme, 1) for _ in range(count)])
    changed = [(acme, number, number or None, f"s{number}") for number in range(2, count + 2)]
    execute_writes(session.connection(), [Write(TERMS, [(*row[:2], None, row[3]) for row in changed], is_update=True)])
    execute_writes(session.connection(), [Write(TERMS, changed, is_update=True)])
    found = session.execute(text("SELECT account_id, number, expires_at, scope FROM ledger_grant ORDER BY 2")).all()
    assert [tuple(row) for row in found] == [(acme, 1, None, None), *changed]
    assert session.execute(text("SELECT DISTINCT priority FROM ledger_grant")).scalars().all() == [100]


def test_a_write_without_rows_sends_nothing(session: Session) -> None:
    connection = session.connection()
    sent: list[Any] = []
    event.listen(connection, "before_cursor_execute", lambda *given: sent.append(given))
    execute_writes(connection, [])
    execute_writes(connection, [Write(CARD, []), Write(TERMS, [], is_update=True)])
    assert sent == []


def test_writes_of_several_tables_are_carried_out_together(session: Session, acme: str) -> None:
    execute_writes(
        session.connection(),
        [Write(CARD, [(acme, "c", "{}")]), Write(CARD, []), Write(TERMS, [(acme, 1, 5, "s")], is_update=True)],
    )
    assert session.execute(CARDS).all() == [(acme, "c", "{}")]
    assert session.execute(text("SELECT expires_at, scope FROM ledger_grant")).one() == (5, "s")


def test_what_the_table_refuses_is_raised_as_sqlalchemy_raises_it(session: Session, acme: str) -> None:
    with pytest.raises(IntegrityError):
        execute_writes(session.connection(), [Write(CARD, [(acme, "c", "{}"), (acme, "c", "{}")])])
