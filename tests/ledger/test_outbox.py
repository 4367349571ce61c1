"""The outbox: each launched run's start is handed over, whatever fails on the way, and only while the run lasts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

import ledger
from estimator import DatasetProfile, RunOutcome, RunRequest, estimate, plan_run
from ledger.outbox import LIMIT_MAX, class_of
from ledger.schema.triggers import remove_triggers
from tests.ledger.conftest import START, later
from tests.ledger.test_runs import BODY, KEYED, PLAIN, PROFILE, launch, settle

Stored = Callable[[], dict[str, list[Any]]]
ONE_ROW = BODY | {"job_specification": {"max_rows": 1}}
SECRET = "Bearer s3cr3t"


def fund(session: Session, *names: str, amount: int = 1000) -> None:
    """Open accounts with credits."""
    for name in names:
        ledger.open_account(session, name, at=START)
        ledger.grant_credits(session, name, amount, at=START)


def launch_many(session: Session, count: int, *, account_id: str = "acme") -> list[str]:
    """Launch runs of datasets of their own, a second apart; answers the ids of their starts."""
    starts = []
    for number in range(count):
        run = launch(session, ONE_ROW, account_id=account_id, dataset_id=f"d{number}", at=later(number))
        starts.append(str(run.reservation_id).replace("/r", "/o"))
    return starts


def deliver(session: Session, handler: Any = None, **options: Any) -> ledger.DeliveryReport:
    """Deliver an hour after the start of the tests' time, by a handler that succeeds unless another is given."""
    return ledger.deliver_outbox(session, handler or (lambda start: None), **({"at": later(3600)} | options))


def fail(start: ledger.RunStart) -> None:
    """What a pipeline that cannot be reached does."""
    raise TimeoutError(SECRET, start.request)


