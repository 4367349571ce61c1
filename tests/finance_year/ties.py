"""Every tie-out of a year: what two readings of the same book must agree on, each with the problems that it found."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.orm import Session

import ledger
from ledger.finance import ExportFormat, entries_since, export_book, reprice
from tests.finance_year import exported, sources
from tests.finance_year.customers import Purchase
from tests.finance_year.figures import BUCKETS, MONTHS, Figures, differences
from tests.finance_year.revenues import revenue_problems

_PAGE = 10_000
_ALL = ("entries", "moves", "closing")


@dataclass
class Ties:
    """The tie-outs of one book. Exports are written to `folder`; what is there already is read as it is."""

    session: Session
    purchases: list[Purchase]
    folder: Path
    seconds: dict[str, float] = field(default_factory=dict)

    def problems(self, *names: str) -> Iterator[tuple[str, list[str]]]:
        """What each tie-out found, of all or of those named: its name, and nothing where all ties."""
        for name in names or tuple(_TIES):
            began = time.monotonic()
            found = _TIES[name](self)
            self.seconds[name] = time.monotonic() - began
            yield name, found

    @cached_property
    def accounts(self) -> list[str]:
        """All accounts."""
        return ledger.list_accounts(self.session)

    @cached_property
    def _read(self) -> tuple[Figures, list[str]]:
        return sources.book_figures(self.session, self.accounts)

    @property
    def book(self) -> Figures:
        """The figures of the book, which the others are compared with."""
        return self._read[0]

    def book_is_running(self) -> list[str]:
        """Each entry leaves what its transfers and those before it add up to."""
        return self._read[1]

    def statements(self) -> list[str]:
        """Statements follow one from the other, and say what the book says."""
        found, problems = sources.statement_figures(self.session, self.accounts)
        return problems + differences("the statement", found, self.book, *_ALL)

    def balances(self) -> list[str]:
        """Balances as of the ends of months."""
        found = sources.balance_figures(self.session, self.accounts)
        return differences("the balance", found, self.book, "closing")

    def beancount(self) -> list[str]:
        """The export to beancount."""
        found, problems = exported.read_journal(self._exported(ExportFormat.BEANCOUNT), self.accounts)
        return problems + differences("the beancount file", found, self.book, "entries", "closing")

    def hledger(self) -> list[str]:
        """The export to hledger."""
        found, problems = exported.read_journal(self._exported(ExportFormat.HLEDGER), self.accounts)
        return problems + differences("the hledger journal", found, self.book, "entries", "closing")

    def journal_csv(self) -> list[str]:
        """The journal in CSV."""
        found = exported.read_journal_csv(self._exported(ExportFormat.CSV) / "journal.csv", self.accounts)
        return differences("the journal in CSV", found, self.book, *_ALL)

    def parquet(self) -> list[str]:
        """The tables in Parquet."""
        found = exported.read_parquet(self._exported(ExportFormat.PARQUET), self.accounts)
        return differences("the Parquet tables", found, self.book, *_ALL)

    def _exported(self, kind: ExportFormat) -> Path:
        path = self.folder / f"book.{kind}"
        if not path.exists():
            export_book(self.session, kind, path)
        return path

    def revenue(self) -> list[str]:
        """Twelve months of revenue."""
        try:
            return revenue_problems(self.session, self.book, self.purchases, self.accounts)
        except ledger.AuditFailed as error:
            return [str(finding) for finding in error.findings]

    def account_rows(self) -> list[str]:
        """The balances that accounts carry."""
        statement = text(f"SELECT account_id, {', '.join(BUCKETS)} FROM ledger_account ORDER BY 1")
        rows = {row[0]: tuple(row[1:]) for row in self.session.execute(statement)}
        last = {name: self.book[name, MONTHS[-1]].closing for name in self.accounts}
        return [
            f"{name}: its row says {rows[name]}, the book {last[name]}" for name in last if rows[name] != last[name]
        ]

    def audit(self) -> list[str]:
        """The audit is clean."""
        return [str(finding) for finding in ledger.audit(self.session)]

    def repricing(self) -> list[str]:
        """Every run costs what it cost."""
        return [str(finding) for finding in reprice(self.session)]

    def feed(self) -> list[str]:
        """The feed gives every entry once, in order, with what it moved; it ends where the book lacks one."""
        try:
            return self._feed()
        except ledger.AuditFailed as error:
            return [str(error)]

    def _feed(self) -> list[str]:
        last, moved, problems = dict[str, int](), dict[str, int](), list[str]()
        page = entries_since(self.session, limit=_PAGE)
        while page.entries:
            for entry in page.entries:
                if entry.sequence != last.get(entry.account_id, 0) + 1:
                    problems.append(f"{entry.account_id}: entry {entry.sequence} is not the next one")
                last[entry.account_id] = entry.sequence
                moved[entry.account_id] = moved.get(entry.account_id, 0) + bool(entry.transfers)
            page = entries_since(self.session, page.cursor, limit=_PAGE)
        sizes = text("SELECT account_id, sequence FROM ledger_account")
        for name, size in self.session.execute(sizes):
            if last.get(name, 0) != size:
                problems.append(f"{name}: the feed ends at entry {last.get(name, 0)} of {size}")
            expected = sum(self.book[name, month].entries for month in MONTHS)
            if moved.get(name, 0) != expected:
                problems.append(
                    f"{name}: the feed has {moved.get(name, 0)} entries that move credits, the book {expected}"
                )
        return problems


_TIES: dict[str, Callable[[Ties], list[str]]] = {
    "book": Ties.book_is_running,
    "statements": Ties.statements,
    "balances": Ties.balances,
    "account rows": Ties.account_rows,
    "beancount": Ties.beancount,
    "hledger": Ties.hledger,
    "csv": Ties.journal_csv,
    "parquet": Ties.parquet,
    "revenue": Ties.revenue,
    "feed": Ties.feed,
    "audit": Ties.audit,
    "repricing": Ties.repricing,
}
NAMES = tuple(_TIES)
"""The tie-outs, in the order in which they are made."""
