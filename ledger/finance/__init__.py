"""Readings of the whole book for finance, and closings, which are the only thing that it stores.

`stream_book` reads all entries in order; `entries_since` gives a warehouse the new ones. `read_statement` and
`PeriodStatements` are statements that prove themselves and tie to the book. `stream_revenue` says how much of a
period's sales was recognised, and `close_period` keeps the figures for good. `measure_accuracy` compares what runs were
charged with their estimates, `reprice` computes every charge again, and `reconcile` compares outside records with the
book. `export_book`, `write_beancount`, `write_hledger`, `write_journal` and the writers of statements make files for
other tools and for people.

Imports the verbs, auditing, accounting, storage and documents, and what they import; not the terminal, nor the routes.
"""

from __future__ import annotations

from ledger.accounting.money import Figures, RevenueTotal
from ledger.accounting.rollforwards import Deferral, Flows, Lending, Receivable
from ledger.finance.calendar import AccountingPeriod
from ledger.finance.exports.feed import Cursor, FeedPage, entries_since
from ledger.finance.exports.files import ExportFormat, export_book
from ledger.finance.exports.journals import write_beancount, write_hledger, write_journal
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
from ledger.finance.revenue.closings import (
    Closing,
    PeriodClosed,
    checkpoint_closing,
    close_period,
    find_closing,
    list_closings,
)
from ledger.finance.revenue.reading import AccountRevenue, RevenueLine, stream_figures, stream_revenue, total_revenue
from ledger.finance.runs.accuracy import RunAccuracy, measure_accuracy
from ledger.finance.runs.repricing import reprice
from ledger.finance.statements.files import write_statement_json, write_statements_csv, write_statements_parquet
from ledger.finance.statements.pages import write_statement_page, write_statement_pages
from ledger.finance.statements.reading import AccountStatement, StatementLine, read_period, read_statement
from ledger.finance.statements.totals import PeriodStatements, StatementTotals
from ledger.finance.stream import BookEntry, read_one_moment, stream_book

__all__ = [
    "AccountRevenue",
    "AccountStatement",
    "AccountingPeriod",
    "BookEntry",
    "Closing",
    "Cursor",
    "Deferral",
    "ExportFormat",
    "FeedPage",
    "Figures",
    "Flows",
    "Lending",
    "MappingInvalid",
    "PeriodClosed",
    "PeriodStatements",
    "Receivable",
    "Reconciliation",
    "ReconciliationResult",
    "ReconciliationSummary",
    "Record",
    "RecordMapping",
    "RecordsUnreadable",
    "ResultKind",
    "RevenueLine",
    "RevenueTotal",
    "RunAccuracy",
    "StatementLine",
    "StatementTotals",
    "checkpoint_closing",
    "close_period",
    "entries_since",
    "export_book",
    "find_closing",
    "list_closings",
    "measure_accuracy",
    "read_one_moment",
    "read_period",
    "read_statement",
    "reconcile",
    "reprice",
    "stream_book",
    "stream_figures",
    "stream_revenue",
    "total_revenue",
    "write_beancount",
    "write_hledger",
    "write_journal",
    "write_statement_json",
    "write_statement_page",
    "write_statement_pages",
    "write_statements_csv",
    "write_statements_parquet",
]
