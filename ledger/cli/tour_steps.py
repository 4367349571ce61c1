"""The tour: one dataset through everything, each step carried out for real, checked, and explained in a line."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from rich.console import RenderableType
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from estimator import (
    DatasetProfile,
    Estimate,
    RateCard,
    RateCardBook,
    RunOutcome,
    RunPlan,
    RunRequest,
    estimate,
    from_micro,
    plan_run,
    price_micro,
    to_micro,
)
from estimator.cli.tables import estimate_summary, items_table, line, profile_table
from estimator.cli.terminal import CommandFailed, ExitStatus
from estimator.credits import grouped_credits
from ledger.accounts import get_balance, open_account
from ledger.auditing.book import audit
from ledger.cli.tables import balances_table, launch_table, settlement_table, statement_table
from ledger.documents import plain
from ledger.errors import InsufficientCredits
from ledger.grants import grant_credits
from ledger.model.values import Balance, Launch
from ledger.runs import launch, settle_run
from ledger.statements import get_statement
from ledger.storage.transactions import Answer, run_transaction

_PROMPTS = ("prompt", "instruction", "question", "query", "problem", "input", "text", "content", "title")
_CHATS = ("messages", "conversations", "conversation", "chat", "dialogue", "dialog")
_COMPLETIONS = ("completion", "response", "answer", "output", "solution", "target", "label")

_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its name, a sentence that explains it, its facts as JSON-safe values, and the same as tables."""

    name: str
    title: str
    explanation: str
    result: dict[str, Any]
    tables: Sequence[RenderableType] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe fields."""
        return {"name": self.name, "title": self.title, "explanation": self.explanation, "result": self.result}


def choose_mapping(columns: Sequence[str]) -> dict[str, str]:
    """A column mapping that suits the names of a dataset's columns. Raises `CommandFailed` where there is no name."""
    named = [column for column in columns if column]
    if not named:
        message = "The dataset names no column, so nothing can be mapped. Give one whose rows have named fields."
        raise CommandFailed("columns_missing", message)
    prompt, chat = _first_like(named, _PROMPTS), _first_like(named, _CHATS)
    if prompt is None and chat is not None:
        return {"chat": chat}
    mapping = {"prompt": prompt or named[0]}
    completion = _first_like([column for column in named if column != mapping["prompt"]], _COMPLETIONS)
    return mapping if completion is None else mapping | {"completion": completion}


def _first_like(columns: Sequence[str], names: Sequence[str]) -> str | None:
    """The first column that has one of the names; failing that, the first whose name contains one."""
    fits: tuple[Callable[[str, str], bool], ...] = (
        lambda column, name: column.lower() == name,
        lambda column, name: name in column.lower(),
    )
    for fit in fits:
        for name in names:
            for column in columns:
                if fit(column, name):
                    return column
    return None


def _prove(holds: bool, claim: str) -> None:
    """Check a claim of the tour before it is printed."""
    if not holds:
        message = f"The tour's claim that {claim} does not hold. Do not rely on this installation, and report this."
        raise CommandFailed("tour_broken", message, ExitStatus.FOUND)


