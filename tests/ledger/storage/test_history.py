"""Entries read back: in windows, by number and by key, and the place of a moment among them."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

import ledger
from ledger.model.moments import to_moment
from ledger.schema.triggers import remove_triggers
from ledger.storage.history import sequence_before
from tests.ledger.conftest import START

FIRST = to_moment(START)
RHYTHMS: dict[str, Callable[[random.Random, int], int]] = {
    "even": lambda _random, number: number * 1000,
    "random": lambda random, _number: random.randrange(400_000),
    "all at once": lambda _random, _number: 5,
    "in bursts": lambda random, number: number // 40 * 10**9 + random.randrange(3),
    "ever faster": lambda _random, number: 10**12 - 10**12 // (number + 1),
    "ever slower": lambda _random, number: 2 ** (number // 10),
    "one long ago": lambda _random, number: 10**15 + number if number else 0,
}


@pytest.mark.parametrize("rhythm", RHYTHMS)
@pytest.mark.parametrize("count", [0, 1, 2, 3, 64, 400])
def test_the_place_of_any_moment_is_found(session: Session, rhythm: str, count: int) -> None:
    ledger.open_account(session, "acme", at=START)
    connection = session.connection()
    draw = random.Random(count)
    moments = write_entries(connection, sorted(FIRST + RHYTHMS[rhythm](draw, number) for number in range(count)))
    asked = {FIRST - 1, FIRST, FIRST + 2**62 // 1000, *moments, *(m + 1 for m in moments), *(m - 1 for m in moments)}
    asked |= {draw.randrange(FIRST, FIRST + 10**12) for _ in range(20)}
    for moment in draw.sample(sorted(asked), min(len(asked), 60)):
        assert sequence_before(connection, "acme", moment) == bisect_left(moments, moment)
        last = draw.randrange(count + 1)
        assert sequence_before(connection, "acme", moment, last) == bisect_left(moments[:last], moment)


def write_entries(connection: Connection, moments: list[int]) -> list[int]:
    """Entries of these moments, and nothing else of a book."""
    remove_triggers(connection)
    insert = (
        "INSERT INTO ledger_entry (account_id, sequence, kind, at, recorded_at, scope, details, issued, available,"
        " held, consumed, expired, revoked, hash, scheduled, owed) VALUES"
        " ('acme', :sequence, 'expire', :at, :at, '', '{}', 0, 0, 0, 0, 0, 0, :hash, 0, 0)"
    )
    rows = [{"sequence": number, "at": at, "hash": bytes(32)} for number, at in enumerate(moments, 1)]
    if rows:
        connection.execute(text(insert), rows)
        change = text("UPDATE ledger_account SET sequence = :sequence, at = :at, head = :hash")
        connection.execute(change, rows[-1])
    return moments
