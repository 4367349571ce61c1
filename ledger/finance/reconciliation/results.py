"""The answer of a reconciliation: groups of records of both sides, what differs in each, and their sums."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum


class ResultKind(StrEnum):
    """What was found of a group of records; of several that fit, the first in this order.

    `missing_here` is a record of theirs that we lack, `missing_there` a record of ours that they lack.
    """

    CURRENCY_DIFFERS = "currency_differs"
    ACCOUNT_DIFFERS = "account_differs"
    DUPLICATE_HERE = "duplicate_here"
    DUPLICATE_THERE = "duplicate_there"
    MISSING_HERE = "missing_here"
    MISSING_THERE = "missing_there"
    AMOUNT_DIFFERS = "amount_differs"
    STATUS_DIFFERS = "status_differs"
    TIMING = "timing"
    REFERENCE_DIFFERS = "reference_differs"
    MATCHED = "matched"


class Basis(StrEnum):
    """By what the records of both sides were matched."""

    REFERENCE = "reference"
    AMOUNT_AND_TIME = "amount and time"


@dataclass(frozen=True, slots=True)
class Record:
    """One record of either side, its amount in the unit of the reconciliation: credits, money or rows.

    A field that a side lacks is None. `record_id` is the side's own id of it; records are not matched by it.
    """

    reference: str | None
    account_id: str | None
    amount: Decimal
    currency: str | None
    at: datetime | None
    status: str | None
    record_id: str | None


@dataclass(frozen=True, slots=True)
class ReconciliationResult:
    """Records that belong together, what differs in them (`kind`), and why, in words (`cause`).

    `here` and `there` show at most `RECORDS_SHOWN` records each, of `count_here` and `count_there`. `difference` is
    their amount less ours. `correction` is a command that would make our amount theirs; it is never run, and a person
    decides. `correction_key` is its idempotency key.
    """

    kind: ResultKind
    basis: Basis
    here: tuple[Record, ...]
    there: tuple[Record, ...]
    count_here: int
    count_there: int
    amount_here: Decimal
    amount_there: Decimal
    cause: str
    correction: str | None = None
    correction_key: str | None = None

    @property
    def difference(self) -> Decimal:
        """Their amount less ours, exactly."""
        return self.amount_there - self.amount_here

    @property
    def reference(self) -> str | None:
        """The first reference that either side has."""
        return next((found.reference for found in (*self.here, *self.there) if found.reference is not None), None)

    @property
    def account_id(self) -> str | None:
        """The first account that either side names."""
        return next((found.account_id for found in (*self.here, *self.there) if found.account_id is not None), None)

    @property
    def cardinality(self) -> str:
        """How many of ours to how many of theirs, such as `1:1`, `1:3` or `0:1`."""
        return f"{self.count_here}:{self.count_there}"


RECORDS_SHOWN = 20
"""Records of a side that a result shows; a group may have millions."""


@dataclass(frozen=True, slots=True)
class ReconciliationSummary:
    """How many records and groups there are, and what they sum to.

    `counts` has every kind, with the number of its groups; `matched_as` the matched ones by shape (`one to one`,
    `one to many`, `many to one`, `many to many`). `left_out` counts records of theirs that the mapping's filter or the
    period left out. Amounts are by currency (None: credits, rows, or no currency named).
    """

    unit: str
    records_here: int
    records_there: int
    left_out: int
    counts: dict[ResultKind, int]
    matched_as: dict[str, int]
    by_amount_and_time: int
    amounts_here: dict[str | None, Decimal]
    amounts_there: dict[str | None, Decimal]

    @property
    def findings(self) -> int:
        """How many groups differ."""
        return sum(count for kind, count in self.counts.items() if kind is not ResultKind.MATCHED)

    @property
    def is_clean(self) -> bool:
        """True where everything matched."""
        return not self.findings
