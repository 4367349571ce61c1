"""Batches, accounts, grants, and whose transaction it is."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import ledger
from ledger import Capture, ExpireDue, GrantCredits, OpenAccount, Release, Reserve
from tests.ledger.conftest import START, later

Stored = Callable[[], dict[str, list[Any]]]
Buckets = Callable[..., dict[str, int]]


def test_an_empty_batch_does_nothing(session: Session, stored: Stored) -> None:
    before = stored()
    assert ledger.execute(session, []) == []
    assert stored() == before


def test_a_batch_answers_each_command_and_a_refusal_disturbs_no_neighbour(session: Session, buckets: Buckets) -> None:
    results = ledger.execute(
        session,
        [
            Reserve("acme", 1, at=START),
            OpenAccount("zeta", START),
            OpenAccount("acme", START),
            OpenAccount("acme", later(5)),
            GrantCredits("acme", 10, at=START),
            Reserve("acme", 11, at=START),
            Reserve("acme", 4, at=START),
            Reserve("nobody", 1, at=START),
            Capture("acme/r2", 5, at=START),
            Capture("acme/r2", 3, at=START),
            Release("acme/r2", at=START),
            Release("acme/r7", at=START),
            ExpireDue("acme", START),
        ],
    )
    assert [type(result).__name__ for result in results] == [
        "AccountNotFound",
        "Account",
        "Account",
        "Account",
        "Grant",
        "InsufficientCredits",
        "Reservation",
        "AccountNotFound",
        "CaptureExceedsReservation",
        "Reservation",
        "ReservationNotHeld",
        "ReservationNotFound",
        "Expiry",
    ]
    assert [result.replayed for result in results[1:4]] == [False, False, True]  # type: ignore[union-attr]
    assert buckets() == {"available": 7, "consumed": 3}
    assert buckets("zeta") == {}
    ledger.require_clean(session)


def test_a_refusal_leaves_even_what_had_lapsed_before_it_unrecorded(
    session: Session, acme: str, stored: Stored
) -> None:
    ledger.execute(session, [Reserve(acme, 4, expires_in=later(9) - START, at=START)])
    before = stored()
    (refused,) = ledger.execute(session, [Reserve(acme, 11, at=later(9))])
    assert isinstance(refused, ledger.InsufficientCredits)
    assert refused.available == 10
    assert stored() == before


def test_a_refusal_leaves_no_trace_beside_an_accepted_neighbour_that_came_before_a_lapse(
    session: Session, acme: str
) -> None:
    hold, refused = ledger.execute(
        session, [Reserve(acme, 4, expires_in=later(9) - START, at=START), Reserve(acme, 11, at=later(9))]
    )
    assert isinstance(refused, ledger.InsufficientCredits)
    recorded = session.execute(text("SELECT sequence, at FROM ledger_account")).one()
    assert recorded == (2, int(START.timestamp() * 10**6))
    assert ledger.capture(session, hold.reservation_id, at=later(8)).captured == 4  # type: ignore[union-attr]


def test_an_account_exists_from_the_command_that_opens_it_on_and_not_before(session: Session) -> None:
    early, opened, late = ledger.execute(
        session, [GrantCredits("acme", 1, at=START), OpenAccount("acme", START), GrantCredits("acme", 1, at=START)]
    )
    assert isinstance(early, ledger.AccountNotFound)
    assert isinstance(opened, ledger.Account)
    assert isinstance(late, ledger.Grant)


def test_a_balance_in_a_batch_is_what_the_commands_before_it_leave_lapses_included(
    session: Session, acme: str, stored: Stored
) -> None:
    results = ledger.execute(
        session,
        [
            ledger.GetBalance(acme, START),
            Reserve(acme, 4, expires_in=later(9) - START, at=START),
            ledger.GetBalance(acme, later(8)),
            ledger.GetBalance(acme, later(9)),
            ledger.GetBalance("nobody"),
        ],
    )
    seen = [(result.available, result.held) for result in results if isinstance(result, ledger.Balance)]
    assert seen == [(10, 0), (6, 4), (10, 0)]
    assert isinstance(results[-1], ledger.AccountNotFound)
    before = stored()
    ledger.execute(session, [ledger.GetBalance(acme, later(9))])
    assert stored() == before


def test_opening_an_account_again_answers_the_first_opening(session: Session) -> None:
    first = ledger.open_account(session, "acme", at=START)
    again = ledger.open_account(session, "acme", at=later(60))
    assert (first.replayed, again.replayed) == (False, True)
    assert again.opened_at == first.opened_at == START
    assert ledger.list_accounts(session) == ["acme"]


def test_a_grant_is_available_at_once_and_lapses_at_its_moment(session: Session, buckets: Buckets) -> None:
    ledger.open_account(session, "acme", at=START)
    grant = ledger.grant_credits(session, "acme", Decimal("5"), expires_at=later(60), at=START)
    assert (grant.grant_id, grant.amount, grant.expires_at, grant.granted_at) == ("acme/g1", 5, later(60), START)
    assert buckets(at=later(59)) == {"available": 5}
    assert buckets(at=later(60)) == {"expired": 5}


def test_a_grant_that_has_lapsed_already_is_refused(session: Session, acme: str) -> None:
    with pytest.raises(ledger.CommandInvalid, match="expires_at"):
        ledger.grant_credits(session, acme, 1, expires_at=START, at=START)


def test_an_account_holds_no_more_than_64_bits(session: Session, acme: str) -> None:
    with pytest.raises(ledger.CommandInvalid, match="beyond"):
        ledger.grant_credits(session, acme, Decimal("9223372036854.775807"), at=START)
    ledger.grant_credits(session, acme, Decimal("9223372036844.775807"), at=START)
    assert ledger.reserve(session, acme, Decimal("9223372036854.775807"), at=START).amount > 9 * 10**12
    ledger.require_clean(session)


def test_an_unknown_account_has_no_balance_and_no_statement(session: Session) -> None:
    for read in (ledger.get_balance, ledger.get_statement):
        with pytest.raises(ledger.AccountNotFound, match="open it first"):
            read(session, "nobody")


def test_balances_are_known_for_every_moment_past_and_to_come(session: Session, acme: str, buckets: Buckets) -> None:
    hold = ledger.reserve(session, acme, 6, expires_in=later(50) - START, at=later(10))
    ledger.capture(session, hold.reservation_id, 2, at=later(20))
    ledger.grant_credits(session, acme, 5, expires_at=later(40), at=later(30))
    moments = {9: {"available": 10}, 10: {"available": 4, "held": 6}, 19: {"available": 4, "held": 6}}
    moments |= {20: {"available": 8, "consumed": 2}, 30: {"available": 13, "consumed": 2}}
    moments |= {40: {"available": 8, "consumed": 2, "expired": 5}}
    assert {seconds: buckets(at=later(seconds)) for seconds in moments} == moments
    assert buckets(at=later(-1)) == {}
    assert ledger.get_balance(session, acme, at=later(40)).issued == 15


def test_the_callers_rollback_undoes_everything_and_the_callers_row_commits_with_the_hold(
    engine: Engine, database_url: str
) -> None:
    with Session(engine) as session, session.begin():
        session.execute(text("CREATE TABLE runs (id text)"))
        ledger.open_account(session, "acme")
        ledger.grant_credits(session, "acme", 10)
    for commits in (False, True):
        with Session(engine) as session:
            session.execute(text("INSERT INTO runs VALUES ('run')"))
            ledger.reserve(session, "acme", 4)
            if commits:
                session.commit()
        with Session(engine) as session:
            rows = session.execute(text("SELECT count(*) FROM runs")).scalar_one()
            assert (rows, ledger.get_balance(session, "acme").held) == ((1, 4) if commits else (0, 0))


def test_a_refusal_that_is_caught_does_not_poison_the_callers_transaction(session: Session, acme: str) -> None:
    for _ in range(2):
        with pytest.raises(ledger.InsufficientCredits):
            ledger.reserve(session, acme, 11, key="k")
        assert ledger.open_account(session, acme).replayed
    assert ledger.reserve(session, acme, 10, key="k").amount == 10


def test_account_ids_of_any_script_are_kept_apart(session: Session) -> None:
    names = ["acme", "Acme", "a'c\"me", "ac\\me", "a,c{me}", "ac me", "NULL", "日本", "a/r1", "x" * 255]
    ledger.execute(session, [OpenAccount(name, START) for name in names])
    ledger.execute(session, [GrantCredits(name, 5, f"k-{name[:9]}", at=START) for name in names])
    holds = ledger.execute(session, [Reserve(name, number + 1, at=START) for number, name in enumerate(names[:5])])
    ledger.execute(session, [Release(hold.reservation_id, at=START) for hold in holds])  # type: ignore[union-attr]
    assert sorted(ledger.list_accounts(session)) == sorted(names)
    assert {ledger.get_balance(session, name, at=START).available for name in names} == {Decimal(5)}
    ledger.require_clean(session)
