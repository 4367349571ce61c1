"""The public API as a user calls it: checked by the type checker (`mypy tests/typing/api.py`), never run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import assert_type

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session

import ledger
from estimator import (
    DatasetProfile,
    Estimate,
    RateCard,
    RateCardBook,
    RunOutcome,
    RunPlan,
    RunRequest,
    RunResponse,
    Settlement,
    affordable_rows,
    estimate,
    plan_run,
    settle,
    shipped_card,
)
from estimator.files.datasets import profile_dataset
from estimator.scenarios import Comparison, Neighbour, Sweep, compare, solve, sweep
from ledger import Capture, GrantCredits, Reserve

NOW = datetime.now(UTC)


def analyst() -> None:
    """What-ifs without a database."""
    card = assert_type(shipped_card("example"), RateCard)
    request = assert_type(RunRequest.from_wire({"estimate": True}), RunRequest)
    profile = assert_type(profile_dataset("data.jsonl"), DatasetProfile)
    plan = assert_type(plan_run(request, profile, card, discount="team"), RunPlan)
    quote = assert_type(estimate(plan, card), Estimate)
    assert_type(quote.credits, Decimal)
    assert_type(quote.minutes.p95, Decimal)
    assert_type(affordable_rows(plan, card, Decimal(5)), int)
    assert_type(settle(plan, card, RunOutcome("failed", 3)), Settlement)
    assert_type(RunResponse.of(quote).to_json(), str)
    compared = assert_type(compare("runs/*.parquet", card, [card], by=["account"]), Comparison)
    assert_type(compared.by("account").head(3).rows[0].deltas, tuple[Decimal, ...])
    assert_type(compared.changes[0].steps[0].delta, Decimal)
    assert_type(sweep("runs.csv", card, {"text.row": [Decimal(1)], "rows_max": [5]}), Sweep)
    assert_type(solve("runs.csv", card, "text.row", 100, (0, Decimal("0.5"))).above, Neighbour | None)


def service(session: Session, request: RunRequest, cards: RateCardBook) -> RunResponse:
    """A host inside its own transaction."""
    assert_type(ledger.open_account(session, "acme"), ledger.Account)
    grant = ledger.grant_credits(session, "acme", Decimal(5), key="k", expires_at=NOW + timedelta(days=30))
    assert_type(grant, ledger.Grant)
    hold = assert_type(ledger.reserve(session, "acme", 5, expires_in=timedelta(hours=1)), ledger.Reservation)
    assert_type(ledger.capture(session, hold.reservation_id, Decimal("2.5")), ledger.Reservation)
    assert_type(ledger.release(session, hold.reservation_id), ledger.Reservation)
    profile = DatasetProfile(row_count=5, columns=("prompt",))
    launch = ledger.launch(
        session, account_id="acme", dataset_id="d1", profile=profile, request=request, cards=cards, at=NOW
    )
    assert_type(launch.run_id, str | None)
    outcome = RunOutcome("succeeded", 5, 5)
    settled = ledger.settle_run(session, account_id="acme", run_id="dataset-d1-5", outcome=outcome)
    assert_type(settled, ledger.RunSettlement)
    return launch.response


def start_runs(session: Session, queue: list[str]) -> int:
    """Hand launched runs to a pipeline, and see what waits."""
    report = ledger.deliver_outbox(session, lambda start: queue.append(start.start_id), limit=5)
    assert_type(report, ledger.DeliveryReport)
    assert_type(ledger.list_outbox(session, state="waiting", failed=True), list[ledger.StartStanding])
    return report.count


def batch(session: Session) -> None:
    """Many commands, one answer each."""
    commands: list[ledger.Command] = [
        GrantCredits("acme", 5),
        Reserve("acme", Decimal(5), "k1"),
        Capture("acme/r2", 3, "k2"),
    ]
    for result in ledger.execute(session, commands):
        if isinstance(result, ledger.LedgerError):
            assert_type(result.status_hint, int)


async def gathered(engine: Engine) -> None:
    """Threads and tasks behind one batcher."""
    with ledger.Batcher(engine, batch_max=500, queue_max=5_000, attempts=3) as batcher:
        assert_type(batcher, ledger.Batcher)
        assert_type(batcher.execute(Reserve("acme", 5, "k1"), timeout=2.5), ledger.Result)
        assert_type(await batcher.execute_async(Capture("acme/r2", 3, "k2")), ledger.Result)
        assert_type(batcher.waiting, int)
    async with ledger.Batcher(engine) as batcher:
        assert_type(batcher, ledger.Batcher)
        batcher.execute("acme")  # type: ignore[arg-type]
        batcher.close()


def finance(session: Session) -> int:
    """Reads."""
    assert_type(ledger.get_balance(session, "acme", at=NOW).available, Decimal)
    assert_type(ledger.get_statement(session, "acme", since=NOW).entries, tuple[ledger.Entry, ...])
    findings = assert_type(ledger.audit(session), Iterator[ledger.Finding])
    return len(list(findings))


async def asynchronous(session: AsyncSession, connection: AsyncConnection) -> ledger.Reservation:
    """The same verbs through `run_sync`, arguments and answer typed."""
    found = await ledger.run_transaction_async(connection.engine, lambda inner: ledger.get_balance(inner, "acme"))
    assert_type(found, ledger.Balance)
    await connection.run_sync(ledger.upgrade)
    assert_type(await session.run_sync(ledger.get_balance, "acme"), ledger.Balance)
    return await session.run_sync(ledger.reserve, "acme", 5, key="k")


def owner(engine: Engine) -> ledger.Reservation:
    """A caller without a transaction."""
    assert_type(ledger.upgrade(engine), str)
    assert_type(ledger.upgrade_sql(engine, lock_timeout=timedelta(seconds=1)), str)
    assert_type(ledger.distribute(engine), list[str])
    assert_type(ledger.check_database(engine).missing, tuple[str, ...])
    return ledger.run_transaction(engine, lambda session: ledger.reserve(session, "acme", 5, key="k"), keyed=True)


def refused(session: Session, card: RateCard, plan: RunPlan) -> None:
    """What the type checker must refuse: were one accepted, its `type: ignore` would be reported as unused."""
    ledger.reserve(session, "acme", 2.5)  # type: ignore[arg-type]
    ledger.grant_credits(session, "acme", "5")  # type: ignore[arg-type]
    affordable_rows(plan, card, 0.5)  # type: ignore[arg-type]
    hold = ledger.reserve(session, "acme", 5)
    hold.amount = Decimal(6)  # type: ignore[misc]
    plan.rows = 1  # type: ignore[misc]
