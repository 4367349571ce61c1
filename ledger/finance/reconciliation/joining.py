"""Both sides joined by reference, in the scratch database: what agrees is counted, what differs is passed on.

References that each side has once are joined one to one; those that a side has several times are compared by their
sums. A record without a reference, or with one that the other side lacks, becomes a unit, which is matched by amount
and time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from ledger.finance.reconciliation.files.mappings import RecordMapping
from ledger.finance.reconciliation.files.scratch import FIELDS, Period, Scratch

GROUP_MAX = 1_000
"""Records of a side that are read one by one where a group does not add up."""


class Item(NamedTuple):
    """A record as the scratch database keeps it; `amount` is a whole number at the mapping's scale."""

    ref: str | None
    account: str | None
    amount: int
    currency: str | None
    moment: int | None
    status: str | None
    id: str | None
    rate: str | None

    def to_list(self) -> list[Any]:
        """The record for JSON; the amount as text, as it may have more digits than a JSON number keeps."""
        return list(self._replace(amount=str(self.amount)))  # type: ignore[arg-type]

    @classmethod
    def from_list(cls, values: list[Any]) -> Item:
        """The record of `to_list`."""
        item = cls._make(values)
        return item._replace(amount=int(item.amount))


class Group(NamedTuple):
    """Records of one reference: the first `GROUP_MAX` of each side, and the count and sum of all."""

    here: list[Item]
    there: list[Item]
    count_here: int
    count_there: int
    amount_here: int
    amount_there: int


def group_of(ours: Item, theirs: Item) -> Group:
    """One of ours and one of theirs."""
    return Group([ours], [theirs], 1, 1, ours.amount, theirs.amount)


def micros(duration: timedelta) -> int:
    """A duration in whole microseconds."""
    return duration // timedelta(microseconds=1)


