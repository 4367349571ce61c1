"""What finance takes out of the book: everything here reads, and nothing changes it; closings are kept beside it.

`stream_book` reads all entries in order; `read_statement` and `PeriodStatements` are statements that prove themselves
and tie to it; `entries_since` gives a warehouse what is new; `stream_revenue` says what of a period's sales was
recognised, and `close_period` keeps it for good; `measure_accuracy` holds what runs were charged against their
estimates; `write_beancount`, `write_hledger`, `write_journal` and `export_book` write files that other tools accept.
"""

from __future__ import annotations

from ledger.figures import Figures, RevenueTotal
from ledger.finance.accuracy import RunAccuracy, measure_accuracy
from ledger.finance.book import BookEntry, read_one_moment, stream_book
from ledger.finance.calendar import AccountingPeriod
from ledger.finance.closings import (
    Closing,
    PeriodClosed,
    checkpoint_closing,
    close_period,
    find_closing,
    list_closings,
)
from ledger.finance.exports import ExportFormat, export_book
from ledger.finance.feed import Cursor, FeedPage, entries_since
from ledger.finance.journals import write_beancount, write_hledger, write_journal
from ledger.finance.periods import PeriodStatements, StatementTotals
from ledger.finance.repricing import reprice
from ledger.finance.revenue import (
    AccountRevenue,
    RevenueLine,
    stream_figures,
    stream_revenue,
    total_revenue,
)
from ledger.finance.statement_files import write_csv, write_json, write_parquet
from ledger.finance.statement_pages import write_page, write_pages
from ledger.finance.statements import AccountStatement, StatementLine, read_period, read_statement
from ledger.flows import Deferral, Flows, Lending, Receivable

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
    "PeriodClosed",
    "PeriodStatements",
    "Receivable",
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
    "reprice",
    "stream_book",
    "stream_figures",
    "stream_revenue",
    "total_revenue",
    "write_beancount",
    "write_csv",
    "write_hledger",
    "write_journal",
    "write_json",
    "write_page",
    "write_pages",
    "write_parquet",
]
