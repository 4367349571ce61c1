"""The comparison of two sides that were read: judges what differs, and pairs what no reference brings together."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from ledger.finance.reconciliation.files.mappings import RecordMapping
from ledger.finance.reconciliation.files.scratch import FIELDS, Period, Scratch
from ledger.finance.reconciliation.findings import Findings
from ledger.finance.reconciliation.joining import Group, Item, Join, group_of, micros
from ledger.finance.reconciliation.pairing import Pairing, Unit
from ledger.finance.reconciliation.results import RECORDS_SHOWN, Basis, ReconciliationSummary, ResultKind
from ledger.finance.reconciliation.sums import Alone, find_sums

StepProgress = Callable[[str, int], None]
"""Told the step that is being done, and how many records of it are done."""

_TOLD_EVERY = 10_000


@dataclass(frozen=True)
class Comparison:
    """One comparison, step by step."""

    scratch: Scratch
    mapping: RecordMapping
    join: Join
    findings: Findings
    matched: Findings
    inside: Period
    tell: StepProgress

    def carry_out(self, left_out: int) -> ReconciliationSummary:
        """Carry out every step; answers the summary."""
        self.scratch.create("units", self._unit_columns)
        self.join.put_units("units")
        self._judge_pairs()
        self._judge_groups()
        by_amount = self._pair_units()
        self.findings.flush()
        self.matched.flush()
        return self._summarise(left_out, by_amount)

    @cached_property
    def _unit_columns(self) -> dict[str, str]:
        kinds = {"side": "INTEGER", **self.scratch.record_columns, "count": "INTEGER", "records": "VARCHAR"}
        return {name: kinds[name] for name in ("side", *FIELDS, "count", "records")}

    def _judge_pairs(self) -> None:
        for count, (ours, theirs) in enumerate(self.join.pairs(), 1):
            self._add(group_of(ours, theirs), Basis.REFERENCE)
            if not count % _TOLD_EVERY:
                self.tell("Judging differences", count)

    def _judge_groups(self) -> None:
        """Judge groups of several records that do not add up; a group of one side alone becomes a unit."""
        units = []
        for group in self.join.groups():
            if group.count_here and group.count_there:
                self._add(group, Basis.REFERENCE)
                continue
            units.append(_unit_row(group))
            if len(units) == _TOLD_EVERY:
                self.scratch.fill("units", self._unit_columns, units)
                units = []
        self.scratch.fill("units", self._unit_columns, units)

    def _add(self, group: Group, basis: Basis) -> None:
        if not self._is_inside(group):
            return
        kind, cause = self.findings.judge.judge(group)
        self._keep(kind, basis, cause, group)

    def _keep(self, kind: ResultKind, basis: Basis, cause: str, group: Group) -> None:
        target = self.matched if kind is ResultKind.MATCHED else self.findings
        target.add(kind, basis, cause, group)

    def _is_inside(self, group: Group) -> bool:
        return any(self.inside.has(item.moment) for side in (group.here, group.there) for item in side)

    def _pair_units(self) -> int:
        """Match units by amount and time; answers how many groups that made."""
        by_account = all(self.scratch.one(f"SELECT count(account) FROM {side}")[0] for side in ("here", "there"))
        window = micros(self.mapping.tolerance.window)
        pairing = Pairing(self.findings.judge.amount, window, by_account)
        paired = 0

        def alone() -> Iterator[tuple[Any, ...]]:
            nonlocal paired
            for first, second in pairing.pair(self._stored_units("units", ("moment", "side"))):
                if isinstance(second, bool):
                    yield first.side, *first.item, first.size, first.records, int(second)
                else:
                    paired += 1
                    self._together([first], [second])

        columns = self._unit_columns | {"is_copy": "INTEGER"}
        self.scratch.create("alone", columns)
        self.scratch.fill("alone", columns, alone())
        order = ("account", "currency", "moment", "side") if by_account else ("currency", "moment", "side")
        left = (Alone(unit, bool(is_copy)) for unit, is_copy in self._stored("alone", order))
        for found in find_sums(left, self.findings.judge.amount, window, by_account=by_account):
            if isinstance(found, Alone):
                self._alone(found.unit, is_copy=found.is_copy)
            else:
                paired += 1
                sides = ([found.whole], found.parts)
                self._together(*(sides if found.whole.side == 0 else sides[::-1]))
        return paired

    def _stored_units(self, table: str, first: tuple[str, ...]) -> Iterator[Unit]:
        return (unit for unit, _ in self._stored(table, first))

    def _stored(self, table: str, first: tuple[str, ...]) -> Iterator[tuple[Unit, int]]:
        """The units of a table by some columns and then by all others, so that their order does not vary."""
        rest = ("amount", "account", "ref", "status", "id", "currency")
        order = ", ".join(f"{name} NULLS LAST" for name in dict.fromkeys((*first, *rest)))
        size = 1 + len(FIELDS)
        for row in self.scratch.stream(f"SELECT * FROM {table} ORDER BY {order}"):
            unit = Unit(row[0], Item._make(row[1:size]), row[size], row[size + 1])
            yield unit, row[-1] if len(row) > size + 2 else 0

    def _together(self, ours: list[Unit], theirs: list[Unit]) -> None:
        """Keep a group that was matched by amount and time."""
        group = _group_of_units(ours, theirs)
        kind, cause = self.findings.judge.judge(group)
        mine, other = ours[0].item.ref, theirs[0].item.ref
        if kind is ResultKind.MATCHED and len(ours) == len(theirs) and mine is not None and other is not None:
            kind = ResultKind.REFERENCE_DIFFERS
            cause = f"Here its reference is {mine!r}, there {other!r}; all else agrees."
        if self._is_inside(group):
            self._keep(kind, Basis.AMOUNT_AND_TIME, cause, group)

    def _alone(self, unit: Unit, *, is_copy: bool) -> None:
        """Keep a unit without a counterpart: a copy of a unit that has one, or a record that the other side lacks."""
        is_ours = unit.side == 0
        group = _group_of_units([unit], []) if is_ours else _group_of_units([], [unit])
        if not self._is_inside(group):
            return
        basis = Basis.AMOUNT_AND_TIME if unit.item.ref is None else Basis.REFERENCE
        if is_copy:
            kind = ResultKind.DUPLICATE_HERE if is_ours else ResultKind.DUPLICATE_THERE
        else:
            kind = ResultKind.MISSING_THERE if is_ours else ResultKind.MISSING_HERE
        self.findings.add(kind, basis, self.findings.judge.say_alone(unit.item, unit.size, is_ours, is_copy), group)

    def _summarise(self, left_out: int, by_amount: int) -> ReconciliationSummary:
        clean = self.join.count_clean()
        shapes = Counter(clean) + self.matched.shapes
        counts = {kind: self.findings.counts[kind] for kind in ResultKind}
        counts[ResultKind.MATCHED] = shapes.total()
        records, amounts = zip(*(self._sums(table) for table in ("here", "there")), strict=True)
        return ReconciliationSummary(
            unit=self.mapping.amount.unit,
            records_here=records[0],
            records_there=records[1],
            left_out=left_out,
            counts=counts,
            matched_as={name: shapes[name] for name in clean},
            by_amount_and_time=by_amount,
            amounts_here=amounts[0],
            amounts_there=amounts[1],
        )

    def _sums(self, table: str) -> tuple[int, dict[str | None, Decimal]]:
        """How many records of a side are in the period, and what they sum to, by currency."""
        rows = self.scratch.execute(
            f"SELECT currency, count(*), sum(amount) FROM {table} WHERE {self.inside.sql('moment')}"
            " GROUP BY currency ORDER BY currency NULLS FIRST"
        )
        amounts = {currency: self.findings.judge.amount_of(int(amount)) for currency, _, amount in rows}
        return sum(int(row[1]) for row in rows), amounts


def _unit_row(group: Group) -> tuple[Any, ...]:
    """The row of a unit: a group that only one side has."""
    side = 0 if group.count_here else 1
    items = (group.here, group.there)[side]
    amount = (group.amount_here, group.amount_there)[side]
    moments = [item.moment for item in items if item.moment is not None]
    shown = [item.to_list() for item in items[:RECORDS_SHOWN]]
    whole = items[0]._replace(amount=amount, moment=min(moments, default=None))
    return side, *whole, group.count_here + group.count_there, json.dumps(shown)


def _items(units: list[Unit]) -> list[Item]:
    items: list[Item] = []
    for unit in units:
        if unit.records is None:
            items.append(unit.item)
        else:
            items += map(Item.from_list, json.loads(unit.records))
    return items


def _group_of_units(ours: list[Unit], theirs: list[Unit]) -> Group:
    counts = (sum(unit.size for unit in side) for side in (ours, theirs))
    amounts = (sum(unit.item.amount for unit in side) for side in (ours, theirs))
    return Group(_items(ours), _items(theirs), *counts, *amounts)
