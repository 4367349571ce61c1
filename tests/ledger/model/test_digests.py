"""Digests of requests: the same on every Python, and for keys that an earlier version of the library bound."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

import ledger
from estimator import RunOutcome
from ledger.model.digests import Digest
from ledger.schema.triggers import remove_triggers
from tests.ledger.conftest import START

HOUR = timedelta(hours=1)
UNKNOWN = "thanks \U0001fae9"
"""Ends with a character that is printable for Python 3.14 and not for 3.11."""

RECORDED: list[tuple[ledger.Command, str]] = [
    (
        ledger.Reserve("a", 5, "k", HOUR, None, timedelta(minutes=1), {"project": "p€"}, True),
        "d3abd60b087ac97e68223272a2d66b536449bb4061a38348c800e99dc8c498bd",
    ),
    (
        ledger.Capture("a/r2", Decimal("1.5"), "k", final=False, over="credit_line"),
        "5d97485cd668ca88c4e98d3ee3ab8dacd7544b62f32d4d8b60b7291019a867ba",
    ),
    (ledger.Release("a/r2", "k"), "ab2f0bc4364005bea03276cfc9aa1777aee7577cd75dea4c3f07dff4f82eb1b4"),
    (ledger.Extend("a/r2", HOUR, "k"), "ba9c82db1580e2cb1c0958869b7ac14ee316a9d241f3a75f608bbc141c01abb0"),
    (ledger.Refund("a/r2", 1, "k", UNKNOWN), "e68867232e3de565a321f22915f990278e0ae90a12376fb6f67344c2013a0b7e"),
    (
        ledger.GrantCredits(
            "a",
            5,
            key="k",
            kind="promotional",
            scope={"project": ["p1", "p2"]},
            metadata={"b": [1, None, True], "a": "€"},
            cost_basis=ledger.CostBasis(Decimal("0.012"), "EUR"),
            expires_at=datetime(2026, 3, 1, tzinfo=UTC),
            external_ref="x",
        ),
        "c19294f16ca39c56ec034e6dba9e87fad1700a41944eaca00049ce2347c1dc0c",
    ),
    (
        ledger.GrantCredits("a", 5, key="k", recurrence=ledger.Recurrence("month", rollover_max=50)),
        "18dd12a11455acc27da24e252a0edcebeb6fbe4a5099538ec77a388d5560943a",
    ),
    (ledger.RevokeGrant("a/g1", "k", "why"), "656aece1e497814e96281554ccf4b70227d658a563519001ccd81de59450a85e"),
    (
        ledger.Adjust("a", -5, reason=UNKNOWN, key="k"),
        "09d673d93ce75917db1736b1a0e7e06993f948cf41d41ccee68dc489742a26fd",
    ),
    (ledger.SetCreditLine("a", 5, key="k"), "f4afc948a21caecccce9cca351bd6c4abf5ff9141ca96c2cebb4517e3449a4e7"),
    (
        ledger.SetLimit("a", "day", 5, key="k", label="project"),
        "c37560ddcca23443df0815976bc8496a424131022c55787cc12b5aadc65cfa22",
    ),
    (
        ledger.SettleRun("a", "dataset-d-5", RunOutcome("failed", 3, None)),
        "37814deed314d6227eb8c1aa67da13fc3ad45f663ec5043bfaba703950273e96",
    ),
]


@pytest.mark.parametrize(("command", "recorded"), RECORDED, ids=lambda value: type(value).__name__)
def test_a_request_has_the_digest_that_was_recorded_for_it(command: ledger.Command, recorded: str) -> None:
    """Recorded once, under one Python; the suite runs under several."""
    assert command.digest().value.hex() == recorded  # type: ignore[union-attr]  # each of these has a key


def test_a_key_that_was_bound_by_the_earlier_text_is_a_replay_and_no_conflict(session: Session, acme: str) -> None:
    """The digest of version 1 was of the parts' `repr`; another request is a conflict under either."""
    ledger.reserve(session, acme, 5, key="k", at=START)
    earlier = sha256(repr(("reserve", 5_000_000, None)).encode()).digest()
    remove_triggers(session.connection())
    session.execute(text("UPDATE ledger_entry SET digest = :digest WHERE key = 'k'"), {"digest": earlier})
    assert ledger.reserve(session, acme, 5, key="k", at=START).replayed
    with pytest.raises(ledger.IdempotencyConflict):
        ledger.reserve(session, acme, 6, key="k", at=START)


def test_requests_that_differ_in_any_part_have_digests_that_differ() -> None:
    """Nothing of one text can be read as another."""
    parts = [
        ("a", "b"),
        ("ab",),
        ("a", 1),
        ("a", "1"),
        ("a", True),
        ("a", None),
        ("a", ("b",)),
        ("a",),
        ("a", ["b", None]),
    ]
    assert len({Digest(*each).value for each in parts}) == len(parts)


def test_the_digest_of_the_first_version_is_computed_as_it_was() -> None:
    """Stored keys are compared with it, so it may never change."""
    expected = "cbb0c7f627e11ef0732ef52abaaa5a18c32c625fa7ecff2d2f36dada31b0348d"
    assert Digest("reserve", 2_500_000, None).earlier.hex() == expected
    one, other = Digest("reserve", 2_500_000, ("grace", 1)), Digest("reserve", 2_500_000, "grace", 1)
    assert one.earlier != other.earlier
    assert one != other


def test_what_is_hashed_is_json_without_spaces_in_ascii() -> None:
    """Any reader of JSON can compute it, whatever the parts hold."""
    parts = ['é\u2028\ud83e\udee9 "\\', 0, -5, 2**63 - 1, None, True, False, ["a", ["b", None, 1]], []]
    text = json.dumps([2, *parts], ensure_ascii=True, separators=(",", ":"))
    assert Digest(*(tuple(part) if isinstance(part, list) else part for part in parts)).value == (
        sha256(text.encode()).digest()
    )
    assert Digest(*parts).value == sha256(text.encode()).digest()
