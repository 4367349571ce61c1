"""Results kept in the scratch database, which sorts them however many they are."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ledger.finance.reconciliation.corrections import suggest
from ledger.finance.reconciliation.files.mappings import RecordMapping
from ledger.finance.reconciliation.files.scratch import Scratch
from ledger.finance.reconciliation.joining import Group, Item
from ledger.finance.reconciliation.judgement import Judge
from ledger.finance.reconciliation.results import RECORDS_SHOWN, Basis, ReconciliationResult, Record, ResultKind
from ledger.model.moments import from_optional

_COLUMNS = {"moment": "BIGINT", "ref": "VARCHAR", "kind": "VARCHAR", "document": "VARCHAR"}
_AT_ONCE = 10_000


class Findings:
    """Results as rows: counted by kind, read by time, reference and kind."""

    def __init__(self, scratch: Scratch, mapping: RecordMapping, judge: Judge, table: str) -> None:
        self.counts: Counter[ResultKind] = Counter()
        self.shapes: Counter[str] = Counter()
        self._scratch = scratch
        self._mapping = mapping
        self.judge = judge
        self._table = table
        self._rows: list[tuple[Any, ...]] = []
        scratch.create(table, _COLUMNS)

    def add(self, kind: ResultKind, basis: Basis, cause: str, group: Group) -> None:
        """Keep a result."""
        self.counts[kind] += 1
        ours, theirs = ("one" if count == 1 else "many" for count in (group.count_here, group.count_there))
        self.shapes[f"{ours} to {theirs}"] += 1
        self._rows.append((*order_of(group), kind.value, to_document(kind, basis, cause, group)))
        if len(self._rows) == _AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what is still in memory."""
        self._scratch.fill(self._table, _COLUMNS, self._rows)
        self._rows = []

    def __iter__(self) -> Iterator[ReconciliationResult]:
        rows = self._scratch.stream(
            f"SELECT document FROM {self._table} ORDER BY moment NULLS LAST, ref NULLS LAST, kind, document"
        )
        for (document,) in rows:
            yield self.result(document)

    def result(self, document: str) -> ReconciliationResult:
        """The public value of a result that `to_document` wrote."""
        kind, basis, cause, here, there, counts, amounts = json.loads(document)
        ours, theirs = (list(map(Item.from_list, side)) for side in (here, there))
        amount_here, amount_there = (self.judge.amount_of(int(whole)) for whole in amounts)
        found = ReconciliationResult(
            kind=ResultKind(kind),
            basis=Basis(basis),
            here=tuple(self._record(item) for item in ours),
            there=tuple(self._record(item) for item in theirs),
            count_here=counts[0],
            count_there=counts[1],
            amount_here=amount_here,
            amount_there=amount_there,
            cause=cause,
        )
        rate = next((item.rate for item in ours if item.rate is not None), None)
        suggestion = suggest(found, self._mapping, rate)
        if suggestion is None:
            return found
        command, key = suggestion
        return replace(found, correction=command, correction_key=key)

    def _record(self, item: Item) -> Record:
        amount = self.judge.amount_of(item.amount)
        return Record(item.ref, item.account, amount, item.currency, from_optional(item.moment), item.status, item.id)


def order_of(group: Group) -> tuple[int | None, str | None]:
    """What a group is sorted by: its first moment and its first reference."""
    moments = [item.moment for item in (*group.here, *group.there) if item.moment is not None]
    references = [item.ref for item in (*group.here, *group.there) if item.ref is not None]
    return min(moments, default=None), min(references, default=None)


def to_document(kind: ResultKind, basis: Basis, cause: str, group: Group) -> str:
    """A result as one line of JSON."""
    sides = [[item.to_list() for item in side[:RECORDS_SHOWN]] for side in (group.here, group.there)]
    amounts = [str(group.amount_here), str(group.amount_there)]
    return json.dumps([kind.value, basis.value, cause, *sides, [group.count_here, group.count_there], amounts])
