"""What finance takes out of the book: everything here reads, and nothing changes it; closings are kept beside it.

`stream_book` reads all entries in order; `entries_since` gives a warehouse what is new; `stream_revenue` says what of
a period's sales was recognised, and `close_period` keeps it for good; `write_beancount`,
`write_hledger`, `write_journal` and `export_book` write files that other tools accept.
"""

from __future__ import annotations

from ledger.figures import Figures, RevenueTotal
from ledger.finance.book import BookEntry, stream_book
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
from ledger.finance.repricing import reprice
from ledger.finance.revenue import (
    AccountRevenue,
    RevenueLine,
    stream_figures,
    stream_revenue,
    total_revenue,
)
from ledger.flows import Deferral, Flows, Lending, Receivable

__all__ = [
    "AccountRevenue",
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
    "Receivable",
    "RevenueLine",
    "RevenueTotal",
    "checkpoint_closing",
    "close_period",
    "entries_since",
    "export_book",
    "find_closing",
    "list_closings",
    "reprice",
    "stream_book",
    "stream_figures",
    "stream_revenue",
    "total_revenue",
    "write_beancount",
    "write_hledger",
    "write_journal",
]
