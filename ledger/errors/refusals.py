"""Refusals of a command or a call: the caller corrects it, or does something else first."""

from __future__ import annotations

from decimal import Decimal

from estimator.credits import format_credits
from ledger.errors.base import LedgerError


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
