"""What the ledger refuses, and what to do about each refusal.

    LedgerError
      CommandInvalid             400  .field                   a value of the command is malformed: correct it
      CheckpointInvalid          400                           the document is no checkpoint, or was changed
      LimitExceeded              402  .limit .requested .left
      InsufficientCredits        402  .requested .available .affordable_rows
      AccountNotFound            404  .account_id
      GrantNotFound              404  .grant_id
      ReservationNotFound        404  .reservation_id
      RunNotFound                404  .run_id
      ReservationNotHeld         409  .reservation_id .state
      CaptureExceedsReservation  409  .reservation_id .requested .held
      RefundExceedsCapture       409  .reservation_id .requested .refundable
      GrantEnded                 409  .grant_id .state
      PeriodNotClosable          409  .period                  close the period that comes next
      RunAlreadyActive           409  .dataset_id .run_id      do not retry: wait for the run to end
      IdempotencyConflict        422  .key
      AuditFailed                500  .findings
      CommitUnknown              503                           repeat with the same keys
      SchemaMismatch             500  .found .expected         run `credits db upgrade`
      SessionUnusable            500             pass a session as the message says
      DatabaseUnsupported        500  .dialect .driver         use a driver that the message names
      AccountsHidden             500  .role                   use a role that sees all accounts
      TransactionEnded           500             do not end the transaction that the ledger was given
      QueueFull                  503  .queue_max               nothing was queued: try again a little later
      BatcherClosed              503                           nothing was queued: use a batcher that is open
      NotCarriedOut              503  .key                     certainly no effect: try again
      OutcomeUnknown             504  .key                     may have had its effect: repeat it with its key

Where several refusals fit a command, it gets the first in this order: conflict, not found, wrong state, insufficient.
A refused command moves nothing and leaves its key free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

from estimator.credits import format_credits


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing in the book that does not add up: its place, a stable code, and what was found and expected there."""

    account_id: str
    sequence: int | None
    code: str
    message: str

    def __str__(self) -> str:
        """One line for a person."""
        where = f"account {self.account_id!r}" + ("" if self.sequence is None else f", entry {self.sequence}")
        return f"{where}: {self.code}: {self.message}"