def test_a_launch_puts_down_its_start_with_its_hold_or_not_at_all(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        fund(session, "acme")
    with Session(engine) as session:
        launch(session)
        assert len(ledger.list_outbox(session)) == 1
        session.rollback()
        assert ledger.list_outbox(session) == []
        assert ledger.list_reservations(session, "acme") == []


def test_a_handler_is_given_the_run_as_it_was_launched(session: Session, acme: str) -> None:
    launched = launch(session, KEYED, labels={"project": "p"})
    given: list[ledger.RunStart] = []
    report = deliver(session, given.append)
    (start,) = given
    request = RunRequest.from_wire(KEYED)
    assert start == ledger.RunStart(
        start_id="acme/o2",
        account_id="acme",
        dataset_id="d1",
        run_id=str(launched.run_id),
        reservation_id=str(launched.reservation_id),
        attempt=1,
        created_at=START,
        request=request,
        plan=plan_run(request, PROFILE, PLAIN),
        response=launched.response,
        labels={"project": "p"},
    )
    assert report == ledger.DeliveryReport(delivered=("acme/o2",))
    assert report.count == 1


def test_what_is_delivered_is_never_handed_over_again(session: Session, acme: str) -> None:
    launch(session)
    given: list[ledger.RunStart] = []
    deliver(session, given.append)
    assert deliver(session, given.append, at=later(days=90)).count == 0
    assert len(given) == 1
    assert ledger.list_outbox(session) == []
    (standing,) = ledger.list_outbox(session, state="delivered")
    assert (standing.attempts, standing.ended_at, standing.error) == (1, later(3600), None)


def test_what_launches_nothing_puts_down_no_start(session: Session, acme: str) -> None:
    launch(session, KEYED)
    assert launch(session, KEYED).replayed
    launch(session, BODY | {"estimate": True}, dataset_id="d2")
    ledger.reserve(session, acme, 1, at=START)
    with pytest.raises(ledger.InsufficientCredits):
        launch(session, profile=DatasetProfile(row_count=5000, columns=("prompt",)), dataset_id="d3")
    launch(session, ONE_ROW, dataset_id="d4", outbox=False)
    assert [standing.dataset_id for standing in ledger.list_outbox(session)] == ["d1"]
    ledger.require_clean(session)


def test_starts_are_handed_over_oldest_first_of_all_accounts_and_no_more_than_asked_for(session: Session) -> None:
    fund(session, "acme", "beta", "zeta")
    moments = random.Random(4).sample(range(12), 12)
    for number, second in enumerate(moments):
        name = ("zeta", "acme", "beta")[number % 3]
        with Session(session.connection()) as other:
            # Accounts' own times never go back: only across accounts is the order of the launches not that of time.
            other.execute(text("UPDATE ledger_account SET at = opened_at"))
            launch(other, ONE_ROW, account_id=name, dataset_id=f"d{second}", at=later(second))
    given: list[str] = []
    sizes = []
    while report := deliver(session, lambda start: given.append(start.dataset_id), limit=5).count:
        sizes.append(report)
    assert given == [f"d{second}" for second in range(12)]
    assert sizes == [5, 5, 2]


def test_a_start_is_due_at_once_also_where_the_accounts_time_is_ahead(session: Session, acme: str) -> None:
    launch(session, at=datetime(2990, 1, 1, tzinfo=START.tzinfo))
    assert ledger.deliver_outbox(session, lambda start: None).delivered == ("acme/o2",)


def test_a_handler_that_raises_leaves_its_start_for_later_and_the_others_go_on(session: Session) -> None:
    fund(session, "acme")
    first, second, third = launch_many(session, 3)

    def refuse_the_second(start: ledger.RunStart) -> None:
        if start.start_id == second:
            fail(start)

    report = deliver(session, refuse_the_second)
    assert report == ledger.DeliveryReport(delivered=(first, third), failed=(second,))
    assert deliver(session).count == 0
    assert deliver(session, at=later(3610)).delivered == (second,)


def test_the_pause_before_the_next_attempt_doubles_up_to_a_bound(session: Session, acme: str) -> None:
    launch(session, ONE_ROW)
    moment, pauses, attempts = later(3600), [], []

    def note_and_fail(start: ledger.RunStart) -> None:
        attempts.append(start.attempt)
        fail(start)

    for _ in range(7):
        options = {"pause": timedelta(seconds=1), "pause_max": timedelta(seconds=20)}
        assert deliver(session, note_and_fail, at=moment, **options).failed == ("acme/o2",)
        (standing,) = ledger.list_outbox(session)
        before = standing.next_attempt_at - timedelta(microseconds=1)
        assert deliver(session, note_and_fail, at=before, **options).count == 0
        pauses.append((standing.next_attempt_at - moment).total_seconds())
        moment = standing.next_attempt_at
    assert pauses == [1, 2, 4, 8, 16, 20, 20]
    assert attempts == [1, 2, 3, 4, 5, 6, 7]
    assert standing.attempts == 7


def test_a_start_that_failed_keeps_nobody_waiting(session: Session) -> None:
    fund(session, "acme")
    old, *_ = launch_many(session, 1)
    deliver(session, fail)
    (younger,) = [str(launch(session, ONE_ROW, dataset_id="young", at=later(3605)).reservation_id)]
    given: list[str] = []
    deliver(session, lambda start: given.append(start.start_id), at=later(4000))
    assert given == [younger.replace("/r", "/o"), old]


def test_of_what_a_handler_raised_only_its_class_is_kept(session: Session, acme: str, stored: Stored) -> None:
    launch(session)
    deliver(session, fail)
    (standing,) = ledger.list_outbox(session, failed=True)
    assert standing.error == "TimeoutError"
    assert SECRET not in str(stored())
    assert deliver(session, at=later(days=1)).count == 1
    assert ledger.list_outbox(session, state=None)[0].error == "TimeoutError"


def test_the_class_of_an_error_is_named_in_full_and_fits_its_column() -> None:
    assert class_of(ValueError("x")) == "ValueError"
    assert class_of(sa.exc.NoResultFound("x")) == "sqlalchemy.exc.NoResultFound"
    assert len(class_of(type("E" * 999, (Exception,), {})())) == 255
    assert class_of(type("E", (Exception,), {"__module__": "half\ud800"})()) == "Exception"


def test_what_a_handler_writes_commits_with_the_delivery_and_is_undone_when_it_raises(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        fund(session, "acme")
        failing, good = launch_many(session, 2)
        session.execute(text("CREATE TABLE host_job (id text PRIMARY KEY)"))

    def note(start: ledger.RunStart) -> None:
        session.execute(text("INSERT INTO host_job VALUES (:id)"), {"id": start.start_id})
        if start.start_id == failing:
            # On PostgreSQL, an error that would spoil the whole transaction.
            session.execute(text("INSERT INTO host_job VALUES (:id)"), {"id": start.start_id})

    jobs = text("SELECT id FROM host_job")
    with Session(engine) as session:
        deliver(session, note)
        session.rollback()
        assert session.execute(jobs).all() == []
        session.rollback()
        report = deliver(session, note)
        assert (report.delivered, report.failed) == ((good,), (failing,))
        session.commit()
        assert session.execute(jobs).scalars().all() == [good]
        (standing,) = ledger.list_outbox(session)
        assert standing.error == "sqlalchemy.exc.IntegrityError"


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_handler_that_ends_the_transaction_is_told_and_its_start_is_handed_over_again(
    engine: Engine, end: str
) -> None:
    with Session(engine) as session, session.begin():
        fund(session, "acme")
        launch(session)
    with Session(engine) as session:
        with pytest.raises(ledger.CommandInvalid, match="without committing or rolling back") as refused:
            deliver(session, lambda start: getattr(session, end)())
        session.rollback()
        assert refused.value.field == "handler"
        assert deliver(session).delivered == ("acme/o2",)


def test_an_interrupted_handler_interrupts_the_delivery_and_nothing_is_noted(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        fund(session, "acme")
        launch_many(session, 2)

    def interrupted(start: ledger.RunStart) -> None:
        if start.dataset_id == "d1":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Session(engine) as session, session.begin():
        deliver(session, interrupted)
    with Session(engine) as session:
        assert [standing.attempts for standing in ledger.list_outbox(session)] == [0, 0]


async def coroutine(start: ledger.RunStart) -> None:
    """A handler that nobody awaits."""


@pytest.mark.parametrize("handler", [coroutine, lambda start: coroutine(start)])
def test_a_handler_that_would_have_to_be_awaited_is_refused_and_loses_no_start(
    session: Session, acme: str, handler: Any
) -> None:
    launch(session)
    with pytest.raises(ledger.CommandInvalid, match="not awaited here"):
        deliver(session, handler)
    assert deliver(session).count == 1


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"handler": None}, "handler"),
        ({"limit": 0}, "limit"),
        ({"limit": LIMIT_MAX + 1}, "limit"),
        ({"limit": True}, "limit"),
        ({"limit": "5"}, "limit"),
        ({"pause": timedelta(0)}, "pause"),
        ({"pause": None}, "pause"),
        ({"pause_max": timedelta(days=99_999)}, "pause_max"),
        ({"at": START.replace(tzinfo=None)}, "at"),
    ],
)
def test_a_delivery_that_makes_no_sense_is_refused_by_the_name_of_its_argument(
    session: Session, acme: str, options: dict[str, Any], field: str
) -> None:
    launch(session)
    given = {"handler": lambda start: None} | options
    with pytest.raises(ledger.CommandInvalid) as refused:
        ledger.deliver_outbox(session, **given)
    assert refused.value.field == field
    assert len(ledger.list_outbox(session)) == 1


