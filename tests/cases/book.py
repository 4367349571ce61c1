"""A ledger as a case sees it: one account; names, seconds and codes instead of ids, moments and errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.orm import Session

import ledger
from estimator.errors import EstimatorError

START = datetime(2026, 1, 1, tzinfo=UTC)
EARLY = START - timedelta(days=3650)
UNLIMITED = Decimal(1_000_000_000_000)
_MISSING = 10**9

_CODES: dict[type[Exception], str] = {
    ledger.InsufficientCredits: "insufficient",
    ledger.LimitExceeded: "insufficient",
    ledger.CaptureExceedsReservation: "exceeds_reserved",
    ledger.IdempotencyConflict: "key_mismatch",
    ledger.ReservationNotFound: "not_found",
    ledger.GrantNotFound: "not_found",
    ledger.CommandInvalid: "reject",
}
_ENDED = {"captured": "already_captured", "released": "already_released", "expired": "expired"}


def amount_of(value: Any) -> Decimal:
    """A case's amount, exactly as it says it."""
    return Decimal(str(value))


@dataclass
class Outcome:
    """What one operation answered."""

    code: str
    value: Any = None


@dataclass
class Book:
    """The account of one case."""

    engine: Engine
    account_id: str
    policy: dict[str, Any]
    now: Decimal = Decimal(0)
    names: dict[str, str] = field(default_factory=dict)
    debits: set[str] = field(default_factory=set)

    def open(self) -> None:
        """Open the account long before the case begins, with the credit line that its policy asks for."""
        commands: list[ledger.Command] = [ledger.OpenAccount(self.account_id, EARLY)]
        line = UNLIMITED if self.policy.get("unlimited") else amount_of(self.policy.get("credit_line", 0))
        if line:
            commands.append(ledger.SetCreditLine(self.account_id, line, at=EARLY))
        self.send(*commands)

    def moment(self, second: Any = None) -> datetime:
        """A second of the case; its present one by default."""
        return START + timedelta(seconds=float(self.now if second is None else second))

    def send(self, *commands: ledger.Command) -> list[Any]:
        """Carry out commands in one transaction."""

        def work(session: Session) -> list[Any]:
            return list(ledger.execute(session, commands))

        return ledger.run_transaction(self.engine, work, attempts=50)

    def ask(self, make: Any, *, second: Any = None) -> Outcome:
        """Make a command (its making may refuse), carry it out, and name its outcome as cases do."""
        try:
            (result,) = self.send(make(self.moment(second)))
        except (ledger.LedgerError, EstimatorError) as error:
            result = error
        return Outcome(self.code_of(result), result)

    def code_of(self, result: Any) -> str:
        """The code of an answer or a refusal."""
        if isinstance(result, ledger.ReservationNotHeld):
            is_debit = any(self.names.get(name) == result.reservation_id for name in self.debits)
            return "not_a_hold" if is_debit else _ENDED[str(result.state)]
        if isinstance(result, ledger.RefundExceedsCapture):
            return "exceeds_reserved" if result.refundable else "already_refunded"
        if isinstance(result, Exception):
            return next((code for kind, code in _CODES.items() if isinstance(result, kind)), type(result).__name__)
        return "replay" if result.replayed else "ok"

    def reservation_id(self, name: str) -> str:
        """The id behind a case's name; one that no reservation has for a name never bound."""
        return self.names.get(name, f"{self.account_id}/r{_MISSING}")

    def reserve(self, step: dict[str, Any], *, second: Any = None, amount: Any = None) -> Outcome:
        """Hold credits under the step's name."""
        ttl = step.get("ttl", 0)
        asked = step["amount"] if amount is None else amount
        outcome = self.ask(
            lambda at: ledger.Reserve(
                self.account_id,
                asked if asked is None else amount_of(asked),
                step.get("key", f"reserve:{step['id']}" if "id" in step else None),
                timedelta(seconds=float(ttl)) if ttl else None,
                at,
                timedelta(seconds=float(self.policy["grace"])) if ttl and self.policy.get("grace") else None,
                step.get("labels"),
                bool(step.get("up_to")),
            ),
            second=second,
        )
        if "id" in step and isinstance(outcome.value, ledger.Reservation):
            self.names[step["id"]] = outcome.value.reservation_id
        return outcome

    def debit(self, step: dict[str, Any], *, second: Any = None) -> Outcome:
        """Consume at once: a hold, captured in the same transaction."""
        held = self.reserve({key: value for key, value in step.items() if key != "ttl"}, second=second)
        if isinstance(held.value, ledger.Reservation) and not held.value.replayed:
            if "id" in step:
                self.debits.add(step["id"])
            return self.ask(lambda at: ledger.Capture(held.value.reservation_id, at=at), second=second)
        return held

    def capture(self, step: dict[str, Any]) -> Outcome:
        """Consume what a named hold holds."""
        over = {"if_available": "if_available", "overdraft": "credit_line", "credit_line": "credit_line"}
        whole = step.get("amount", "all") in ("all", "rest")
        outcome = self.ask(
            lambda at: ledger.Capture(
                self.reservation_id(step["id"]),
                None if whole else amount_of(step["amount"]),
                step.get("key"),
                at=at,
                final=bool(step.get("final", self.policy.get("partial_capture") != "by_final")),
                over=over.get(str(self.policy.get("over_capture")), "reject"),
            )
        )
        found = outcome.value
        if outcome.code == "ok" and not whole and found.applied < amount_of(step["amount"]):
            return Outcome("ok_capped", found)
        if outcome.code == "insufficient" and over.get(str(self.policy.get("over_capture"))) == "credit_line":
            return Outcome("overdraft_limit", found)
        return outcome

    def release(self, step: dict[str, Any]) -> Outcome:
        """Free what a named hold holds."""
        return self.ask(lambda at: ledger.Release(self.reservation_id(step["id"]), step.get("key"), at=at))

    def refund(self, step: dict[str, Any]) -> Outcome:
        """Give back what a named operation consumed."""
        amount = step.get("amount")
        given = None if amount in (None, "all") else amount_of(amount)
        return self.ask(lambda at: ledger.Refund(self.reservation_id(step["id"]), given, step.get("key"), at=at))

    def extend(self, step: dict[str, Any]) -> Outcome:
        """Let a named hold last longer."""
        by = timedelta(seconds=float(step["by"]))
        return self.ask(lambda at: ledger.Extend(self.reservation_id(step["id"]), by, step.get("key"), at=at))

    def deposit(self, amount: Any, *, second: Any = None, key: str | None = None, **terms: Any) -> Outcome:
        """Issue credits."""
        return self.ask(
            lambda at: ledger.GrantCredits(self.account_id, amount_of(amount), key, at=at, **terms), second=second
        )

    def balance(self, second: Any = None) -> ledger.Balance:
        """The balance at a second."""
        with Session(self.engine) as session:
            return ledger.get_balance(session, self.account_id, at=self.moment(second))

    def grants(self, second: Any = None) -> list[ledger.GrantStanding]:
        """Every grant at a second."""
        with Session(self.engine) as session:
            return ledger.list_grants(session, self.account_id, at=self.moment(second), ended=True)

    def last_transfers(self) -> list[ledger.Transfer]:
        """What the account's latest entry moved."""
        with Session(self.engine) as session:
            statement = ledger.get_statement(session, self.account_id, until=self.moment() + timedelta(microseconds=1))
            return list(statement.entries[-1].transfers)

    def audit(self) -> list[ledger.Finding]:
        """What does not add up."""
        with Session(self.engine) as session:
            return list(ledger.audit(session, account_id=self.account_id))