class LedgerError(Exception):
    """Base of every refusal: a stable `code`, an HTTP `status_hint`, typed fields, a message that says what to do."""

    code: ClassVar[str] = "ledger_error"
    status_hint: ClassVar[int] = 500

    def __init__(self, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        self._fields = fields
        for name, value in fields.items():
            setattr(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy with every field."""
        return (_rebuild, (type(self), self.message, self._fields))

    def to_dict(self) -> dict[str, Any]:
        """Code, message and typed fields as JSON-safe values; amounts as decimal strings."""
        return {"code": self.code, "message": self.message} | {
            name: _plain(value) for name, value in self._fields.items() if value is not None
        }


def _rebuild(kind: type[LedgerError], message: str, fields: dict[str, Any]) -> LedgerError:
    error = kind.__new__(kind)
    LedgerError.__init__(error, message, **fields)
    return error


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format_credits(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | None) else str(value)


class CommandInvalid(LedgerError):
    """A value of a command is malformed; nothing was looked up."""

    code = "command_invalid"
    status_hint = 400
    field: str

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}", field=field)


class CheckpointInvalid(LedgerError):
    """A document is no checkpoint of a ledger, or was changed after it was written."""

    code = "checkpoint_invalid"
    status_hint = 400

    def __init__(self, problem: str) -> None:
        super().__init__(f"The checkpoint {problem}")


class InsufficientCredits(LedgerError):
    """The credits that the account can spend are below the amount asked for."""

    code = "insufficient_credits"
    status_hint = 402
    account_id: str
    requested: Decimal
    available: Decimal
    affordable_rows: int | None

    def __init__(
        self, account_id: str, requested: Decimal, available: Decimal, affordable_rows: int | None = None
    ) -> None:
        message = (
            f"Account {account_id!r} has {format_credits(available)} credits available and "
            f"{format_credits(requested)} are needed. Grant more credits, or ask for less."
        )
        if affordable_rows is not None:
            message = message[: -len("ask for less.")] + f"set max_rows to {affordable_rows} or fewer."
            if affordable_rows == 0:
                message = message[: message.rindex(" Grant")] + " Grant more credits: not even one row is payable."
        super().__init__(
            message,
            account_id=account_id,
            requested=requested,
            available=available,
            affordable_rows=affordable_rows,
        )


class LimitExceeded(LedgerError):
    """A spend limit, or a limit on concurrent holds, leaves less than the command asks for."""

    code = "limit_exceeded"
    status_hint = 402
    account_id: str
    limit: str
    requested: Decimal
    left: Decimal

    def __init__(self, account_id: str, limit: str, requested: Decimal, left: Decimal) -> None:
        super().__init__(
            f"The limit on {limit} of account {account_id!r} leaves {format_credits(left)} and "
            f"{format_credits(requested)} more is asked for. Ask for less, wait for the limit to free, or raise it.",
            account_id=account_id,
            limit=limit,
            requested=requested,
            left=left,
        )


class AccountNotFound(LedgerError):
    """No account of that id has been opened."""

    code = "account_not_found"
    status_hint = 404
    account_id: str

    def __init__(self, account_id: str) -> None:
        super().__init__(f"No account {account_id!r} exists. Check the id, or open it first.", account_id=account_id)


class GrantNotFound(LedgerError):
    """The account has no grant of that id."""

    code = "grant_not_found"
    status_hint = 404
    grant_id: str

    def __init__(self, grant_id: str) -> None:
        super().__init__(f"No grant {grant_id!r} exists. Check the id that granting returned.", grant_id=grant_id)


class ReservationNotFound(LedgerError):
    """The account has no reservation of that id."""

    code = "reservation_not_found"
    status_hint = 404
    reservation_id: str

    def __init__(self, reservation_id: str) -> None:
        super().__init__(
            f"No reservation {reservation_id!r} exists. Check the id that reserving returned.",
            reservation_id=reservation_id,
        )


class RunNotFound(LedgerError):
    """The account has launched no run of that id."""

    code = "run_not_found"
    status_hint = 404
    run_id: str

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"No run {run_id!r} exists in this account. Check the run id that launching returned.", run_id=run_id
        )


class ReservationNotHeld(LedgerError):
    """The reservation has already been captured, released, or has expired."""

    code = "reservation_not_held"
    status_hint = 409
    reservation_id: str
    state: str

    def __init__(self, reservation_id: str, state: str) -> None:
        super().__init__(
            f"Reservation {reservation_id!r} is {state}, so it holds nothing any more. "
            "Reserve again if the work is still to be paid.",
            reservation_id=reservation_id,
            state=state,
        )


class CaptureExceedsReservation(LedgerError):
    """A capture asks for more than its reservation holds."""

    code = "capture_exceeds_reservation"
    status_hint = 409
    reservation_id: str
    requested: Decimal
    held: Decimal

    def __init__(self, reservation_id: str, requested: Decimal, held: Decimal) -> None:
        super().__init__(
            f"Reservation {reservation_id!r} holds {format_credits(held)} credits and the capture asks for "
            f"{format_credits(requested)}. Capture at most what is held and reserve the rest.",
            reservation_id=reservation_id,
            requested=requested,
            held=held,
        )


class RefundExceedsCapture(LedgerError):
    """A refund asks for more than its reservation captured and has not given back yet."""

    code = "refund_exceeds_capture"
    status_hint = 409
    reservation_id: str
    requested: Decimal
    refundable: Decimal

    def __init__(self, reservation_id: str, requested: Decimal, refundable: Decimal) -> None:
        left = (
            f"has {format_credits(refundable)} credits left to refund and the refund asks for "
            f"{format_credits(requested)}. Refund at most what is left."
        )
        if not refundable:
            left = "has nothing left to refund. Look at its entries: it captured nothing, or all was given back."
        super().__init__(
            f"Reservation {reservation_id!r} {left}",
            reservation_id=reservation_id,
            requested=requested,
            refundable=refundable,
        )


class GrantEnded(LedgerError):
    """The grant has lapsed or was revoked before, so nothing of it is left to revoke."""

    code = "grant_ended"
    status_hint = 409
    grant_id: str
    state: str

    def __init__(self, grant_id: str, state: str) -> None:
        super().__init__(
            f"Grant {grant_id!r} is {state}, so nothing of it is left to revoke. Look at the account's statement.",
            grant_id=grant_id,
            state=state,
        )


class PeriodNotClosable(LedgerError):
    """The accounting period has not ended, overlaps a closed one, or does not follow the one closed last."""

    code = "period_not_closable"
    status_hint = 409
    period: str

    def __init__(self, period: str, problem: str) -> None:
        super().__init__(f"The period {period!r} {problem}", period=period)


class RunAlreadyActive(LedgerError):
    """Another run of the same dataset still holds credits; retrying will not help."""

    code = "run_already_active"
    status_hint = 409
    dataset_id: str
    run_id: str

    def __init__(self, dataset_id: str, run_id: str) -> None:
        super().__init__(
            f"Run {run_id!r} is still active on dataset {dataset_id!r}. "
            "Wait for it to end, or cancel it, before launching another.",
            dataset_id=dataset_id,
            run_id=run_id,
        )


class IdempotencyConflict(LedgerError):
    """The key was used before for a different request."""

    code = "idempotency_conflict"
    status_hint = 422
    key: str

    def __init__(self, key: str) -> None:
        super().__init__(
            f"Key {key!r} was already used for a different request. "
            "Use a new key for a new request; repeat a request unchanged to get its first answer.",
            key=key,
        )


class AuditFailed(LedgerError):
    """The audit found entries or rows that do not add up; see `findings`."""

    code = "audit_failed"
    findings: tuple[Finding, ...]

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__(
            f"The audit found {len(findings)} problem(s), first: {findings[0]}. "
            "Stop writing to the accounts named and compare them with a backup.",
            findings=tuple(findings),
        )


class CommitUnknown(LedgerError):
    """The connection was lost during the commit, so it is not known whether the commit happened."""

    code = "commit_unknown"
    status_hint = 503

    def __init__(self) -> None:
        super().__init__(
            "The connection was lost at the commit, so it is not known whether the operations happened. "
            "Repeat them with the same keys: what has happened is answered as before, the rest is carried out."
        )


class SchemaMismatch(LedgerError):
    """The database's ledger schema is not the one this version works with."""

    code = "schema_mismatch"
    found: str | None
    expected: str

    def __init__(self, found: str | None, expected: str) -> None:
        has = f"is at revision {found}" if found else "has no ledger tables"
        is_newer = found is not None and found > expected
        remedy = "Install the version that made it, or a later one." if is_newer else "Run `credits db upgrade`."
        super().__init__(
            f"The database {has} and this version needs {expected}. {remedy}",
            found=found,
            expected=expected,
        )


class SessionUnusable(LedgerError):
    """The session given to a verb cannot keep what the ledger promises, or is no session."""

    code = "session_unusable"

    def __init__(self, problem: str) -> None:
        super().__init__(f"The session {problem}")


class DatabaseUnsupported(LedgerError):
    """The ledger does not work with this database or this driver."""

    code = "database_unsupported"
    dialect: str
    driver: str

    def __init__(self, dialect: str, driver: str, instead: str) -> None:
        named = f"{dialect} with the driver {driver}" if driver else dialect
        super().__init__(
            f"The ledger does not work with {named}. Use a URL that begins with {instead}.",
            dialect=dialect,
            driver=driver,
        )


class AccountsHidden(LedgerError):
    """Row-level security hides accounts from a call that is about all of them."""

    code = "accounts_hidden"
    role: str

    def __init__(self, role: str) -> None:
        super().__init__(
            f"Row-level security hides accounts from the role {role!r}, so this call over all accounts would miss them."
            " Use the worker's or the read-only role of `credits db roles`, or name one account.",
            role=role,
        )


class TransactionEnded(LedgerError):
    """The transaction in which a verb answered was ended by the work itself."""

    code = "transaction_ended"

    def __init__(self) -> None:
        super().__init__(
            "The work ended its transaction by commit, rollback or close, so its answer may not be in the book. Leave"
            " that to the caller, and undo a part of the work with `session.begin_nested()`."
        )


class QueueFull(LedgerError):
    """The batcher's queue is full; this command was not queued."""

    code = "queue_full"
    status_hint = 503
    queue_max: int

    def __init__(self, queue_max: int) -> None:
        super().__init__(
            f"{queue_max} commands are waiting already, so this one was not queued. "
            "Try again a little later, with the same key if it has one.",
            queue_max=queue_max,
        )


class BatcherClosed(LedgerError):
    """The batcher is closed for good; this command was not queued."""

    code = "batcher_closed"
    status_hint = 503

    def __init__(self, why: str = "The batcher is closed") -> None:
        super().__init__(
            f"{why}, so the command was not queued. Make a new Batcher in the process that uses it, "
            "and keep it open for as long as commands come."
        )


class NotCarriedOut(LedgerError):
    """The command certainly had no effect. The reason lies outside the command, so it can be tried again."""

    code = "not_carried_out"
    status_hint = 503
    key: str | None

    def __init__(self, why: str, key: str | None = None) -> None:
        again = "Try it again" if key is None else f"Try it again with the same key {key!r}"
        super().__init__(f"{why}, so the command was certainly not carried out. {again}.", key=key)


class OutcomeUnknown(LedgerError):
    """It is not known whether the command had its effect. With a key it can be repeated safely."""

    code = "outcome_unknown"
    status_hint = 504
    key: str | None

    def __init__(self, why: str, key: str | None = None) -> None:
        again = (
            "It has no key: look for its entry in the account's statement before you repeat it."
            if key is None
            else f"Repeat it unchanged with the same key {key!r}: it takes effect once, however often it is sent."
        )
        super().__init__(f"{why}, so the command may or may not have been carried out. {again}", key=key)