def test_the_longest_pause_ends_before_time_does(session: Session, acme: str) -> None:
    launch(session)
    century = timedelta(days=36_525)
    for _ in range(2):
        deliver(session, fail, at=datetime(9999, 1, 1, tzinfo=START.tzinfo), pause=century, pause_max=century)
    (standing,) = ledger.list_outbox(session)
    assert standing.next_attempt_at.year == 9999


ENDS: dict[str, Callable[[Session, ledger.Launch], object]] = {
    "settled": lambda session, run: settle(session, run.run_id, RunOutcome("succeeded", 50, 50), at=later(5)),
    "cancelled": lambda session, run: settle(session, run.run_id, RunOutcome("cancelled", 0), at=later(5)),
    "released": lambda session, run: ledger.release(session, str(run.reservation_id), at=later(5)),
    "captured": lambda session, run: ledger.capture(session, str(run.reservation_id), at=later(5)),
    "lapsed, recorded": lambda session, run: ledger.expire_due(session, account_id="acme", at=later(60)),
    "lapsed, not recorded": lambda session, run: None,
}


@pytest.mark.parametrize("end", ENDS)
def test_a_run_that_ended_before_its_start_was_delivered_is_not_started(session: Session, acme: str, end: str) -> None:
    run = launch(session, expires_in=timedelta(seconds=60))
    ENDS[end](session, run)
    given: list[ledger.RunStart] = []
    assert deliver(session, given.append, at=later(60)) == ledger.DeliveryReport(withdrawn=("acme/o2",))
    assert given == []
    assert deliver(session, given.append, at=later(days=1)).count == 0
    (standing,) = ledger.list_outbox(session, state=ledger.StartState.WITHDRAWN)
    assert (standing.attempts, standing.ended_at) == (0, later(60))
    ledger.require_clean(session)


@pytest.mark.parametrize("at", [59, 60 + 29])
def test_a_run_whose_hold_lasts_is_started_also_in_its_grace_and_when_captured_in_part(
    session: Session, acme: str, at: int
) -> None:
    run = launch(session, expires_in=timedelta(seconds=60), grace=timedelta(seconds=30))
    ledger.capture(session, str(run.reservation_id), 1, final=False, at=later(1))
    assert deliver(session, at=later(at)).delivered == ("acme/o2",)


def test_a_run_may_be_settled_in_its_handler_and_a_failed_start_never_outlives_its_run(
    session: Session, acme: str
) -> None:
    run = launch(session)
    deliver(session, fail)
    cancelled = RunOutcome("cancelled", 0)
    report = deliver(session, lambda start: settle(session, start.run_id, cancelled, at=later(4000)), at=later(4000))
    assert report.delivered == ("acme/o2",)
    assert settle(session, run.run_id, cancelled, at=later(4001)).replayed
    assert ledger.get_balance(session, acme, at=later(4001)).held == 0
    ledger.require_clean(session)


