"""The rules of runs: one active run a dataset, charged at most once, in whatever order its end is reported."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy.orm import Session

import ledger
from estimator import RateCard, RateCardBook, RunOutcome, RunRequest, estimate, plan_run
from tests.ledger.conftest import START, Stored, later
from tests.ledger.shorthand import grant
from tests.ledger.test_runs import BODY, CARD, PLAIN, PROFILE, launch, settle

DONE = RunOutcome("succeeded", 50, 50)
HALF = RunOutcome("failed", 20)
NOTHING = RunOutcome("cancelled", 0)
LASTS, GRACE = timedelta(seconds=60), timedelta(seconds=30)
LAPSE = 90
"""Seconds from the launch to the end of the grace."""


def start(session: Session) -> ledger.Launch:
    """Launch a run of 5 credits, whose hold lapses."""
    return launch(session, expires_in=LASTS, grace=GRACE)


def report(session: Session, run: ledger.Launch, outcome: RunOutcome, second: int) -> ledger.RunSettlement:
    """Report a run's end."""
    return settle(session, run.run_id, outcome, at=later(second))


def release(session: Session, run: ledger.Launch, second: int) -> ledger.Reservation:
    """Release a run's hold."""
    return ledger.release(session, str(run.reservation_id), at=later(second))


def expire(session: Session, second: int) -> tuple[str, ...]:
    """Record what has come due; answers the holds that lapsed."""
    (expiry,) = ledger.expire_due(session, account_id="acme", at=later(second))
    return expiry.reservations


def deliver(session: Session, second: int) -> ledger.DeliveryReport:
    """Hand over the start of the run, if it still is to be started."""
    return ledger.deliver_outbox(session, lambda start: None, at=later(second))


def consumed(session: Session) -> Decimal:
    """What the account was charged, once nothing of it is held any more."""
    balance = ledger.get_balance(session, "acme", at=later(LAPSE + 10))
    assert balance.held == 0
    assert balance.available + balance.consumed == 10
    ledger.require_clean(session)
    return balance.consumed


@pytest.mark.parametrize(("outcome", "charged"), [(DONE, 5), (HALF, 2), (NOTHING, 0)])
@pytest.mark.parametrize("second", [0, 59, 60, LAPSE - 1])
@pytest.mark.parametrize("is_delivered", [True, False], ids=["delivered", "not delivered"])
def test_a_run_is_charged_for_its_end_until_the_last_moment_of_its_hold_delivered_or_not(
    session: Session, acme: str, outcome: RunOutcome, charged: int, second: int, is_delivered: bool
) -> None:
    run = start(session)
    if is_delivered:
        assert deliver(session, 0).delivered
    settled = report(session, run, outcome, second)
    assert (settled.captured, settled.freed, settled.replayed) == (charged, 5 - charged, False)
    assert deliver(session, second).withdrawn == (() if is_delivered else ("acme/o2",))
    assert consumed(session) == charged


@pytest.mark.parametrize("is_recorded", [True, False], ids=["recorded", "not recorded"])
@pytest.mark.parametrize("is_delivered", [True, False], ids=["delivered", "not delivered"])
def test_a_run_whose_hold_lapsed_is_charged_nothing_however_often_its_end_is_reported(
    session: Session, acme: str, stored: Stored, is_recorded: bool, is_delivered: bool
) -> None:
    run = start(session)
    if is_delivered:
        deliver(session, 0)
    if is_recorded:
        assert expire(session, LAPSE) == (run.reservation_id,)
    before = stored()
    for outcome in (DONE, DONE, HALF, NOTHING):
        with pytest.raises(ledger.ReservationNotHeld, match="is expired") as refused:
            report(session, run, outcome, LAPSE)
        assert refused.value.state == "expired"
    assert stored() == before
    assert consumed(session) == 0


