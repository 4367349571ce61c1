"""Grants: the burn order, scopes, scheduled and recurring grants, revoking, adjusting."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.orm import Session

import ledger
from tests.ledger.conftest import START, later

Buckets = Callable[..., dict[str, int]]


@pytest.fixture
def empty(session: Session) -> str:
    """An account without credits."""
    ledger.open_account(session, "acme", at=START)
    return "acme"


def grant(session: Session, amount: int = 10, **terms: Any) -> str:
    """A grant's id."""
    terms.setdefault("at", START)
    return ledger.grant_credits(session, "acme", amount, **terms).grant_id


def drawn(session: Session, amount: int, **terms: Any) -> list[tuple[str, Decimal]]:
    """What a hold of an amount takes from which grants."""
    terms.setdefault("at", START)
    hold = ledger.reserve(session, "acme", amount, **terms)
    return [(part.grant_id, part.amount) for part in hold.slices]


def standing(session: Session, grant_id: str, at: datetime = START) -> ledger.GrantStanding:
    """Where a grant's credits are."""
    found = ledger.list_grants(session, "acme", at=at, ended=True)
    return next(grant for grant in found if grant.grant_id == grant_id)


def is_sound(session: Session) -> bool:
    """True when the book proves itself."""
    return not list(ledger.audit(session))


def test_grants_burn_by_priority_expiry_kind_effect_and_number(session: Session, empty: str) -> None:
    youngest = grant(session, 1, priority=5)
    earlier_effect = grant(session, 1, priority=5, effective_at=later(-60))
    promotional = grant(session, 1, priority=5, kind="promotional")
    late = grant(session, 1, priority=5, expires_at=later(days=2))
    soon = grant(session, 1, priority=5, expires_at=later(days=1))
    first = grant(session, 1, priority=4)
    last = grant(session, 1, priority=6, expires_at=later(1), kind="promotional")
    second_youngest = grant(session, 1, priority=5)
    order = [first, soon, late, promotional, earlier_effect, youngest, second_youngest, last]
    assert [grant_id for grant_id, _ in drawn(session, 8)] == order
    assert is_sound(session)


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


@pytest.mark.parametrize(
    ("per_credit", "currency"),
    [(0.5, "EUR"), (Decimal("NaN"), "EUR"), (Decimal(-1), "EUR"), (1, "eur"), (1, "EURO"), (1, "E1R"), (True, "EUR")],
)
def test_a_cost_basis_is_exact_money_in_a_currency(per_credit: Any, currency: str) -> None:
    with pytest.raises(ledger.CommandInvalid, match="cost_basis"):
        ledger.CostBasis(per_credit, currency)


def test_a_grant_pays_only_for_what_its_scope_allows(session: Session, empty: str) -> None:
    scoped = grant(session, 5, scope={"dataset": ["d1", "d2"], "operation": ["rephrase"]}, priority=1)
    free = grant(session, 5)
    labels = {"dataset": "d1", "operation": "rephrase", "project": "p"}
    assert drawn(session, 6, labels=labels) == [(scoped, 5), (free, 1)]
    with pytest.raises(ledger.InsufficientCredits) as refused:
        ledger.reserve(session, "acme", 5, labels={"dataset": "d1"}, at=START)
    assert refused.value.available == 4
    assert drawn(session, 4) == [(free, 4)]
    assert is_sound(session)


def test_a_launch_is_labelled_with_its_dataset(session: Session, empty: str) -> None:
    from tests.ledger.test_runs import launch

    scoped = grant(session, 100, scope={"dataset": ["d1"]})
    launched = launch(session)
    hold = ledger.get_reservation(session, str(launched.reservation_id), at=START)
    assert [part.grant_id for part in hold.slices] == [scoped]
    with pytest.raises(ledger.InsufficientCredits) as refused:
        launch(session, dataset_id="d2")
    assert refused.value.available == 0


def test_a_scheduled_grant_is_there_from_its_moment_on(session: Session, empty: str, buckets: Buckets) -> None:
    scheduled = grant(session, 7, effective_at=later(60), expires_at=later(120))
    assert buckets(at=later(59)) == {}
    assert ledger.get_balance(session, "acme", at=later(59)).scheduled == 7
    with pytest.raises(ledger.InsufficientCredits):
        ledger.reserve(session, "acme", 1, at=later(59))
    assert buckets(at=later(60)) == {"available": 7}
    assert drawn(session, 2, at=later(60)) == [(scheduled, 2)]
    assert buckets(at=later(120)) == {"held": 2, "expired": 5}
    kinds = [str(entry.kind) for entry in ledger.get_statement(session, "acme", until=later(121)).entries]
    assert kinds == ["grant", "activate", "reserve", "expire"]
    assert is_sound(session)


