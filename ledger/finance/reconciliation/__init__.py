"""Reconciliation of the ledger with payment providers' exports, pipelines' usage, and other ledgers."""

from __future__ import annotations

from ledger.finance.reconciliation.files.errors import MappingInvalid, RecordsUnreadable
from ledger.finance.reconciliation.files.mappings import RecordMapping
from ledger.finance.reconciliation.reconciling import Reconciliation, reconcile
from ledger.finance.reconciliation.results import (
    Basis,
    ReconciliationResult,
    ReconciliationSummary,
    Record,
    ResultKind,
)

__all__ = [
    "Basis",
    "MappingInvalid",
    "Reconciliation",
    "ReconciliationResult",
    "ReconciliationSummary",
    "Record",
    "RecordMapping",
    "RecordsUnreadable",
    "ResultKind",
    "reconcile",
]