@pytest.mark.parametrize("outcome", [DONE, HALF, NOTHING], ids=str)
def test_a_run_whose_hold_was_released_is_charged_nothing(
    session: Session, acme: str, stored: Stored, outcome: RunOutcome
) -> None:
    run = start(session)
    release(session, run, 1)
    before = stored()
    for second in (2, LAPSE):
        with pytest.raises(ledger.ReservationNotHeld, match="is released"):
            report(session, run, outcome, second)
    assert stored() == before
    assert expire(session, LAPSE) == ()
    assert deliver(session, LAPSE).withdrawn == ("acme/o2",)
    assert consumed(session) == 0


@pytest.mark.parametrize(("outcome", "charged"), [(DONE, 5), (HALF, 2), (NOTHING, 0)])
def test_a_settled_run_is_neither_released_nor_does_it_lapse_and_its_end_is_answered_as_before(
    session: Session, acme: str, stored: Stored, outcome: RunOutcome, charged: int
) -> None:
    run = start(session)
    first = report(session, run, outcome, 1)
    before = stored()
    with pytest.raises(ledger.ReservationNotHeld):
        release(session, run, 2)
    for second in (2, LAPSE, LAPSE + 5):
        again = report(session, run, outcome, second)
        assert again.replayed
        assert (again.captured, again.line_items) == (first.captured, first.line_items)
    assert stored() == before
    assert expire(session, LAPSE + 5) == ()
    assert consumed(session) == charged


@pytest.mark.parametrize("first", [DONE, HALF, NOTHING], ids=str)
def test_of_two_ends_the_first_counts_and_the_other_is_a_conflict_whenever_it_comes(
    session: Session, acme: str, stored: Stored, first: RunOutcome
) -> None:
    run = start(session)
    charged = report(session, run, first, 1).captured
    deliver(session, 1)
    before = stored()
    for other in (DONE, HALF, NOTHING):
        for second in (1, LAPSE):
            if other != first:
                with pytest.raises(ledger.IdempotencyConflict) as refused:
                    report(session, run, other, second)
                assert refused.value.key == run.run_id
    assert stored() == before
    assert consumed(session) == charged


def test_ends_reported_in_one_batch_are_told_apart_as_one_after_the_other(session: Session, acme: str) -> None:
    run = start(session)
    outcomes = (HALF, HALF, DONE)
    results = ledger.execute(
        session, [ledger.SettleRun("acme", str(run.run_id), outcome, later(1)) for outcome in outcomes]
    )
    assert [getattr(result, "replayed", type(result)) for result in results] == [
        False,
        True,
        ledger.IdempotencyConflict,
    ]
    assert consumed(session) == 2


def test_a_hold_captured_in_part_and_then_settled_is_charged_for_what_is_left_to_settle(
    session: Session, acme: str
) -> None:
    run = start(session)
    ledger.capture(session, str(run.reservation_id), 1, final=False, at=later(1))
    settled = report(session, run, HALF, 2)
    assert (settled.captured, settled.freed) == (2, 2)
    assert consumed(session) == 3


def test_a_launch_is_labelled_with_its_dataset(session: Session, empty: str) -> None:
    scoped = grant(session, 100, scope={"dataset": ["d1"]})
    launched = launch(session)
    hold = ledger.get_reservation(session, str(launched.reservation_id), at=START)
    assert [part.grant_id for part in hold.slices] == [scoped]
    with pytest.raises(ledger.InsufficientCredits) as refused:
        launch(session, dataset_id="d2")
    assert refused.value.available == 0


def test_a_dataset_has_one_active_run(session: Session, acme: str) -> None:
    first = launch(session, BODY | {"job_specification": {"max_rows": 10}})
    with pytest.raises(ledger.RunAlreadyActive) as caught:
        launch(session)
    assert (caught.value.run_id, caught.value.dataset_id) == (first.run_id, "d1")
    launch(session, BODY | {"job_specification": {"max_rows": 10}}, dataset_id="d2")
    settle(session, first.run_id, RunOutcome("succeeded", 10, 10))
    second = launch(session)
    assert second.run_id != first.run_id
    ledger.require_clean(session)