def test_a_grant_that_takes_effect_and_lapses_unseen_is_both_in_order(session: Session, empty: str) -> None:
    grant(session, 7, effective_at=later(60), expires_at=later(120))
    ledger.expire_due(session, account_id="acme", at=later(500))
    entries = ledger.get_statement(session, "acme", until=later(501)).entries
    assert [(str(entry.kind), entry.at) for entry in entries] == [
        ("grant", START),
        ("activate", later(60)),
        ("expire", later(120)),
    ]
    assert is_sound(session)


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


MONTHLY = ledger.Recurrence("month")


def test_a_monthly_allowance_comes_once_a_month_and_lapses_at_its_end(
    session: Session, empty: str, buckets: Buckets
) -> None:
    anchor = datetime(2026, 3, 31, tzinfo=UTC)
    grant(session, 10, effective_at=anchor, recurrence=MONTHLY)
    assert buckets(at=later(days=29)) == {}
    drawn(session, 4, at=datetime(2026, 4, 2, tzinfo=UTC))
    assert buckets(at=datetime(2026, 4, 29, 23, tzinfo=UTC)) == {"available": 6, "held": 4}
    assert buckets(at=datetime(2026, 4, 30, tzinfo=UTC)) == {"available": 10, "held": 4, "expired": 6}
    assert buckets(at=datetime(2026, 5, 30, 23, tzinfo=UTC)) == {"available": 10, "held": 4, "expired": 6}
    assert buckets(at=datetime(2026, 5, 31, tzinfo=UTC)) == {"available": 10, "held": 4, "expired": 16}
    assert is_sound(session)


def test_after_a_year_asleep_every_period_was_granted_exactly_once(session: Session, empty: str) -> None:
    grant(session, 10, recurrence=MONTHLY, expires_at=START.replace(year=2027, month=2, day=15))
    for _ in range(2):
        ledger.expire_due(session, account_id="acme", at=START.replace(year=2027, month=2, day=10))
    entries = ledger.get_statement(session, "acme", until=START.replace(year=2027, month=2, day=11)).entries
    assert [str(entry.kind) for entry in entries] == ["grant", *["renew"] * 11]
    assert [entry.at.month for entry in entries] == [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 1, 2]
    balance = ledger.get_balance(session, "acme", at=START.replace(year=2027, month=2, day=14))
    assert (balance.available, balance.issued, balance.expired) == (10, 120, 110)
    over = START.replace(year=2027, month=6)
    assert ledger.get_balance(session, "acme", at=over).expired == 120
    ledger.expire_due(session, account_id="acme", at=over)
    assert [lot for lot in ledger.list_grants(session, "acme", at=over) if lot.available] == []
    assert is_sound(session)


def test_what_a_period_leaves_is_carried_over_between_the_rollovers(
    session: Session, empty: str, buckets: Buckets
) -> None:
    daily = ledger.Recurrence("day", rollover_min=3, rollover_max=5)
    first = grant(session, 10, recurrence=daily)
    drawn(session, 2)
    # 8 are left: 5 carried over, 3 expire, 10 come anew.
    assert buckets(at=later(days=1)) == {"available": 15, "held": 2, "expired": 3}
    # What was carried over burns first, and is carried over no further than the maximum.
    assert drawn(session, 4, at=later(days=1)) == [(first, 4)]
    assert buckets(at=later(days=2)) == {"available": 15, "held": 6, "expired": 9}
    # 1 is left: carried over, and filled up to 3.
    drawn(session, 14, at=later(days=2))
    assert buckets(at=later(days=3)) == {"available": 13, "held": 20, "expired": 9}
    lots = [lot for lot in ledger.list_grants(session, "acme", at=later(days=3)) if lot.available]
    assert {lot.recurring_id for lot in lots} == {first}
    assert {lot.expires_at for lot in lots} == {later(days=4)}
    ledger.expire_due(session, account_id="acme", at=later(days=3))
    assert is_sound(session)


def test_a_recurrence_may_only_fill_up(session: Session, empty: str, buckets: Buckets) -> None:
    grant(session, 10, recurrence=ledger.Recurrence("week", amount=0, rollover_min=4, rollover_max=4))
    assert buckets(at=later(days=7)) == {"available": 4, "expired": 6}
    drawn(session, 3, at=later(days=8))
    assert buckets(at=later(days=14)) == {"available": 4, "held": 3, "expired": 6}
    drawn(session, 4, at=later(days=15))
    assert buckets(at=later(days=21)) == {"available": 4, "held": 7, "expired": 6}
    ledger.expire_due(session, account_id="acme", at=later(days=60))
    assert is_sound(session)


def test_what_a_hold_frees_after_its_period_expires_unless_the_lot_was_carried_over(
    session: Session, empty: str, buckets: Buckets
) -> None:
    grant(session, 10, recurrence=ledger.Recurrence("day"))
    hold = ledger.reserve(session, "acme", 6, at=START)
    ledger.release(session, hold.reservation_id, at=later(days=1))
    assert buckets(at=later(days=1)) == {"available": 10, "expired": 10}
    assert is_sound(session)