def test_a_start_whose_entry_cannot_be_read_holds_up_no_other(session: Session) -> None:
    fund(session, "acme")
    launch_many(session, 2)
    remove_triggers(session.connection())
    session.execute(
        text("UPDATE ledger_entry SET details = replace(details, '\"plan\":', '\"plain\":') WHERE sequence = 2")
    )
    report = deliver(session)
    assert (report.failed, report.delivered) == (("acme/o2",), ("acme/o3",))
    assert ledger.list_outbox(session)[0].error == "KeyError"


def test_from_async_code_it_is_run_in_the_callers_session(sqlite_url: str) -> None:
    async def scenario() -> ledger.DeliveryReport:
        engine = create_async_engine(sqlite_url.replace("sqlite:", "sqlite+aiosqlite:"))
        ledger.prepare_engine(engine.sync_engine)
        async with AsyncSession(engine) as session, session.begin():
            await session.run_sync(lambda inner: fund(inner, "acme"))
            await session.run_sync(launch)
            report = await session.run_sync(ledger.deliver_outbox, lambda start: None)
        await engine.dispose()
        return report

    assert asyncio.run(scenario()).delivered == ("acme/o2",)


def test_starts_are_listed_a_page_at_a_time_in_the_order_in_which_they_are_due(session: Session) -> None:
    fund(session, "acme", "beta")
    starts = launch_many(session, 4) + launch_many(session, 2, account_id="beta")
    deliver(session, fail, limit=1)
    listed = ledger.list_outbox(session)
    assert [standing.start_id for standing in listed[-1:]] == [starts[0]]
    assert sorted(standing.start_id for standing in listed) == sorted(starts)
    assert [s.next_attempt_at for s in listed] == sorted(s.next_attempt_at for s in listed)
    pages, after = [], None
    while page := ledger.list_outbox(session, after=after, limit=4):
        pages += page
        after = page[-1].start_id
    assert pages == listed
    of_beta = ledger.list_outbox(session, account_id="beta")
    assert [standing.start_id for standing in of_beta] == starts[4:]
    assert [standing.start_id for standing in ledger.list_outbox(session, failed=True)] == starts[:1]
    assert ledger.list_outbox(session, state="delivered") == []


@pytest.mark.parametrize(
    ("options", "field"), [({"state": "lost"}, "state"), ({"after": "acme/r1"}, "after"), ({"limit": 0}, "limit")]
)
def test_a_listing_that_makes_no_sense_is_refused_by_the_name_of_its_argument(
    session: Session, options: dict[str, Any], field: str
) -> None:
    with pytest.raises(ledger.CommandInvalid) as refused:
        ledger.list_outbox(session, **options)
    assert refused.value.field == field


def test_the_starts_of_an_account_that_is_not_open_cannot_be_listed(session: Session) -> None:
    with pytest.raises(ledger.AccountNotFound):
        ledger.list_outbox(session, account_id="nobody")


def test_launches_of_a_batch_put_down_a_start_each(session: Session) -> None:
    fund(session, "acme", "beta")
    request = RunRequest.from_wire(ONE_ROW)
    plan = plan_run(request, PROFILE, PLAIN)
    quote = estimate(plan, PLAIN)
    commands = [
        ledger.LaunchRun(name, f"d{number}", request, plan, PLAIN, quote, at=START, outbox=number != 2)
        for name in ("acme", "beta")
        for number in range(4)
    ]
    assert {type(result) for result in ledger.execute(session, commands)} == {ledger.Launch}
    assert len(ledger.list_outbox(session)) == 6
    ledger.require_clean(session)


def test_a_start_is_kept_when_something_comes_due_later_in_its_batch(session: Session, acme: str) -> None:
    """What comes due is recorded in a copy of the account, which then takes its place."""
    launch(session, ONE_ROW, expires_in=timedelta(seconds=5))
    request = RunRequest.from_wire(ONE_ROW)
    plan = plan_run(request, PROFILE, PLAIN)
    results = ledger.execute(
        session,
        [
            ledger.LaunchRun("acme", "d9", request, plan, PLAIN, estimate(plan, PLAIN), at=later(1)),
            ledger.Reserve("acme", Decimal(500), at=later(9)),
            ledger.Reserve("acme", Decimal(1), at=later(9)),
        ],
    )
    assert [type(result) for result in results] == [ledger.Launch, ledger.InsufficientCredits, ledger.Reservation]
    assert [standing.dataset_id for standing in ledger.list_outbox(session)] == ["d1", "d9"]
    ledger.require_clean(session)
