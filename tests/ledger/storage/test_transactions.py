"""Transactions of the ledger's own: what is committed, what is tried again, and async callers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

import ledger
from ledger.storage import transactions
from tests.ledger.shorthand import fund


def test_run_transaction_commits_what_its_work_did(engine: Engine) -> None:
    fund(engine)
    hold = ledger.run_transaction(engine, lambda session: ledger.reserve(session, "acme", 4))
    with Session(engine) as session:
        assert ledger.get_reservation(session, hold.reservation_id).amount == 4


def test_run_transaction_rolls_back_what_its_work_refused(engine: Engine) -> None:
    fund(engine)

    def work(session: Session) -> None:
        ledger.reserve(session, "acme", 4)
        ledger.reserve(session, "acme", 40)

    with pytest.raises(ledger.InsufficientCredits):
        ledger.run_transaction(engine, work)
    with Session(engine) as session:
        assert ledger.get_balance(session, "acme").available == 10


def fail_first(times: int, error: DBAPIError) -> tuple[Callable[[Session], int], list[int]]:
    """Work that fails that many times, and the list of its calls."""
    calls: list[int] = []

    def work(_session: Session) -> int:
        calls.append(1)
        if len(calls) <= times:
            raise error
        return len(calls)

    return work, calls


def operational(sqlstate: str | None = None, name: str | None = None, message: str = "refused") -> DBAPIError:
    """A driver's error as SQLAlchemy raises it."""
    original = Exception(message)
    if sqlstate is not None:
        original.sqlstate = sqlstate  # type: ignore[attr-defined]
    if name is not None:
        original.sqlite_errorname = name  # type: ignore[attr-defined]
    return OperationalError("SELECT", {}, original)


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were asked for, none of them taken."""
    pauses: list[float] = []
    monkeypatch.setattr(transactions.time, "sleep", pauses.append)
    return pauses


@pytest.mark.parametrize(
    "error",
    [
        operational("40001"),
        operational("40P01"),
        operational("55P03"),
        operational("08006"),
        operational("57P01"),
        operational("25006"),
        operational(name="SQLITE_BUSY_SNAPSHOT"),
    ],
)
def test_what_the_database_certainly_undid_is_tried_again_with_growing_pauses(
    engine: Engine, no_pause: list[float], error: DBAPIError
) -> None:
    work, calls = fail_first(3, error)
    assert ledger.run_transaction(engine, work) == 4
    assert len(calls) == 4
    assert no_pause[0] < no_pause[2] < 0.1


PREPARED_LOST = ledger.PreparedStatementsLost()
LOST, DEADLOCK, REFUSED = operational("08006"), operational("40P01"), operational("23505")


@pytest.mark.parametrize(
    ("keyed", "failures", "outcome"),
    [
        # Each failure is an error, and whether it came at the commit.
        (False, [(DEADLOCK, False), (DEADLOCK, True), (LOST, False)], "raised"),
        (False, [(REFUSED, True)], "raised"),
        (False, [(LOST, True)], "unknown"),
        (False, [(DEADLOCK, False), (LOST, True)], "unknown"),
        (True, [(LOST, True), (LOST, True), (LOST, True)], "unknown"),
        (True, [(LOST, True), (LOST, False), (LOST, False)], "unknown"),
        (True, [(LOST, True), (DEADLOCK, True), (DEADLOCK, True)], "unknown"),
        (True, [(LOST, True), (REFUSED, False)], "unknown"),
        (True, [(LOST, True), (NoConnectionFree("none is free"), False)], "unknown"),
        (True, [(LOST, False), (REFUSED, True)], "raised"),
        (True, [(LOST, False), (NoConnectionFree("none is free"), False)], "raised"),
    ],
)
def test_what_becomes_of_three_attempts(
    keyed: bool, failures: list[tuple[SQLAlchemyError, bool]], outcome: str
) -> None:
    retries = transactions.Retries(3, keyed)
    for error, is_committing in failures[:-1]:
        assert retries.pause_after(error, is_committing) is not None
    if outcome == "raised":
        assert retries.pause_after(*failures[-1]) is None
    else:
        with pytest.raises(ledger.CommitUnknown) as raised:
            retries.pause_after(*failures[-1])
        assert raised.value.__cause__ is LOST


def test_pauses_double_up_to_about_a_second_and_differ_between_callers() -> None:
    series = []
    for _ in range(20):
        retries = transactions.Retries(2000, keyed=False)
        series.append([retries.pause_after(DEADLOCK, False) or 0 for _ in range(1999)])
        assert retries.pause_after(DEADLOCK, False) is None
    for number, (longest, pauses) in enumerate(zip([0.02, 0.04, 0.08, 0.16], zip(*series, strict=True), strict=False)):
        assert longest / 2 <= min(pauses) < max(pauses) <= longest, number
    assert max(max(pauses) for pauses in series) <= 1.28
    assert min(min(pauses[6:]) for pauses in series) >= 0.64


def test_attempts_are_bounded(engine: Engine, no_pause: list[float]) -> None:
    work, calls = fail_first(99, operational("40001"))
    with pytest.raises(OperationalError):
        ledger.run_transaction(engine, work, attempts=3)
    assert (len(calls), len(no_pause)) == (3, 2)
    with pytest.raises(ValueError, match="at least 1"):
        ledger.run_transaction(engine, work, attempts=0)


@pytest.mark.parametrize("code", ["26000", "42P05", "08P01"])
def test_a_statement_of_the_drivers_that_a_pooler_lost_is_told_with_the_setting_that_helps(
    engine: Engine, no_pause: list[float], code: str
) -> None:
    work, calls = fail_first(1, operational(code, message='prepared statement "_pg3_0" is not what it was'))
    with pytest.raises(ledger.PreparedStatementsLost, match="prepare_threshold") as raised:
        ledger.run_transaction(engine, work)
    assert isinstance(raised.value.__cause__, OperationalError)
    assert (len(calls), no_pause) == (1, [])


def test_a_commit_of_unknown_fate_stays_so_when_a_pooler_loses_statements_of_its_repetition() -> None:
    for error in (operational("26000", message='prepared statement "_pg3_0" does not exist'), PREPARED_LOST):
        retries = transactions.Retries(3, keyed=True)
        assert retries.pause_after(LOST, True) is not None
        with pytest.raises(ledger.CommitUnknown):
            retries.pause_after(error, False)


@pytest.mark.parametrize("error", [operational("23505"), operational("42501"), operational("26000"), operational()])
def test_what_cannot_succeed_is_not_tried_again(engine: Engine, no_pause: list[float], error: DBAPIError) -> None:
    work, calls = fail_first(1, error)
    with pytest.raises(OperationalError):
        ledger.run_transaction(engine, work)
    assert len(calls) == 1
    assert no_pause == []


def test_a_deadlock_between_two_callers_is_resolved_by_trying_again(postgresql_url: str) -> None:
    engine = ledger.create_engine(postgresql_url)
    for name in ("a", "b"):
        with Session(engine) as session, session.begin():
            ledger.open_account(session, name)
            ledger.grant_credits(session, name, 10)
    both_hold_one = threading.Barrier(2)
    met = threading.local()
    tries: list[str] = []

    def work(names: str) -> Callable[[Session], None]:
        def in_this_order(session: Session) -> None:
            tries.append(names)
            ledger.reserve(session, names[0], 1)
            if not getattr(met, "once", False):
                met.once = True
                both_hold_one.wait(30)
            ledger.reserve(session, names[1], 1)

        return in_this_order

    threads = [threading.Thread(target=ledger.run_transaction, args=(engine, work(names))) for names in ("ab", "ba")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # PostgreSQL undoes one of the two.
    assert len(tries) == 3
    with Session(engine) as session:
        assert [ledger.get_balance(session, name).held for name in ("a", "b")] == [2, 2]
    engine.dispose()


def test_a_batch_locks_its_accounts_in_one_order_whatever_the_order_of_its_commands(postgresql_url: str) -> None:
    engine = ledger.create_engine(postgresql_url)
    names = [f"account-{number}" for number in range(6)]
    with Session(engine) as session, session.begin():
        ledger.execute(session, [ledger.OpenAccount(name) for name in names])
        ledger.execute(session, [ledger.GrantCredits(name, 1000) for name in names])
    errors: list[BaseException] = []

    def work(order: list[str]) -> None:
        try:
            for _ in range(30):
                with Session(engine) as session, session.begin():
                    ledger.execute(session, [ledger.Reserve(name, 1) for name in order])
        except BaseException as error:  # noqa: BLE001  # shown in the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(order,)) for order in (names, names[::-1], names[3:] + names[:3])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    engine.dispose()


def async_url(database_url: str) -> str:
    """The URL for an async engine on the same database."""
    return database_url.replace("sqlite:///", "sqlite+aiosqlite:///")


def test_async_callers_use_the_same_verbs_through_run_sync(database_url: str) -> None:
    async def scenario() -> tuple[list[Any], Decimal]:
        engine = create_async_engine(async_url(database_url))
        ledger.prepare_engine(engine.sync_engine)
        async with AsyncSession(engine) as session, session.begin():
            await session.run_sync(ledger.open_account, "acme")
            await session.run_sync(ledger.grant_credits, "acme", 10)

        async def reserve(number: int) -> ledger.Reservation | ledger.LedgerError:
            async with AsyncSession(engine) as session, session.begin():
                try:
                    return await session.run_sync(ledger.reserve, "acme", 3, key=f"k{number % 5}")
                except ledger.InsufficientCredits as refusal:
                    return refusal

        answers = await asyncio.gather(*(reserve(number) for number in range(5)))
        async with AsyncSession(engine) as session:
            balance = await session.run_sync(ledger.get_balance, "acme")
            assert await session.run_sync(lambda inner: list(ledger.audit(inner))) == []
        await engine.dispose()
        return answers, balance.available

    answers, available = asyncio.run(scenario())
    assert [isinstance(answer, ledger.Reservation) for answer in answers].count(True) == 3
    assert available == 1


def test_a_transaction_of_an_async_engine_commits_or_refuses_like_any_other(database_url: str) -> None:
    async def scenario() -> tuple[ledger.Reservation, Decimal]:
        engine = create_async_engine(async_url(database_url))
        ledger.prepare_engine(engine.sync_engine)
        await ledger.run_transaction_async(engine, fund_in)
        hold = await ledger.run_transaction_async(engine, lambda session: ledger.reserve(session, "acme", 4))
        with pytest.raises(ledger.InsufficientCredits):
            await ledger.run_transaction_async(engine, reserve_too_much)
        available = await ledger.run_transaction_async(engine, lambda session: ledger.get_balance(session, "acme"))
        await engine.dispose()
        return hold, available.available

    def fund_in(session: Session) -> None:
        ledger.open_account(session, "acme")
        ledger.grant_credits(session, "acme", 10)

    def reserve_too_much(session: Session) -> None:
        ledger.reserve(session, "acme", 4)
        ledger.reserve(session, "acme", 40)

    hold, available = asyncio.run(scenario())
    assert (hold.amount, available) == (4, 6)


def test_a_task_that_waits_for_its_next_attempt_keeps_no_other_waiting(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions.time, "sleep", pytest.fail)
    work, calls = fail_first(3, operational("40001"))

    async def scenario() -> int:
        engine = create_async_engine(async_url(sqlite_url))
        answer = await ledger.run_transaction_async(engine, work)
        calls.clear()
        with pytest.raises(OperationalError):
            await ledger.run_transaction_async(engine, fail_first(2, operational("40001"))[0], attempts=2)
        with pytest.raises(ValueError, match="at least 1"):
            await ledger.run_transaction_async(engine, work, attempts=0)
        await engine.dispose()
        return answer

    assert asyncio.run(scenario()) == 4
    assert calls == []


@pytest.mark.parametrize("is_first", [True, False], ids=["first of its engine", "a later one"])
@pytest.mark.parametrize("before", ["SELECT 1", None], ids=["a statement first", "a verb first"])
@pytest.mark.parametrize("end", ["ROLLBACK", "COMMIT"])
def test_a_transaction_that_sql_ended_is_told(engine: Engine, end: str, before: str | None, is_first: bool) -> None:
    """Whoever began it: the store with the verb's reads, or the driver with the host's statement."""

    def work(session: Session) -> ledger.Account:
        if before is not None:
            session.execute(text(before))
        opened = ledger.open_account(session, "acme")
        session.execute(text(end))
        return opened

    if not is_first:
        ledger.run_transaction(engine, ledger.list_accounts)
    with pytest.raises(ledger.TransactionEnded):
        ledger.run_transaction(engine, work)
    assert ledger.run_transaction(engine, ledger.list_accounts) == (["acme"] if end == "COMMIT" else [])


def test_work_that_sends_nothing_has_ended_nothing(engine: Engine) -> None:
    """A transaction that has not begun is not one that ended."""
    assert ledger.run_transaction(engine, lambda session: session.connection() is not None)
    assert ledger.run_transaction(engine, lambda session: 5) == 5
