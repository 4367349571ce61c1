"""Runs: from the wire's request to a hold and the wire's answer, and from a run's outcome to its charge."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from estimator import (
    DatasetProfile,
    Estimate,
    RateCardBook,
    RunOutcome,
    RunRequest,
    RunResponse,
    estimate,
    plan_run,
)
from estimator.credits import from_micro
from estimator.errors import EstimatorError
from ledger.book import answers
from ledger.clock import clock
from ledger.commands import LaunchRun, SettleRun, launch_scope, request_key
from ledger.errors import IdempotencyConflict
from ledger.model.checks import check_id
from ledger.model.moments import from_moment, to_moment
from ledger.model.values import Launch, RunSettlement
from ledger.rules.spending import spendable
from ledger.storage import snapshots
from ledger.storage.present import read_present
from ledger.storage.verbs import carry_out


def launch(
    session: Session,
    *,
    account_id: str,
    dataset_id: str,
    profile: DatasetProfile,
    request: RunRequest,
    cards: RateCardBook,
    at: datetime | None = None,
    expires_in: timedelta | None = None,
    grace: timedelta | None = None,
    labels: dict[str, str] | None = None,
    discount: str | None = None,
    voucher: str | None = None,
    outbox: bool = True,
) -> Launch:
    """Price a request under the rate card in force at a moment and hold the credits, or only answer the estimate.

    A request with a key that launched before on the same dataset is answered as it was then, `replayed`, whatever
    has happened to prices, profile or balance since. An estimate binds no key and replays none. The hold lasts for
    `expires_in` (and `grace` after it, for a late settlement), or until the run is settled. Its labels are
    `dataset`, `run` and the given ones: spend limits and the scopes of grants look at them.

    The start of the run is put down in the same transaction, for `deliver_outbox` to hand to your pipeline: neither
    is there without the other. A replay puts down nothing. Say `outbox=False` where you start runs in another way.

    Raises `IdempotencyConflict`, `AccountNotFound`, `RunAlreadyActive`, `LimitExceeded`, `InsufficientCredits`
    (which says how many rows the balance pays), and what planning refuses: `RequestRejected`, `RowCountUnknown`,
    `RateCardNotFound`.
    """
    check_id(account_id, "account_id")
    check_id(dataset_id, "dataset_id")
    moment = from_moment(clock()) if at is None else at
    to_moment(moment)
    try:
        card = cards.at(moment)
        plan = plan_run(request, profile, card, discount=discount, voucher=voucher)
        quote = estimate(plan, card)
    except EstimatorError:
        first = None if request.estimate else find_launch(session, account_id, dataset_id, request)
        if first is None:
            raise
        return first
    if request.estimate:
        return _answer_estimate(session, account_id, dataset_id, quote, moment, labels)
    command = LaunchRun(account_id, dataset_id, request, plan, card, quote, expires_in, moment, grace, labels, outbox)
    return carry_out(session, command, Launch)


def find_launch(session: Session, account_id: str, dataset_id: str, request: RunRequest) -> Launch | None:
    """The first answer to a request with this request's key, or None when the key is free or absent.

    Raises `IdempotencyConflict` when the key was bound by a different request.
    """
    key = request_key(request)
    if key is None:
        return None
    posting = snapshots.read_keyed(session.connection(), account_id, launch_scope(dataset_id), key)
    if posting is None:
        return None
    if posting.digest != bytes.fromhex(request.digest()):
        raise IdempotencyConflict(key)
    first = answers.answer(posting, replayed=True)
    return first if isinstance(first, Launch) else None


def _answer_estimate(
    session: Session,
    account_id: str,
    dataset_id: str,
    quote: Estimate,
    moment: datetime,
    labels: dict[str, str] | None,
) -> Launch:
    instant = to_moment(moment)
    state = read_present(session, account_id, instant)
    if state.scoped_count:
        state = read_present(session, account_id, instant, grants=True)
    available = from_micro(spendable(state, {"dataset": dataset_id} | (labels or {})))
    response = RunResponse.of(quote, available_credits=available, itemised=True)
    return Launch(account_id, dataset_id, None, None, response)


def settle_run(
    session: Session,
    *,
    account_id: str,
    run_id: str,
    outcome: RunOutcome,
    at: datetime | None = None,
) -> RunSettlement:
    """Charge a finished run for its outcome, under the card and plan it was launched with, and free the rest.

    A run in which nothing was processed costs nothing. The same outcome again is answered as the first time,
    `replayed`; another outcome is a conflict. Raises `RunNotFound`, `ReservationNotHeld`, `IdempotencyConflict`,
    `AccountNotFound`, `OutcomeRejected`.
    """
    return carry_out(session, SettleRun(account_id, run_id, outcome, at), RunSettlement)
