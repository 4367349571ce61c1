"""Who has credits, who holds them, where did they go: an exact, append-only, double-entry book of credits.

Verbs take the caller's `sqlalchemy.orm.Session` first, join its transaction, and never commit. From async code:
`await session.run_sync(ledger.reserve, "acme", 5)`. Amounts are `Decimal` credits, moments aware datetimes.
"""

from ledger.accounts import get_balance, list_accounts, open_account
from ledger.audit import Finding, audit, require_clean
from ledger.commands import (
    Capture,
    Command,
    ExpireDue,
    GrantCredits,
    LaunchRun,
    OpenAccount,
    Release,
    Reserve,
    SettleRun,
)
from ledger.errors import (
    AccountNotFound,
    AuditFailed,
    CaptureExceedsReservation,
    CommandInvalid,
    GrantNotFound,
    IdempotencyConflict,
    InsufficientCredits,
    LedgerError,
    ReservationNotFound,
    ReservationNotHeld,
    RunAlreadyActive,
    RunNotFound,
    SchemaMismatch,
)
from ledger.grants import grant_credits
from ledger.journal import execute
from ledger.launches import find_launch, launch, settle_run
from ledger.migrations import check_schema, current_revision, upgrade
from ledger.reservations import capture, expire_due, get_reservation, list_reservations, release, reserve
from ledger.statements import get_statement
from ledger.transactions import create_engine, is_retryable, prepare_engine, run_transaction
from ledger.values import (
    Account,
    Balance,
    Bucket,
    Entry,
    EntryKind,
    Expiry,
    Grant,
    Launch,
    Reservation,
    ReservationState,
    Result,
    RunSettlement,
    Slice,
    Statement,
    Transfer,
)

__all__ = [
    "Account",
    "AccountNotFound",
    "AuditFailed",
    "Balance",
    "Bucket",
    "Capture",
    "CaptureExceedsReservation",
    "Command",
    "CommandInvalid",
    "Entry",
    "EntryKind",
    "ExpireDue",
    "Expiry",
    "Finding",
    "Grant",
    "GrantCredits",
    "GrantNotFound",
    "IdempotencyConflict",
    "InsufficientCredits",
    "Launch",
    "LaunchRun",
    "LedgerError",
    "OpenAccount",
    "Release",
    "Reservation",
    "ReservationNotFound",
    "ReservationNotHeld",
    "ReservationState",
    "Reserve",
    "Result",
    "RunAlreadyActive",
    "RunNotFound",
    "RunSettlement",
    "SchemaMismatch",
    "SettleRun",
    "Slice",
    "Statement",
    "Transfer",
    "audit",
    "capture",
    "check_schema",
    "create_engine",
    "current_revision",
    "execute",
    "expire_due",
    "find_launch",
    "get_balance",
    "get_reservation",
    "get_statement",
    "grant_credits",
    "is_retryable",
    "launch",
    "list_accounts",
    "list_reservations",
    "open_account",
    "prepare_engine",
    "release",
    "require_clean",
    "reserve",
    "run_transaction",
    "settle_run",
    "upgrade",
]
