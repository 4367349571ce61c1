"""The rule of keys: a key means once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.orm import Session

import ledger
from ledger import Capture, GrantCredits, Release, Reserve
from tests.ledger.conftest import START, Stored, later

HOUR = timedelta(hours=1)


def commands(hold: str) -> list[ledger.Command]:
    """A keyed command of each kind."""
    return [
        GrantCredits("acme", 5, "k", 7, later(days=9), START),
        Reserve("acme", Decimal("2.5"), "k", HOUR, START),
        Capture(hold, Decimal("0.5"), "k", at=START),
        Release(hold, "k", at=START),
    ]


@pytest.mark.parametrize("index", range(4))
def test_the_same_request_again_gets_the_first_answer_and_moves_nothing(
    session: Session, acme: str, stored: Stored, index: int
) -> None:
    hold = ledger.reserve(session, acme, 1, at=START).reservation_id
    command = commands(hold)[index]
    (first,) = ledger.execute(session, [command])
    before = stored()
    (again,) = ledger.execute(session, [replace(command, at=later(500))])
    assert again == replace(first, replayed=True)  # type: ignore[type-var]
    assert not first.replayed  # type: ignore[union-attr]
    assert stored() == before


@pytest.mark.parametrize(
    "other",
    [
        GrantCredits("acme", 5, "k", at=START),
        Reserve("acme", 2, "k", at=START),
        Reserve("acme", 1, "k", HOUR, START),
        Capture("acme/r2", key="k", at=START),
        Release("acme/r2", "k", at=START),
        Release("acme/r99", "k", at=START),
        Reserve("acme", 10_000, "k", at=START),
    ],
)
def test_another_request_with_the_key_is_a_conflict_before_anything_else(
    session: Session, acme: str, stored: Stored, other: ledger.Command
) -> None:
    ledger.execute(session, [Reserve("acme", 1, "k", at=START)])
    before = stored()
    (answer,) = ledger.execute(session, [other])
    assert isinstance(answer, ledger.IdempotencyConflict)
    assert answer.key == "k"
    assert stored() == before


def test_a_refused_call_leaves_its_key_free(session: Session, acme: str) -> None:
    with pytest.raises(ledger.InsufficientCredits):
        ledger.reserve(session, acme, 11, key="k", at=START)
    assert not ledger.reserve(session, acme, 3, key="k", at=START).replayed


def test_keys_are_their_accounts_own(session: Session, acme: str) -> None:
    ledger.open_account(session, "zeta", at=START)
    ledger.grant_credits(session, "zeta", 5, key="k", at=START)
    assert not ledger.reserve(session, acme, 3, key="k", at=START).replayed


def test_a_key_in_one_batch_twice_is_once(session: Session, acme: str) -> None:
    first, again, other = ledger.execute(
        session,
        [
            Reserve(acme, 1, "k", at=START),
            Reserve(acme, Decimal("1.00"), "k", at=START),
            Reserve(acme, 2, "k", at=START),
        ],
    )
    assert again == replace(first, replayed=True)  # type: ignore[type-var]
    assert isinstance(other, ledger.IdempotencyConflict)


def test_without_a_key_every_call_is_new(session: Session, acme: str) -> None:
    first, second = (ledger.reserve(session, acme, 1, at=START) for _ in range(2))
    assert first.reservation_id != second.reservation_id


def test_a_replay_is_the_first_answer_even_after_the_hold_was_settled(session: Session, acme: str) -> None:
    first = ledger.reserve(session, acme, 4, key="k", at=START)
    ledger.capture(session, first.reservation_id, 1, at=START)
    assert ledger.reserve(session, acme, 4, key="k", at=START) == replace(first, replayed=True)


@pytest.mark.parametrize("key", ["", "x" * 256, 7, "a\x00b", "\ud800"])
def test_a_key_that_is_no_key_is_refused(session: Session, acme: str, key: Any) -> None:
    with pytest.raises(ledger.CommandInvalid) as caught:
        ledger.reserve(session, acme, 1, key=key)
    assert caught.value.field == "key"


def test_a_key_of_255_characters_of_any_script_is_stored(session: Session, acme: str) -> None:
    key = '"\\é{}, ' * 36 + "日本"
    assert len(key) <= 255
    (first, again) = (ledger.reserve(session, acme, 1, key=key, at=START) for _ in range(2))
    assert again == replace(first, replayed=True)