@dataclass(slots=True)
class Tour:
    """The tour of one account with one dataset. It ends at `now`, and began some minutes before."""

    engine: Engine
    dataset: str
    dataset_id: str
    profile: DatasetProfile
    card: RateCard
    now: datetime
    account_id: str = "tour"

    def steps(self) -> Iterator[Step]:
        """Carry out and explain one step after another. Raises `CommandFailed` when a claim does not hold."""
        opened_at = self.now - timedelta(minutes=5)
        request, dearer = self._request(), self._dearer_request()
        plan = plan_run(request, self.profile, self.card, discount=self._discount)
        quote = estimate(plan, self.card)
        yield self._show_profile()
        yield self._show_estimate(quote)
        dearer_plan = plan_run(dearer, self.profile, self.card)
        left = left_over(dearer_plan, self.card, quote.credits)
        yield self._grant(_sum(quote.credits, left), opened_at)
        first = self._launch(request, self.dataset_id, opened_at + 60 * _SECOND)
        yield self._show_launch(first, quote)
        yield self._replay(first, request, opened_at + 90 * _SECOND)
        yield self._refuse(dearer, dearer_plan, opened_at + 120 * _SECOND)
        yield self._settle(first, plan, quote)
        yield self._show_statement()
        yield self._audit()

    @property
    def _discount(self) -> str | None:
        return next(iter(self.card.discounts), None)

    def _request(self) -> RunRequest:
        return RunRequest.from_wire(
            {
                "column_mapping": choose_mapping(self.profile.columns),
                "brand_controls": {"length": "detailed"},
                "recipe_specification": {"recipes": {"reasoning_traces": True}},
                "job_specification": {"max_rows": self._rows, "idempotency_key": "tour-1"},
            }
        )

    def _dearer_request(self) -> RunRequest:
        return RunRequest.from_wire(
            {
                "column_mapping": choose_mapping(self.profile.columns),
                "brand_controls": {"length": "extensive", "hallucination_mitigation": True},
                "recipe_specification": {"recipes": {"reasoning_traces": True}},
                "training_type": "preference_pairs",
                "job_specification": {"max_rows": self._rows},
            }
        )

    @property
    def _rows(self) -> int:
        return min(self.profile.row_count or 1, self.card.rows_max)

    def _do(self, work: Callable[[Session], Answer]) -> Answer:
        return run_transaction(self.engine, work)

    def _balance(self, at: datetime) -> Balance:
        return self._do(lambda session: get_balance(session, self.account_id, at=at))

    def _show_profile(self) -> Step:
        rows = self.profile.row_count or 0
        _prove(rows >= 1, "the dataset has rows")
        return Step(
            "profile",
            "Profile the dataset",
            "Rows are counted and columns named; the file is never held in memory.",
            {"dataset": self.dataset, "row_count": rows, "columns": list(self.profile.columns)},
            [profile_table(self.dataset, self.profile)],
        )

    def _show_estimate(self, quote: Estimate) -> Step:
        _prove(sum(to_micro(i.credits) for i in quote.line_items) == to_micro(quote.credits), "the items sum up")
        return Step(
            "estimate",
            "Estimate a run",
            "Detailed answers with reasoning traces, item by item; the items sum to the total exactly. "
            "The prices are fictional.",
            quote.to_dict(),
            [estimate_summary(quote), items_table(quote.line_items, quote.credits)],
        )

    def _grant(self, amount: Decimal, at: datetime) -> Step:
        def open_and_grant(session: Session) -> Any:
            open_account(session, self.account_id, at=at)
            return grant_credits(session, self.account_id, amount, key="grant-1", at=at)

        granted = self._do(open_and_grant)
        balance = self._balance(at)
        _prove(balance.available == balance.issued == amount, "the grant is available at once")
        return Step(
            "grant",
            "Grant credits",
            f"Account {self.account_id} is opened and {grouped_credits(amount)} credits are issued to it.",
            {"grant": plain(granted), "balance": plain(balance)},
            [balances_table([("after the grant", balance)])],
        )

    def _launch(self, request: RunRequest, dataset_id: str, at: datetime) -> Launch:
        return self._do(
            lambda session: launch(
                session,
                account_id=self.account_id,
                dataset_id=dataset_id,
                profile=self.profile,
                request=request,
                cards=RateCardBook([self.card]),
                at=at,
                discount=None if request.training_type else self._discount,
            )
        )

    def _show_launch(self, first: Launch, quote: Estimate) -> Step:
        balance = self._balance(self.now)
        _prove(not first.replayed and first.response.credits == quote.credits, "a run is held at its estimate")
        _prove(balance.held == quote.credits, "the launch holds the credits")
        return Step(
            "launch",
            "Launch the run",
            f"{grouped_credits(quote.credits)} credits move from available to held, before any work is done.",
            {"launch": plain(first), "balance": plain(balance)},
            [launch_table(first), balances_table([("after the launch", balance)])],
        )

    def _replay(self, first: Launch, request: RunRequest, at: datetime) -> Step:
        before = self._balance(self.now)
        again = self._launch(request, self.dataset_id, at)
        balance = self._balance(self.now)
        _prove(again.replayed and again.run_id == first.run_id, "the same launch again is a replay")
        _prove(again.response.to_wire() == first.response.to_wire(), "a replay gets the first answer")
        _prove(balance == before, "a replay moves nothing")
        return Step(
            "replay",
            "Launch it again, as a client does after a lost answer",
            "Same key, same request: the first answer comes back and no credit moves.",
            {"launch": plain(again), "balance": plain(balance)},
            [launch_table(again), balances_table([("before", before), ("after", balance)])],
        )

    def _refuse(self, request: RunRequest, plan: RunPlan, at: datetime) -> Step:
        before = self._balance(self.now)
        refused: InsufficientCredits | None = None
        try:
            self._launch(request, f"{self.dataset_id}-2", at)
        except InsufficientCredits as error:
            refused = error
        _prove(refused is not None, "a run beyond the balance is refused")
        assert refused is not None
        rows = refused.affordable_rows or 0
        available = to_micro(before.available)
        if rows:
            _prove(price_micro(plan._replace(rows=rows), self.card) <= available, "the rows named are payable")
        _prove(price_micro(plan._replace(rows=rows + 1), self.card) > available, "one row more is not payable")
        _prove(self._balance(self.now) == before, "a refusal moves nothing")
        return Step(
            "refusal",
            "Launch what the balance cannot pay",
            f"Extensive, grounded preference pairs cost {grouped_credits(refused.requested)} and"
            f" {grouped_credits(refused.available)} "
            f"is available: refused, nothing moves. It would pay for {rows:,} of {plan.rows:,} rows.",
            {"error": refused.to_dict(), "balance": plain(before)},
            [line(refused.message, style="red"), balances_table([("before and after", before)])],
        )

    def _settle(self, first: Launch, plan: RunPlan, quote: Estimate) -> Step:
        delivered = plan.rows_output - max(1, plan.rows_output // 10)
        outcome = RunOutcome("succeeded", plan.rows, delivered)
        before, run_id = self._balance(self.now), first.run_id or ""
        settled = self._do(
            lambda session: settle_run(session, account_id=self.account_id, run_id=run_id, outcome=outcome, at=self.now)
        )
        balance = self._balance(self.now)
        _prove(_sum(settled.captured, settled.freed) == quote.credits, "what is charged and freed was held")
        _prove(balance.held == 0 and balance.consumed == settled.captured, "only what is charged is consumed")
        return Step(
            "settle",
            "Settle the run",
            f"{delivered:,} of {plan.rows_output:,} rows were delivered: {grouped_credits(settled.captured)} credits"
            f" are charged and {grouped_credits(settled.freed)} of the hold are available again.",
            {"settlement": plain(settled), "balance": plain(balance)},
            [settlement_table(settled), balances_table([("before", before), ("after", balance)])],
        )

    def _show_statement(self) -> Step:
        until = self.now + timedelta(microseconds=1)
        statement = self._do(lambda session: get_statement(session, self.account_id, until=until))
        kinds = [entry.kind.value for entry in statement.entries]
        _prove(kinds == ["grant", "reserve", "capture"], "the statement lists what moved, and nothing else")
        _prove(statement.closing.available == self._balance(self.now).available, "the statement ties to the balance")
        return Step(
            "statement",
            "Read the statement",
            "Every entry and the balance that it left. The replay and the refusal left no trace.",
            {"statement": plain(statement)},
            [statement_table(statement)],
        )

    def _audit(self) -> Step:
        findings = self._do(lambda session: list(audit(session, account_id=self.account_id)))
        _prove(not findings, "the book proves itself")
        balance = self._balance(self.now)
        return Step(
            "audit",
            "Audit the book",
            f"Worked out again from the chained entries: {grouped_credits(balance.issued)} credits issued = "
            f"{grouped_credits(balance.available)} available + {grouped_credits(balance.consumed)} consumed."
            " No finding.",
            {"clean": True, "findings": [], "balance": plain(balance)},
        )


def left_over(dearer: RunPlan, card: RateCard, price: Decimal) -> Decimal:
    """The credits to leave available beside a hold of `price`: too few for a plan, enough for half of it if possible.

    Rounded up so that the grant is a whole number of credits, where that is still too few.
    """
    whole, half = price_micro(dearer, card), price_micro(dearer._replace(rows=max(1, dearer.rows // 2)), card)
    micro = half if half < whole else whole - 1
    rounded = math.ceil(_sum(price, from_micro(micro))) * 1_000_000 - to_micro(price)
    return from_micro(rounded if rounded < whole else micro)


def _sum(*amounts: Decimal) -> Decimal:
    """An exact sum, whatever the caller's decimal context is."""
    return from_micro(sum(map(to_micro, amounts)))
