"""The rules of grants: what may be issued, what revoking takes, what a credit line may lend."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy.orm import Session

import ledger
from tests.ledger.conftest import START, Buckets, later
from tests.ledger.shorthand import grant, is_sound, standing


def test_revoking_takes_what_is_left_and_what_holds_free_later(session: Session, empty: str, buckets: Buckets) -> None:
    named = grant(session, 10)
    hold = ledger.reserve(session, "acme", 6, at=START)
    revoked = ledger.revoke_grant(session, named, key="k", reason="charged back", at=later(1))
    assert (revoked.amount, revoked.grants, revoked.replayed) == (4, (named,), False)
    assert ledger.revoke_grant(session, named, key="k", reason="charged back", at=later(2)).replayed
    assert buckets(at=later(2)) == {"held": 6, "revoked": 4}
    ledger.capture(session, hold.reservation_id, 1, at=later(3))
    assert buckets(at=later(3)) == {"consumed": 1, "revoked": 9}
    ledger.refund(session, hold.reservation_id, at=later(4))
    assert buckets(at=later(4)) == {"revoked": 10}
    assert is_sound(session)


def test_a_grant_is_revoked_once_and_only_while_it_lives(session: Session, empty: str) -> None:
    named, short = grant(session), grant(session, expires_at=later(5))
    scheduled = grant(session, effective_at=later(50))
    assert ledger.revoke_grant(session, scheduled, at=later(1)).amount == 10
    ledger.revoke_grant(session, named, at=later(1))
    for grant_id, state in ((named, "revoked"), (short, "expired")):
        with pytest.raises(ledger.GrantEnded) as ended:
            ledger.revoke_grant(session, grant_id, at=later(6))
        assert ended.value.state == state
    with pytest.raises(ledger.GrantNotFound):
        ledger.revoke_grant(session, "acme/g99", at=later(6))
    with pytest.raises(ledger.GrantNotFound):
        ledger.revoke_grant(session, named, account_id="beta", at=later(6))
    assert is_sound(session)


def test_a_grant_that_was_spent_long_ago_can_still_be_revoked(session: Session, empty: str) -> None:
    named = grant(session, 3)
    hold = ledger.reserve(session, "acme", 3, at=START)
    ledger.capture(session, hold.reservation_id, at=START)
    assert ledger.revoke_grant(session, named, at=later(1)).amount == 0
    ledger.refund(session, hold.reservation_id, at=later(2))
    assert standing(session, named, later(2)).revoked == 3


def test_revoking_a_recurring_grant_takes_every_lot_and_ends_it(session: Session, empty: str, buckets: Buckets) -> None:
    first = grant(session, 10, recurrence=ledger.Recurrence("day", rollover_max=5))
    revoked = ledger.revoke_grant(session, first, at=later(days=1, seconds=1))
    assert revoked.amount == 15
    assert len(revoked.grants) == 2
    assert buckets(at=later(days=400)) == {"revoked": 15, "expired": 5}
    with pytest.raises(ledger.GrantEnded):
        ledger.revoke_grant(session, first, at=later(days=2))
    assert is_sound(session)


def test_the_line_is_no_grant_to_revoke(session: Session, acme: str) -> None:
    ledger.set_credit_line(session, "acme", 5, at=START)
    with pytest.raises(ledger.GrantNotFound):
        ledger.revoke_grant(session, "acme/g2", at=START)


def test_a_line_lowered_below_what_is_owed_lends_nothing_until_repaid(session: Session, acme: str) -> None:
    ledger.set_credit_line(session, "acme", 10, at=START)
    ledger.capture(session, ledger.reserve(session, "acme", 16, at=START).reservation_id, at=START)
    lowered = ledger.set_credit_line(session, "acme", 4, at=later(1))
    assert (lowered.limit, lowered.owed, lowered.left) == (4, 6, 0)
    with pytest.raises(ledger.InsufficientCredits):
        ledger.reserve(session, "acme", 1, at=later(1))
    ledger.grant_credits(session, "acme", 3, at=later(2))
    assert ledger.reserve(session, "acme", 1, at=later(2)).state == "held"
    assert is_sound(session)


def test_a_grant_that_has_lapsed_already_is_refused(session: Session, acme: str) -> None:
    with pytest.raises(ledger.CommandInvalid, match="expires_at"):
        ledger.grant_credits(session, acme, 1, expires_at=START, at=START)


def test_an_account_holds_no_more_than_64_bits(session: Session, acme: str) -> None:
    with pytest.raises(ledger.CommandInvalid, match="beyond"):
        ledger.grant_credits(session, acme, Decimal("9223372036854.775807"), at=START)
    ledger.grant_credits(session, acme, Decimal("9223372036844.775807"), at=START)
    assert ledger.reserve(session, acme, Decimal("9223372036854.775807"), at=START).amount > 9 * 10**12
    ledger.require_clean(session)