def test_revoking_a_recurring_grant_takes_every_lot_and_ends_it(session: Session, empty: str, buckets: Buckets) -> None:
    first = grant(session, 10, recurrence=ledger.Recurrence("day", rollover_max=5))
    revoked = ledger.revoke_grant(session, first, at=later(days=1, seconds=1))
    assert revoked.amount == 15
    assert len(revoked.grants) == 2
    assert buckets(at=later(days=400)) == {"revoked": 15, "expired": 5}
    with pytest.raises(ledger.GrantEnded):
        ledger.revoke_grant(session, first, at=later(days=2))
    assert is_sound(session)


@pytest.mark.parametrize(
    "terms",
    [
        {"every": "fortnight"},
        {"every": "day", "count": 0},
        {"every": "day", "count": 1.0},
        {"every": "day", "amount": -1},
        {"every": "day", "amount": 0},
        {"every": "day", "rollover_min": 2, "rollover_max": 1},
        {"every": "day", "anchor": datetime(2026, 1, 1)},  # noqa: DTZ001
    ],
)
def test_a_recurrence_that_makes_no_sense_is_refused(terms: dict[str, Any]) -> None:
    with pytest.raises(ledger.CommandInvalid):
        ledger.Recurrence(**terms)


def test_an_account_of_very_many_grants_burns_them_in_the_same_order(session: Session, empty: str) -> None:
    commands = [
        ledger.GrantCredits("acme", 1, priority=number % 5, expires_at=later(days=1 + number % 3), at=START)
        for number in range(300)
    ]
    ledger.execute(session, commands)
    ledger.execute(session, [ledger.Reserve("acme", 10, at=START) for _ in range(5)])
    hold = ledger.reserve(session, "acme", 200, at=START)
    places = [(g.priority, g.expires_at) for part in hold.slices for g in [standing(session, part.grant_id)]]
    assert places == sorted(places)
    # Reading on from the first page, a batch still sees its own grants in their place.
    late = ledger.GrantCredits("acme", 1, priority=9, at=START)
    _, last = ledger.execute(session, [late, ledger.Reserve("acme", 51, at=START)])
    assert isinstance(last, ledger.Reservation)
    assert len(last.slices) == 51
    assert last.slices[-1].grant_id == "acme/g307"
    with pytest.raises(ledger.InsufficientCredits):
        ledger.reserve(session, "acme", 1, at=START)
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


def test_a_century_of_hours_is_bounded_by_the_calendar(session: Session, empty: str) -> None:
    end = datetime(9999, 12, 31, 23, 30, tzinfo=UTC)
    ledger.open_account(session, "late", at=end)
    ledger.grant_credits(session, "late", 5, recurrence=ledger.Recurrence("hour"), at=end)
    assert ledger.get_balance(session, "late", at=end + timedelta(minutes=29)).available == 5
    ledger.expire_due(session, account_id="late", at=end + timedelta(minutes=29))
    assert is_sound(session)


def test_grants_beyond_the_first_page_are_read_when_they_are_needed(session: Session, empty: str) -> None:
    """Without expiries nothing comes due, and only the first grants in burn order are read at first."""
    numbers = [number % 7 for number in range(200)]
    ledger.execute(session, [ledger.GrantCredits("acme", 1, priority=number, at=START) for number in numbers])
    assert [part for _, part in drawn(session, 10)] == [1] * 10
    # A grant made in the batch has its place behind those that were not read yet.
    batch = [ledger.GrantCredits("acme", 5, priority=6, at=START), ledger.Reserve("acme", 60, at=START)]
    _, hold = ledger.execute(session, batch)
    assert isinstance(hold, ledger.Reservation)
    places = [standing(session, part.grant_id).priority for part in hold.slices]
    assert places == sorted(places)
    assert len(places) == 60
    # More than the first page has is asked for, and then more than there is.
    assert len(drawn(session, 100)) == 100
    assert drawn(session, 35)[-1] == ("acme/g202", 5)
    with pytest.raises(ledger.InsufficientCredits):
        ledger.reserve(session, "acme", 1, at=START)
    assert is_sound(session)


def test_what_a_hold_frees_beyond_the_first_page_keeps_its_place(session: Session, empty: str) -> None:
    last = grant(session, 5, priority=9)
    hold = ledger.reserve(session, "acme", 5, at=START)
    ledger.execute(session, [ledger.GrantCredits("acme", 1, priority=1, at=START) for _ in range(100)])
    freed, all_of_it = ledger.execute(
        session, [ledger.Release(hold.reservation_id, at=START), ledger.Reserve("acme", 104, at=START)]
    )
    assert isinstance(freed, ledger.Reservation)
    assert isinstance(all_of_it, ledger.Reservation)
    assert (all_of_it.slices[-1].grant_id, all_of_it.slices[-1].amount) == (last, 4)
    assert is_sound(session)
