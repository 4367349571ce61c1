"""The audit of an account's closings: each computed again from the entries that it counts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ledger.accounting.closings import ClosingRecord
from ledger.accounting.money import CreditCost, Figures, Terms
from ledger.accounting.rollforwards import (
    ADJUSTING,
    DEFERRED,
    WITHIN,
    AccountedTransfer,
    Deferral,
    Receivable,
    Sheets,
    is_of_debt,
    name_of,
)
from ledger.auditing.rows import AT, DETAILS, HASH, KIND, SEQUENCE, StoredRow, Window
from ledger.book.burning import CREDIT_LINE, PAID
from ledger.book.postings import genesis
from ledger.book.states import AccountState, GrantState
from ledger.errors import Finding
from ledger.model.values import EntryKind


@dataclass(slots=True)
class ClosingsAudit:
    """Follows an account's entries up to its last closing; an account without closings costs nothing."""

    state: AccountState
    rows: list[StoredRow]
    grants: Mapping[int, GrantState]
    records: list[ClosingRecord] = field(init=False)
    counted: list[_Counted] = field(default_factory=list)
    sheets: Sheets = field(default_factory=dict)
    bases: dict[int, CreditCost] = field(default_factory=dict)
    last: StoredRow | None = None

    def __post_init__(self) -> None:
        self.records = sorted((ClosingRecord(*row) for row in self.rows), key=lambda record: record.number)

    def follow(self, window: Window) -> None:
        """Count the entries of a window, after the replay has made their grants."""
        for row in window.entries:
            while self._is_behind(row):
                self._close()
            if len(self.counted) == len(self.records):
                return
            self._count(row, window.transfers.get(row[SEQUENCE], ()))
            self.last = row

    def _is_behind(self, row: StoredRow) -> bool:
        """True when an entry comes after those that the next closing counts."""
        place = len(self.counted)
        return place < len(self.records) and bool(row[SEQUENCE] > self.records[place].sequence)

    def _count(self, row: StoredRow, transfers: Any) -> None:
        sequence, kind = row[SEQUENCE], row[KIND]
        if kind == EntryKind.GRANT and "cost_basis" in row[DETAILS]:
            self._note_basis(row)
        part = ADJUSTING if row[AT] < self.records[len(self.counted)].since else WITHIN
        for number, source, target, amount in transfers:
            whence, whither = name_of(source), name_of(target)
            if whence in DEFERRED and whither in DEFERRED:
                continue
            is_debt = is_of_debt(kind, sequence, number)
            self._sheet(number).count(
                part, AccountedTransfer(whence, whither, amount, kind == EntryKind.REFUND, is_debt)
            )

    def _note_basis(self, row: StoredRow) -> None:
        basis = CreditCost.of(json.loads(row[DETAILS]))
        if basis is not None:
            self.bases[row[SEQUENCE]] = basis

    def _sheet(self, number: int) -> Deferral | Receivable:
        sheet = self.sheets.get(number)
        if sheet is None:
            grant = self.grants.get(number)
            is_line = grant is not None and grant.kind == CREDIT_LINE
            sheet = self.sheets[number] = Receivable() if is_line else Deferral()
        return sheet

    def _close(self) -> None:
        """Keep what the entries so far say of the next closing, and begin the closing after it."""
        figures = Figures()
        for number, sheet in self.sheets.items():
            figures.add_sheet(sheet, self._terms(number))
        self.counted.append(_Counted(self.last, figures.to_json()))
        self.sheets = {number: sheet.rolled() for number, sheet in self.sheets.items()}
        self.sheets = {number: sheet for number, sheet in self.sheets.items() if sheet.has_any()}

    def _terms(self, number: int) -> Terms:
        grant = self.grants.get(number)
        if grant is None:
            return Terms(PAID, None)
        return Terms(grant.kind, self.bases.get(number if grant.allowance is None else grant.allowance))

    def findings(self) -> Iterator[Finding]:
        """What is wrong with the closings; call it once all entries are followed."""
        while self.records and len(self.counted) < len(self.records):
            self._close()
        previous: ClosingRecord | None = None
        for place, (record, counted) in enumerate(zip(self.records, self.counted, strict=True)):
            for problem in self._problems(record, counted, previous, place + 1):
                yield Finding(self.state.account_id, None, "closing_wrong", f"closing {record.name!r} {problem}")
            previous = record
        if len(self.records) != self.state.closings_count:
            message = f"the account counts {self.state.closings_count} closings and has {len(self.records)}"
            yield Finding(self.state.account_id, None, "closings_missing", message)

    def _problems(
        self, record: ClosingRecord, counted: _Counted, previous: ClosingRecord | None, number: int
    ) -> Iterator[str]:
        before = genesis(self.state.account_id, self.state.opened_at) if previous is None else bytes(previous.hash)
        if record.chained(before).hash != record.hash:
            yield "is not as it was written: its hash does not follow"
        if record.number != number:
            yield f"is numbered {record.number} and is the account's {number}."
        if previous is not None and record.since != previous.until:
            yield "does not begin where the one before ends"
        last = counted.last
        if last is None or last[SEQUENCE] != record.sequence or bytes(last[HASH]) != record.head:
            yield f"counts entries up to {record.sequence}, and its head is not that entry's hash"
        elif last[AT] >= record.until:
            yield "counts an entry of a later period"
        if counted.figures != record.figures:
            yield f"says {record.figures}, its entries {counted.figures}"


@dataclass(frozen=True, slots=True)
class _Counted:
    """What entries say of a closing: the last entry that it counts, and its figures."""

    last: StoredRow | None
    figures: str
