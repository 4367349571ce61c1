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
      UpgradeBlocked             503  .table .holders          find the holder, try again
      UpgradeNotScripted         500  .found                   run `credits db upgrade` without --sql
      DistributionUnavailable    500                           do what the message says
      SessionUnusable            500             pass a session as the message says
      EngineUnusable             500                          pass an engine as the message says
      PreparedStatementsLost     500             behind a pooler, prepare no statements, as the message says
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

from ledger.errors.base import Finding, LedgerError
from ledger.errors.operations import (
    AccountsHidden,
    AuditFailed,
    BatcherClosed,
    CommitUnknown,
    DatabaseUnsupported,
    DistributionUnavailable,
    EngineUnusable,
    NotCarriedOut,
    OutcomeUnknown,
    PreparedStatementsLost,
    QueueFull,
    SchemaMismatch,
    SessionUnusable,
    TransactionEnded,
    UpgradeBlocked,
    UpgradeNotScripted,
)
from ledger.errors.refusals import (
    AccountNotFound,
    CaptureExceedsReservation,
    CheckpointInvalid,
    CommandInvalid,
    GrantEnded,
    GrantNotFound,
    IdempotencyConflict,
    InsufficientCredits,
    LimitExceeded,
    PeriodNotClosable,
    RefundExceedsCapture,
    ReservationNotFound,
    ReservationNotHeld,
    RunAlreadyActive,
    RunNotFound,
)

__all__ = [
    "AccountNotFound",
    "AccountsHidden",
    "AuditFailed",
    "BatcherClosed",
    "CaptureExceedsReservation",
    "CheckpointInvalid",
    "CommandInvalid",
    "CommitUnknown",
    "DatabaseUnsupported",
    "DistributionUnavailable",
    "EngineUnusable",
    "Finding",
    "GrantEnded",
    "GrantNotFound",
    "IdempotencyConflict",
    "InsufficientCredits",
    "LedgerError",
    "LimitExceeded",
    "NotCarriedOut",
    "OutcomeUnknown",
    "PeriodNotClosable",
    "PreparedStatementsLost",
    "QueueFull",
    "RefundExceedsCapture",
    "ReservationNotFound",
    "ReservationNotHeld",
    "RunAlreadyActive",
    "RunNotFound",
    "SchemaMismatch",
    "SessionUnusable",
    "TransactionEnded",
    "UpgradeBlocked",
    "UpgradeNotScripted",
]
