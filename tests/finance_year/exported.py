"""The figures of a year as exports tell them, read back by small readers that share nothing with what wrote them."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from pyarrow import parquet

from tests.finance_year.figures import BUCKETS, MONTHS, Figures, Month, every_month, month_of, roll

_POSTING = re.compile(
    r" +(?:Assets|Equity):Credits:A-([A-Za-z0-9-]+):(\w+)  (-?[\d.]+) CREDIT(?: = (-?[\d.]+) CREDIT)?\n"
)
_BALANCE = re.compile(r"(\S+) balance (?:Assets|Equity):Credits:A-([A-Za-z0-9-]+):(\w+)  (-?[\d.]+) ~ 0 CREDIT\n")
_OTHER = re.compile(
    r"\n|option .*\n|1970-01-01 commodity CREDIT\n|\S+ open \S+ CREDIT\n"
    r"|  (?:sequence|reservation-id|key): \".*\"\n|    ; (?:sequence|reservation-id|key): .*\n"
)
_OWNER = re.compile(r' +(?:; )?account-id: "?([A-Za-z0-9-]+)"?\n')
_HEAD = re.compile(r"(\d{4}-\d\d)-\d\d \* ")


class _Journal:
    """Adds up a journal: what each bucket of an account gained by month, and what is asserted of it."""

    def __init__(self) -> None:
        self.entries = Counter[tuple[str, str]]()
        self.gained: dict[tuple[str, str], Counter[str]] = {}
        self.standing: dict[tuple[str, str], int] = {}
        self.problems: list[str] = []
        self.assertions = 0
        self._sum = 0

    def post(self, month: str, name: str, bucket: str, amount: int) -> None:
        """Count a posting."""
        self.gained.setdefault((name, month), Counter())[bucket] += amount
        self.standing[name, bucket] = self.standing.get((name, bucket), 0) + amount
        self._sum += amount

    def end(self, where: str) -> None:
        """End a transaction."""
        if self._sum:
            self.problems.append(f"{where}: its postings sum to {self._sum}")
        self._sum = 0

    def check(self, where: str, name: str, bucket: str, amount: int) -> None:
        """Compare what is asserted with the postings before it."""
        self.assertions += 1
        stands = self.standing.get((name, bucket), 0)
        if stands != amount:
            self.problems.append(f"{where}: {name} {bucket} is asserted to be {amount}, its postings sum to {stands}")

    def figures(self, accounts: Iterable[str]) -> Figures:
        """Entries and closings of all months; a journal does not tell where a bucket's credits came from."""
        found: Figures = {}
        standing = Counter[str]()
        for name, month in every_month(accounts):
            if month == MONTHS[0]:
                standing = Counter[str]()
            standing.update(self.gained.get((name, month), Counter()))
            closing = tuple(-standing[bucket] if bucket == "issued" else standing[bucket] for bucket in BUCKETS)
            found[name, month] = Month(self.entries[name, month], closing=closing)
        return found


def read_journal(path: Path, accounts: Iterable[str]) -> tuple[Figures, list[str]]:
    """The figures of a journal of beancount's or hledger's, and what does not add up within it.

    Beancount asserts a balance on a line of its own, hledger beside a posting.
    """
    journal, month, where = _Journal(), "", ""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if head := _HEAD.match(line):
                journal.end(where)
                month, where = head[1], f"line {number}"
            elif owner := _OWNER.fullmatch(line):
                journal.entries[owner[1], month] += 1
            elif posting := _POSTING.fullmatch(line):
                name, bucket = posting[1], posting[2].lower()
                if posting[4] is None:
                    journal.post(month, name, bucket, _micro(posting[3]))
                else:
                    journal.check(f"line {number}", name, bucket, _micro(posting[4]))
            elif balance := _BALANCE.fullmatch(line):
                journal.check(f"line {number}", balance[2], balance[3].lower(), _micro(balance[4]))
            elif not _OTHER.fullmatch(line):
                journal.problems.append(f"line {number} is nothing that a journal has: {line!r}")
    journal.end(where)
    problems = journal.problems if journal.assertions else [*journal.problems, "no balance is asserted"]
    return journal.figures(accounts), problems


def read_journal_csv(path: Path, accounts: Iterable[str]) -> Figures:
    """The figures of the journal in CSV."""
    with path.open(encoding="utf-8", newline="") as file:
        lines = csv.DictReader(file)
        moves = (
            (
                row["account_id"],
                int(row["sequence"]),
                row["at"][:7],
                row["source"],
                row["target"],
                _micro(row["credits"]),
            )
            for row in lines
            if row["credits"]
        )
        return _add(moves, accounts)


def read_parquet(folder: Path, accounts: Iterable[str]) -> Figures:
    """The figures of the tables of entries and transfers in Parquet."""
    return _add(_joined(folder), accounts)


def _joined(folder: Path) -> Iterator[tuple[str, int, str, str, str, int]]:
    entries = _rows(folder / "ledger_entry.parquet", ["account_id", "sequence", "at"])
    entry: tuple[Any, ...] | None = None
    columns = ["account_id", "sequence", "source", "target", "amount"]
    for owner, number, source, target, amount in _rows(folder / "ledger_transfer.parquet", columns):
        while entry is None or entry[:2] != (owner, number):
            entry = next(entries, None)
            if entry is None:
                yield owner, number, "of no entry", source, target, amount
                return
        yield owner, number, month_of(entry[2]), source, target, amount


def _rows(path: Path, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=columns):
            yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)


def _add(moves: Iterable[tuple[str, int, str, str, str, int]], accounts: Iterable[str]) -> Figures:
    found: Figures = {}
    last = ("", 0)
    for name, sequence, month, source, target, amount in moves:
        figures = found.setdefault((name, month), Month())
        figures.entries += (name, sequence) != last
        figures.moves[source, target] += amount
        last = (name, sequence)
    return roll(found, accounts)


def _micro(text: str) -> int:
    return int(Decimal(text).scaleb(6))
