"""What finance takes out of the book: everything here reads, and nothing changes it.

`stream_book` reads all entries in order; `entries_since` gives a warehouse what is new; `stream_revenue` says what of
a period's sales was recognised; `write_beancount`,
`write_hledger`, `write_journal` and `export_tables` write files that other tools accept.
"""

from __future__ import annotations

from ledger.finance.book import BookEntry, stream_book
from ledger.finance.calendar import AccountingPeriod
from ledger.finance.exports import ExportFormat, export_book
from ledger.finance.feed import Cursor, FeedPage, entries_since
from ledger.finance.journals import write_beancount, write_hledger, write_journal
from ledger.finance.reconciliation import (
    MappingInvalid,
    Reconciliation,
    ReconciliationResult,
    ReconciliationSummary,
    Record,
    RecordMapping,
    RecordsUnreadable,
    ResultKind,
    reconcile,
)
from ledger.finance.repricing import reprice
from ledger.finance.revenue import Flows, RevenueLine, RevenueTotal, stream_revenue, total_revenue

__all__ = [
    "AccountingPeriod",
    "BookEntry",
    "Cursor",
    "ExportFormat",
    "FeedPage",
    "Flows",
    "MappingInvalid",
    "Reconciliation",
    "ReconciliationResult",
    "ReconciliationSummary",
    "Record",
    "RecordMapping",
    "RecordsUnreadable",
    "ResultKind",
    "RevenueLine",
    "RevenueTotal",
    "entries_since",
    "export_book",
    "reconcile",
    "reprice",
    "stream_book",
    "stream_revenue",
    "total_revenue",
    "write_beancount",
    "write_hledger",
    "write_journal",
]