def test_a_run_whose_hold_lapsed_is_active_no_more(session: Session, acme: str) -> None:
    first = launch(session, expires_in=timedelta(seconds=60))
    with pytest.raises(ledger.RunAlreadyActive):
        launch(session, at=later(59))
    assert launch(session, at=later(60)).run_id != first.run_id
    with pytest.raises(ledger.ReservationNotHeld, match="is expired"):
        settle(session, first.run_id, RunOutcome("succeeded", 50, 50), at=later(61))


def test_two_launches_in_one_millisecond_have_two_run_ids_also_in_one_batch(session: Session, acme: str) -> None:
    ids = []
    for _ in range(3):
        launched = launch(session, BODY | {"job_specification": {"max_rows": 1}})
        ids.append(launched.run_id)
        settle(session, launched.run_id, RunOutcome("cancelled", 0))
    assert len(set(ids)) == 3
    ledger.require_clean(session)


def test_an_empty_account_is_told_that_not_even_one_row_is_payable(session: Session) -> None:
    ledger.open_account(session, "acme", at=START)
    with pytest.raises(ledger.InsufficientCredits, match="not even one row"):
        launch(session)


def test_a_free_run_has_a_run_id_and_a_guard_like_any_other(session: Session) -> None:
    ledger.open_account(session, "acme", at=START)
    free = RateCardBook([RateCard.from_toml(CARD.format(row="0", settlement="requested"))])
    launched = launch(session, cards=free)
    assert launched.response.credits == 0
    with pytest.raises(ledger.RunAlreadyActive):
        launch(session, cards=free)
    settled = settle(session, launched.run_id, RunOutcome("succeeded", 50, 50))
    assert (settled.captured, settled.freed) == (0, 0)
    ledger.require_clean(session)


def test_a_launch_and_a_settlement_may_share_a_batch(session: Session, acme: str) -> None:
    first = launch(session, BODY | {"job_specification": {"max_rows": 5}})
    request = RunRequest.from_wire(BODY)
    plan = plan_run(request, PROFILE, PLAIN)
    ended, started = ledger.execute(
        session,
        [
            ledger.SettleRun("acme", str(first.run_id), RunOutcome("succeeded", 5, 5), START),
            ledger.LaunchRun("acme", "d1", request, plan, PLAIN, estimate(plan, PLAIN), None, START),
        ],
    )
    assert isinstance(ended, ledger.RunSettlement)
    assert isinstance(started, ledger.Launch)
    ledger.require_clean(session)


def test_an_estimate_is_no_run_in_a_batch_either(session: Session, acme: str, stored: Stored) -> None:
    before = stored()
    request = RunRequest.from_wire(BODY | {"estimate": True})
    plan = plan_run(request, PROFILE, PLAIN)
    command = ledger.LaunchRun("acme", "d1", request, plan, PLAIN, estimate(plan, PLAIN), None, START)
    (refused,) = ledger.execute(session, [command])
    assert isinstance(refused, ledger.CommandInvalid)
    assert stored() == before


def test_a_run_that_costs_more_than_captures_in_parts_have_left_is_refused_and_charged_no_further(
    session: Session, acme: str, stored: Stored
) -> None:
    run = start(session)
    ledger.capture(session, str(run.reservation_id), 4, final=False, at=later(1))
    before = stored()
    refused, opened = ledger.execute(
        session, [ledger.SettleRun("acme", str(run.run_id), DONE, later(2)), ledger.OpenAccount("zeta")]
    )
    assert isinstance(refused, ledger.CaptureExceedsReservation)
    assert (refused.requested, refused.held, refused.reservation_id) == (5, 1, run.reservation_id)
    assert isinstance(opened, ledger.Account)
    assert {name: rows for name, rows in stored().items() if name != "ledger_account"} == {
        name: rows for name, rows in before.items() if name != "ledger_account"
    }
    release(session, run, 3)
    assert consumed(session) == 4
