"""The burn order: total, and the same in Python and in the databases' SQL."""

from __future__ import annotations

import random
from itertools import product

from sqlalchemy import text
from sqlalchemy.orm import Session

import ledger
from ledger.book.burning import CREDIT_LINE, KIND_RANKS, PAID, PROMOTIONAL, burn_key
from ledger.book.states import GrantState
from ledger.schema.tables import GrantRow
from ledger.storage.queries import BURN_ORDER
from ledger.storage.rows import grant_of, grant_row
from ledger.storage.shapes import RowShape, Write
from ledger.storage.stores import execute_writes

NONE_OF_IT = [0] * 7


def grants() -> list[GrantState]:
    """Grants that differ in every term of the order, shuffled, the latest numbers on any of them."""
    terms = list(product((-1, 0, 32767), (None, 1, 2**63 - 2), KIND_RANKS, (0, 5)))
    random.Random(7).shuffle(terms)
    return [
        GrantState(number, priority, expires_at, NONE_OF_IT if kind == CREDIT_LINE else [1, 1, 0, 0, 0, 0, 0], kind, at)
        for number, (priority, expires_at, kind, at) in enumerate(terms, 1)
    ]


def test_the_database_sorts_grants_as_the_rules_do(session: Session) -> None:
    """Every term of the order decides between some two grants, and no two grants have one place."""
    ledger.open_account(session, "acme")
    made = grants()
    write = Write(RowShape.of(GrantRow), [grant_row("acme", grant) for grant in made])
    execute_writes(session.connection(), [write])
    rows = session.execute(text(f"SELECT {', '.join(write.shape.columns)} FROM ledger_grant ORDER BY {BURN_ORDER}"))
    by_rule = sorted(made, key=burn_key)
    assert [grant_of(row).number for row in rows] == [grant.number for grant in by_rule]
    assert len({burn_key(grant) for grant in made}) == len(made)


def test_promotional_credits_burn_before_paid_ones_and_a_credit_line_lends_last() -> None:
    """The kinds by their rank, where priority and expiry are equal."""
    assert sorted(KIND_RANKS, key=KIND_RANKS.__getitem__) == [PROMOTIONAL, PAID, CREDIT_LINE]
