"""Reconciliation of the ledger with exports of payment providers, usage of pipelines, and other ledgers.

Imports the reader of files below it, the calendar and stream of finance, documents, the verbs and model.
"""

from __future__ import annotations

from ledger.finance.reconciliation.files.errors import MappingInvalid, RecordsUnreadable
from ledger.finance.reconciliation.files.mappings import RecordMapping
from ledger.finance.reconciliation.reconciling import Reconciliation, reconcile
from ledger.finance.reconciliation.results import Basis, ReconciliationResult, ReconciliationSummary, Record, ResultKind

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