class Join:
    """The join by reference of the tables `here` and `there`; made once, read several times."""

    def __init__(self, scratch: Scratch, mapping: RecordMapping, inside: Period) -> None:
        self._scratch = scratch
        self._inside = inside
        tolerance = mapping.tolerance
        self._values = {"amount": int(tolerance.amount.scaleb(mapping.scale)), "time": micros(tolerance.time)}
        self._is_clean = (
            "abs(h.amount - t.amount) <= $amount AND coalesce(h.currency = t.currency, true)"
            " AND coalesce(h.account = t.account, true) AND coalesce(h.status = t.status, true)"
            " AND coalesce(abs(h.moment - t.moment) <= $time, true)"
        )
        self._find_repeated()
        self._find_open()

    def _find_repeated(self) -> None:
        """Keep the hashes of references that a side has several times.

        Another reference of the same hash is then compared by its sums too, which is right, and only slower.
        """
        repeated = " UNION ".join(
            f"SELECT hash(ref) AS h FROM {side} WHERE ref IS NOT NULL GROUP BY 1 HAVING count(*) > 1"
            for side in ("here", "there")
        )
        self._scratch.execute(f"CREATE TABLE repeated AS {repeated}")
        self._has_repeated = bool(self._scratch.one("SELECT count(*) FROM repeated")[0])

    def _single(self, side: str) -> str:
        without = " AND hash(ref) NOT IN (SELECT h FROM repeated)" if self._has_repeated else ""
        return f"(SELECT * FROM {side} WHERE ref IS NOT NULL{without})"

    def _find_open(self) -> None:
        chosen = ", ".join(f"{side}.{name} AS {side}_{name}" for side in "ht" for name in FIELDS)
        self._scratch.execute(
            f"CREATE TABLE opened AS SELECT {chosen} FROM {self._single('here')} h"
            f" FULL OUTER JOIN {self._single('there')} t ON h.ref = t.ref WHERE NOT coalesce({self._is_clean}, false)",
            self._values,
        )
        sums = ", ".join(
            f"coalesce({call} FILTER (WHERE side = {number}), 0) AS {name}_{side}"
            if name == "amount"
            else f"{call} FILTER (WHERE side = {number}) AS {name}_{side}"
            for number, side in enumerate("ht")
            for name, call in {
                "count": "count(*)",
                "amount": "sum(amount)",
                "first": "min(moment)",
                "last": "max(moment)",
                **{f"{bound}_{what}": f"{bound}({what})" for bound in ("min", "max") for what in _ALIKE},
            }.items()
        )
        self._scratch.execute(f"CREATE TABLE grouped AS SELECT ref, {sums} FROM {_repeated_records('*')} GROUP BY ref")

    _groups_clean = (
        "count_h > 0 AND count_t > 0 AND abs(amount_h - amount_t) <= $amount"
        " AND coalesce(abs(first_h - first_t) <= $time, true) AND coalesce(abs(last_h - last_t) <= $time, true)"
    )

    @property
    def _is_group_clean(self) -> str:
        alike = "".join(
            f" AND coalesce({bound}_{what}_h = {bound}_{what}_t, true)" for bound in ("min", "max") for what in _ALIKE
        )
        return self._groups_clean + alike

    def count_clean(self) -> dict[str, int]:
        """How many groups agree, by shape."""
        ours, theirs = self._single("here"), self._single("there")
        if self._inside.bounds is None:
            (both,) = self._scratch.one(f"SELECT count(*) FROM {ours}")
            (opened,) = self._scratch.one("SELECT count(h_ref) FROM opened")
            single = int(both) - int(opened)
        else:
            (single,) = self._scratch.one(
                f"SELECT count(*) FROM {ours} h JOIN {theirs} t ON h.ref = t.ref WHERE {self._is_clean}"
                f" AND ({self._inside.sql('h.moment')} OR {self._inside.sql('t.moment')})",
                self._values,
            )
        counts = ", ".join(f"count(*) FILTER (WHERE {condition})" for condition in _SHAPES.values())
        ends = " OR ".join(self._inside.sql(name) for name in ("first_h", "last_h", "first_t", "last_t"))
        found = self._scratch.one(
            f"SELECT {counts} FROM grouped WHERE {self._is_group_clean} AND ({ends})", self._values
        )
        shapes = dict(zip(_SHAPES, map(int, found), strict=True))
        return shapes | {"one to one": shapes["one to one"] + single}

    def pairs(self) -> Iterator[tuple[Item, Item]]:
        """Pairs of one reference, ours and theirs, that differ."""
        chosen = ", ".join(f"{side}_{name}" for side in "ht" for name in FIELDS)
        for row in self._scratch.stream(f"SELECT {chosen} FROM opened WHERE h_ref IS NOT NULL AND t_ref IS NOT NULL"):
            yield Item._make(row[: len(FIELDS)]), Item._make(row[len(FIELDS) :])

    def clean_pairs(self) -> Iterator[tuple[Item, Item]]:
        """Pairs of one reference, ours and theirs, that agree; by time and reference."""
        chosen = ", ".join(f"{side}.{name}" for side in "ht" for name in FIELDS)
        for row in self._scratch.stream(
            f"SELECT {chosen} FROM {self._single('here')} h JOIN {self._single('there')} t ON h.ref = t.ref"
            f" WHERE {self._is_clean} ORDER BY coalesce(h.moment, t.moment) NULLS LAST, h.ref",
            self._values,
        ):
            yield Item._make(row[: len(FIELDS)]), Item._make(row[len(FIELDS) :])

    def groups(self, *, clean: bool = False) -> Iterator[Group]:
        """The groups of repeated references that do not add up, or with `clean` those that do; by reference."""
        chosen = ", ".join(f"r.{name}" for name in FIELDS)
        order = ", ".join(f"{name} NULLS LAST" for name in ("amount", "moment", "status", "account", "id"))
        ranked = _repeated_records(f"*, row_number() OVER (PARTITION BY ref, side ORDER BY {order}) AS place")
        wanted = self._is_group_clean if clean else f"NOT coalesce({self._is_group_clean}, false)"
        rows = self._scratch.stream(
            f"SELECT g.count_h, g.count_t, g.amount_h, g.amount_t, r.side, {chosen}"
            f" FROM {ranked} r JOIN (SELECT * FROM grouped WHERE {wanted}) g ON g.ref = r.ref"
            f" WHERE r.place <= {GROUP_MAX} ORDER BY r.ref, r.side, r.place",
            self._values,
        )
        for (*sums, _), found in groupby(rows, key=itemgetter(0, 1, 2, 3, 5)):
            sides: tuple[list[Item], list[Item]] = ([], [])
            for row in found:
                sides[row[4]].append(Item._make(row[5:]))
            yield Group(*sides, *(int(value) for value in sums))

    def put_units(self, units: str) -> None:
        """Add to a table of units the records without a reference, or with one that the other side lacks."""
        fields = ", ".join(FIELDS)
        for number, side in enumerate("ht"):
            other = "th"[number]
            chosen = ", ".join(f"{side}_{name}" for name in FIELDS)
            whole = ("here", "there")[number]
            self._scratch.execute(
                f"INSERT INTO {units} SELECT {number}, {chosen}, 1, NULL FROM opened WHERE {other}_ref IS NULL"
            )
            self._scratch.execute(
                f"INSERT INTO {units} SELECT {number}, {fields}, 1, NULL FROM {whole} WHERE ref IS NULL"
            )


_ALIKE = ("account", "currency", "status")
_SHAPES = {
    "one to one": "count_h = 1 AND count_t = 1",
    "one to many": "count_h = 1 AND count_t > 1",
    "many to one": "count_h > 1 AND count_t = 1",
    "many to many": "count_h > 1 AND count_t > 1",
}


def _repeated_records(chosen: str) -> str:
    """SQL of the records of both sides whose reference either side has several times."""
    fields = ", ".join(FIELDS)
    both = " UNION ALL ".join(
        f"SELECT {number} AS side, {fields} FROM {side} WHERE ref IS NOT NULL AND hash(ref) IN (SELECT h FROM repeated)"
        for number, side in enumerate(("here", "there"))
    )
    return f"(SELECT {chosen} FROM ({both}))"
