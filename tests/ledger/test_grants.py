"""The verbs of grants: issuing with terms, adjusting a balance, listing where credits are."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.orm import Session

import ledger
from tests.ledger.conftest import START, Buckets, later
from tests.ledger.shorthand import grant, is_sound, standing


def test_a_grant_keeps_what_it_was_said_to_be(session: Session, empty: str) -> None:
    given = ledger.grant_credits(
        session, "acme", 5, key="k", kind=ledger.GrantKind.PROMOTIONAL, at=START, external_ref="in_17",
        cost_basis=ledger.CostBasis(Decimal("0.0120"), "EUR"), metadata={"campaign": ["spring", 3]},
        scope={"dataset": ["d2", "d1"]},
    )  # fmt: skip
    assert (given.kind, given.external_ref, given.metadata) == ("promotional", "in_17", {"campaign": ["spring", 3]})
    assert given.cost_basis == {"per_credit": "0.012", "currency": "EUR"}
    assert given.scope == {"dataset": ["d1", "d2"]}
    again = ledger.grant_credits(
        session, "acme", 5, key="k", kind="promotional", at=later(5), external_ref="in_17",
        cost_basis=ledger.CostBasis(Decimal("0.012"), "EUR"), metadata={"campaign": ["spring", 3]},
        scope={"dataset": ["d1", "d2", "d2"]},
    )  # fmt: skip
    assert again.replayed
    assert again.grant_id == given.grant_id
    with pytest.raises(ledger.IdempotencyConflict):
        ledger.grant_credits(session, "acme", 5, key="k", at=START)


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"kind": "credit_line"}, "kind"),
        ({"kind": "free"}, "kind"),
        ({"cost_basis": "1 EUR"}, "cost_basis"),
        ({"scope": {}}, "scope"),
        ({"scope": {"dataset": "d1"}}, "scope.dataset"),
        ({"scope": {"dataset": []}}, "scope.dataset"),
        ({"external_ref": ""}, "external_ref"),
        ({"metadata": {"rate": 0.5}}, "metadata.rate"),
        ({"metadata": {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": 1}}}}}}}}}, "metadata.a.b.c.d.e.f.g.h"),
        ({"metadata": {"a": "x" * 5000}}, "metadata"),
        ({"metadata": {"a": object()}}, "metadata.a"),
        ({"metadata": ["a"]}, "metadata"),
        ({"metadata": {"a": "\x00"}}, "metadata.a"),
        ({"recurrence": "monthly"}, "recurrence"),
        ({"effective_at": later(10), "expires_at": later(10)}, "expires_at"),
        ({"effective_at": datetime(2026, 1, 1)}, "effective_at"),  # noqa: DTZ001  # that is what is refused
    ],
)
def test_terms_that_make_no_sense_are_refused(session: Session, empty: str, terms: dict[str, Any], field: str) -> None:
    with pytest.raises(ledger.CommandInvalid) as refused:
        grant(session, 5, **terms)
    assert refused.value.field == field


def test_an_adjustment_grants_or_consumes_with_a_reason(session: Session, acme: str, buckets: Buckets) -> None:
    added = ledger.adjust(session, "acme", Decimal("2.5"), reason="goodwill", key="a", at=START)
    assert added.grant_id is not None
    assert standing(session, added.grant_id).kind == "promotional"
    taken = ledger.adjust(session, "acme", -4, reason="usage that was not captured", key="b", at=later(1))
    # The promotional credits burn first.
    assert [(part.grant_id, part.amount) for part in taken.slices] == [
        (added.grant_id, Decimal("2.5")),
        ("acme/g1", Decimal("1.5")),
    ]
    assert ledger.adjust(session, "acme", -4, reason="usage that was not captured", key="b", at=later(9)).replayed
    balance = ledger.get_balance(session, "acme", at=later(1))
    assert (balance.available, balance.consumed) == (Decimal("8.5"), 4)
    with pytest.raises(ledger.InsufficientCredits):
        ledger.adjust(session, "acme", -9, reason="too much", at=later(2))
    for amount, reason in ((0, "nothing"), (1, "")):
        with pytest.raises(ledger.CommandInvalid):
            ledger.adjust(session, "acme", amount, reason=reason, at=later(2))
    assert is_sound(session)


def test_grants_are_listed_with_where_their_credits_are(session: Session, empty: str) -> None:
    named = grant(session, 10, expires_at=later(60))
    hold = ledger.reserve(session, "acme", 4, at=START)
    ledger.capture(session, hold.reservation_id, 1, at=later(1), final=False)
    (seen,) = ledger.list_grants(session, "acme", at=later(60))
    assert (seen.grant_id, seen.amount, seen.available, seen.held) == (named, 10, 0, 3)
    assert (seen.consumed, seen.expired, seen.recurring_id, seen.revoked_at) == (1, 6, None, None)
    with pytest.raises(ledger.AccountNotFound):
        ledger.list_grants(session, "nobody")


def test_a_grant_that_ended_is_listed_only_where_ended_ones_are_asked_for(session: Session, empty: str) -> None:
    """Whether or not its end has been recorded, and with the expiry that it had."""
    ledger.grant_credits(session, empty, 5, expires_at=later(days=1), at=START)
    ledger.grant_credits(session, empty, 5, recurrence=ledger.Recurrence("day"), at=START)
    for recorded in (False, True):
        if recorded:
            ledger.expire_due(session, account_id=empty, at=later(days=400))
        live = ledger.list_grants(session, empty, at=later(days=400))
        assert [(grant.available, grant.expires_at) for grant in live] == [(5, later(days=401))]
        ended = ledger.list_grants(session, empty, at=later(days=400), ended=True)
        assert [grant.expires_at for grant in ended[:2]] == [later(days=1), later(days=1)]
