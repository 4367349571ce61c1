"""A forecast is what happens, told before it does, and writes nothing."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

import ledger
from ledger import PlannedRun, forecast, forecast_grants
from ledger.book.postings import Posting
from ledger.book.states import AccountState
from ledger.rules import record_due
from tests.ledger.conftest import START, later

DAY = 86_400


def at(days: float) -> object:
    return later(int(days * DAY))


def fill(session: Session, name: str) -> None:
    """A little of everything that a plan can meet."""
    ledger.open_account(session, name, at=START)
    ledger.set_credit_line(session, name, 8, at=START)
    ledger.set_limit(session, name, "day", 30, label="project", at=START)
    ledger.grant_credits(session, name, 25, expires_at=at(10), kind="promotional", at=START)
    ledger.grant_credits(session, name, 10, scope={"project": ["p"]}, at=START)
    ledger.grant_credits(session, name, 12, recurrence=ledger.Recurrence("week", rollover_max=4), at=START)
    ledger.grant_credits(session, name, 40, effective_at=at(15), expires_at=at(40), at=START)
    ledger.reserve(session, name, 6, expires_in=timedelta(days=3), at=START)


def happen(session: Session, name: str, runs: list[PlannedRun]) -> list[Decimal | str]:
    """Carry the plan out: what is available after each run, or why it was refused."""
    found: list[Decimal | str] = []
    for run in runs:
        try:
            labels = dict(run.labels or {}) or None
            ledger.expire_due(session, account_id=name, at=run.at)
            hold = ledger.reserve(session, name, run.credits, at=run.at, labels=labels)
            ledger.capture(session, hold.reservation_id, at=run.at)
            found.append(ledger.get_balance(session, name, at=run.at).available)
        except ledger.LedgerError as refusal:
            found.append(refusal.code)
    return found


def plan(seed: int) -> list[PlannedRun]:
    draw = random.Random(seed)
    moments = sorted(draw.uniform(0.1, 60) for _ in range(30))
    return [
        PlannedRun(
            at(moment),
            Decimal(draw.randint(1, 36)) / 4,
            {"project": draw.choice("pq")} if draw.random() < 0.6 else None,
        )
        for moment in moments
    ]


@pytest.mark.parametrize("seed", range(4))
def test_what_is_forecast_is_what_happens(session: Session, seed: int) -> None:
    fill(session, "acme")
    runs = plan(seed)
    told = forecast(session, "acme", runs, until=at(70))
    before = ledger.get_statement(session, "acme", until=START + timedelta(seconds=1)).entries
    happened = happen(session, "acme", runs)
    ledger.expire_due(session, account_id="acme", at=at(70))
    assert [s.balance.available if s.refusal is None else s.refusal.code for s in told.steps] == happened
    after = ledger.get_statement(session, "acme", until=at(71)).entries[len(before) :]
    assert [(e.sequence, e.kind, e.at, e.transfers, e.details, e.balance) for e in told.entries] == [
        (e.sequence, e.kind, e.at, e.transfers, e.details, e.balance) for e in after
    ]
    closing = ledger.get_balance(session, "acme", at=at(70))
    assert told.closing == closing
    assert sum(told.consumed.values()) >= closing.consumed - told.opening.consumed


def test_the_day_it_runs_dry_is_that_of_the_first_run_that_credits_do_not_pay(session: Session) -> None:
    ledger.open_account(session, "acme", at=START)
    grant = ledger.grant_credits(session, "acme", 10, expires_at=at(5), at=START)
    told = forecast(session, "acme", [PlannedRun(at(n), 4) for n in (3, 1, 2)])
    assert [step.run.at for step in told.steps] == [at(1), at(2), at(3)]
    assert (told.dry_at, told.shortfall) == (at(3), Decimal(2))
    assert told.consumed == {grant.grant_id: Decimal(8)}
    assert isinstance(told.steps[-1].refusal, ledger.InsufficientCredits)
    longer = forecast(session, "acme", [PlannedRun(at(1), 4)], until=at(6))
    assert longer.dry_at is None
    assert longer.closing.expired == 6
    assert [entry.at for entry in longer.expired] == [at(5)]


def test_what_expires_is_what_no_run_can_spend_any_more_however_it_ends(session: Session) -> None:
    ledger.open_account(session, "acme", at=START)
    lot = ledger.grant_credits(session, "acme", 5, expires_at=at(9), at=START)
    weekly = ledger.grant_credits(session, "acme", 12, recurrence=ledger.Recurrence("week", rollover_max=4), at=START)
    ledger.reserve(session, "acme", 3, expires_in=timedelta(days=2), at=START)
    told = forecast(session, "acme", [], until=at(10))
    lapses = [(entry.kind, entry.at, move.grant_id, move.amount) for entry in told.expired for move in lost(entry)]
    assert lapses == [("renew", at(7), weekly.grant_id, 8), ("expire", at(9), lot.grant_id, 5)]
    assert [entry.kind for entry in told.entries] == ["expire", "renew", "expire"]


def lost(entry: ledger.Entry) -> list[ledger.Transfer]:
    return [move for move in entry.transfers if move.target == "expired"]


def test_what_is_over_is_let_go_of_and_nothing_is_copied(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.open_account(session, "acme", at=START)
    ledger.grant_credits(session, "acme", 3, recurrence=ledger.Recurrence("hour"), at=START)
    ledger.grant_credits(session, "acme", 100, at=START)
    for hours in range(20):
        ledger.reserve(session, "acme", 1, expires_in=timedelta(hours=hours + 1), at=START)
    sizes: list[tuple[int, int]] = []

    def spy(state: AccountState, moment: int, now: int) -> list[Posting]:
        sizes.append((len(state.grants), len(state.holds)))
        return record_due(state, moment, now)

    monkeypatch.setattr("ledger.forecasts.record_due", spy)
    monkeypatch.setattr(AccountState, "fork", None)
    told = forecast(session, "acme", [PlannedRun(at(n / 24), 1) for n in range(1, 200)], until=at(10))
    assert all(step.is_accepted for step in told.steps)
    assert len(sizes) == 240
    assert max(grants for grants, _ in sizes[21:]) == 2
    assert max(holds for _, holds in sizes[21:]) == 0


def test_an_account_of_very_many_grants_is_forecast_with_all_of_them(session: Session) -> None:
    ledger.open_account(session, "acme", at=START)
    ledger.execute(session, [ledger.GrantCredits("acme", 1, at=START) for _ in range(90)])
    told = forecast(session, "acme", [PlannedRun(at(1), 80), PlannedRun(at(2), 10)])
    assert all(step.is_accepted for step in told.steps)
    assert len(told.consumed) == 90


def test_grants_that_nobody_has_yet_are_forecast_like_those_of_an_account(session: Session) -> None:
    terms = [
        ledger.GrantCredits("acme", 25, at=START, expires_at=at(10), kind="promotional"),
        ledger.SetCreditLine("acme", 8, at=START),
        ledger.SetLimit("acme", "day", 30, label="project", at=START),
        ledger.GrantCredits("acme", 12, at=START, recurrence=ledger.Recurrence("week", rollover_max=4)),
        ledger.GrantCredits("acme", 40, at=START, effective_at=at(15)),
    ]
    told = forecast_grants(terms, plan(2), until=at(70))
    ledger.open_account(session, "acme", at=START)
    ledger.execute(session, terms)
    real = forecast(session, "acme", plan(2), until=at(70))
    assert told.steps == real.steps
    assert [e.details for e in told.entries[5:]] == [e.details for e in real.entries]
    assert [e.kind for e in told.entries[:5]] == ["grant", "credit_line", "limit", "grant", "grant"]
    assert (told.closing, told.dry_at, told.shortfall) == (real.closing, real.dry_at, real.shortfall)


def test_grants_are_imagined_now_where_they_say_no_moment() -> None:
    told = forecast_grants([ledger.GrantCredits("acme", 5)], [])
    assert told.opening.available == told.closing.available == 5
    ahead = datetime.now(UTC) + timedelta(days=1000)
    terms = [ledger.GrantCredits("acme", 5), ledger.GrantCredits("acme", 5, at=ahead)]
    told = forecast_grants(terms, [], until=ahead)
    assert told.opening == told.closing
    assert told.opening.at == ahead


@pytest.mark.parametrize(
    ("terms", "runs", "says"),
    [
        ([], [], "at least one"),
        ([ledger.GrantCredits("a", 1), ledger.GrantCredits("b", 1)], [], "of one account"),
        ([ledger.GrantCredits("a", 1, at=START)], [PlannedRun(START - timedelta(days=1), 1)], "Plan runs to come"),
        ([ledger.GrantCredits("a", 1, at=START, effective_at=START, expires_at=START)], [], "expires_at"),
    ],
)
def test_grants_that_could_not_be_had_are_refused(
    terms: list[ledger.GrantCredits], runs: list[PlannedRun], says: str
) -> None:
    with pytest.raises(ledger.CommandInvalid, match=says):
        forecast_grants(terms, runs)


def test_nothing_is_written_and_nothing_locked(session: Session) -> None:
    fill(session, "acme")
    tables = ("ledger_account", "ledger_entry", "ledger_grant", "ledger_reservation", "ledger_transfer", "ledger_usage")
    before = [session.execute(text(f"SELECT * FROM {table} ORDER BY 1, 2")).all() for table in tables]
    forecast(session, "acme", plan(1), until=at(400))
    assert before == [session.execute(text(f"SELECT * FROM {table} ORDER BY 1, 2")).all() for table in tables]
    assert not session.new
    assert not session.dirty


def test_a_plan_without_runs_tells_what_expires(session: Session) -> None:
    fill(session, "acme")
    told = forecast(session, "acme", [], until=at(400))
    assert told.steps == ()
    assert told.closing == ledger.get_balance(session, "acme", at=at(400))


@pytest.mark.parametrize(
    ("runs", "until", "says"),
    [
        ([PlannedRun(START - timedelta(days=1), 1)], None, "Plan runs to come"),
        ([PlannedRun(START + timedelta(days=9), 1)], START + timedelta(days=8), "Give a later moment"),
        ([PlannedRun(START + timedelta(days=1), Decimal("-1"))], None, "amount"),
        ([PlannedRun(START.replace(tzinfo=None), 1)], None, "no time zone"),
    ],
)
def test_a_plan_that_could_not_be_asked_for_is_refused(
    session: Session, runs: list[PlannedRun], until: object, says: str
) -> None:
    fill(session, "acme")
    with pytest.raises(ledger.CommandInvalid, match=says):
        forecast(session, "acme", runs, until=until)


def test_too_long_a_plan_is_refused(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.open_account(session, "acme", at=START)
    monkeypatch.setattr("ledger.forecasts.RUNS_MAX", 2)
    with pytest.raises(ledger.CommandInvalid, match="at most 2 at once"):
        forecast(session, "acme", [PlannedRun(at(1), 1)] * 3)


def test_an_unknown_account_is_refused(session: Session) -> None:
    with pytest.raises(ledger.AccountNotFound):
        forecast(session, "nobody", [])
