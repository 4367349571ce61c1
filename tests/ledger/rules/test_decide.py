"""`decide` in memory: one answer a command, the same for the same state; a refusal changes nothing."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.orm import Session

import ledger
from ledger import GrantCredits, OpenAccount, Reserve
from ledger.rules import decide
from tests.ledger.conftest import START, Stored, later
from tests.ledger.shorthand import NOW, account

COMMANDS: list[ledger.Command] = [
    ledger.GrantCredits("acme", 10, "g", expires_at=later(60)),
    ledger.Reserve("acme", Decimal("2.5"), "r", timedelta(seconds=5)),
    ledger.Reserve("acme", 100),
    ledger.Reserve("acme", 1, at=later(5)),
    ledger.ExpireDue("acme", later(60)),
]


def test_the_same_commands_on_the_same_state_are_decided_alike() -> None:
    first, second = {"acme": account()}, {"acme": account()}
    assert list(map(repr, decide(first, COMMANDS, NOW))) == list(map(repr, decide(second, COMMANDS, NOW)))
    assert first["acme"].head == second["acme"].head
    assert [posting.kind for posting in first["acme"].postings] == ["grant", "reserve", "expire", "reserve", "expire"]


def test_every_decision_leaves_every_credit_somewhere() -> None:
    state = account()
    decide({"acme": state}, COMMANDS, NOW)
    for posting in state.postings:
        issued, *places = posting.buckets
        assert issued == sum(places)
        assert min(places) >= 0
    for grant in state.grants.values():
        assert grant.buckets[0] == sum(grant.buckets[1:])


def test_an_account_that_is_not_in_memory_does_not_exist() -> None:
    (refused,) = decide({}, [ledger.Reserve("acme", 1)], NOW)
    assert isinstance(refused, ledger.AccountNotFound)


def test_an_accounts_time_never_goes_back(session: Session, acme: str) -> None:
    ledger.reserve(session, acme, 1, at=later(100))
    hold = ledger.reserve(session, acme, 1, at=START, expires_in=timedelta(seconds=5))
    assert (hold.reserved_at, hold.expires_at) == (later(100), later(105))


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
