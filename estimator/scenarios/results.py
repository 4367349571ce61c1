"""What a comparison found, frozen: totals, who pays more, who pays less, and which part of the card causes it.

Amounts are `Decimal` credits, exact. Everything a report shows is in these values, in the order it is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from estimator.credits import format_credits, from_micro
from estimator.scenarios.errors import ScenarioInvalid
from estimator.sentences import aligned_text, nearest


def percent(part: int, whole: int) -> Decimal | None:
    """`part` of `whole` in percent, rounded half up to two decimals; None where `whole` is 0."""
    if not whole:
        return None
    sign = -1 if part < 0 else 1
    return from_micro(sign * ((abs(part) * 20_000 + whole) // (2 * whole)) * 10_000)


@dataclass(frozen=True, slots=True)
class CardTotal:
    """A card, and what all the runs cost under it."""

    name: str
    id: str
    credits: Decimal


@dataclass(frozen=True, slots=True)
class Group:
    """The runs with one value of a dimension: how many, and what they cost under each card."""

    key: str
    runs: int
    baseline: Decimal
    candidates: tuple[Decimal, ...]

    @property
    def deltas(self) -> tuple[Decimal, ...]:
        """What each candidate changes."""
        return tuple(candidate - self.baseline for candidate in self.candidates)

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe fields, amounts as exact decimal text."""
        return {
            "key": self.key,
            "runs": self.runs,
            "baseline": format_credits(self.baseline),
            "candidates": [format_credits(candidate) for candidate in self.candidates],
            "deltas": [format_credits(delta) for delta in self.deltas],
        }


@dataclass(frozen=True, slots=True, repr=False)
class Groups:
    """A dimension's groups: months in order, otherwise the largest change first.

    The groups of `recipe` overlap: a run of two recipes is in two. Those of every other dimension sum to the total.
    """

    dimension: str
    cards: tuple[str, ...]
    rows: tuple[Group, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Group]:
        return iter(self.rows)

    def __repr__(self) -> str:
        return self.as_table()

    def head(self, count: int = 10) -> Groups:
        """The first few groups."""
        return Groups(self.dimension, self.cards, self.rows[:count])

    def as_table(self) -> str:
        """Aligned plain text: runs, credits under each card, and what each candidate changes."""
        baseline, *candidates = self.cards
        changes = [f"{name}, change" for name in candidates]
        lines = [[self.dimension, "runs", baseline, *candidates, *changes]]
        for row in self.rows:
            amounts = [format_credits(amount) for amount in (row.baseline, *row.candidates, *row.deltas)]
            lines.append([row.key, f"{row.runs:,}", *amounts])
        return aligned_text(lines, left=1)


@dataclass(frozen=True, slots=True)
class Movement:
    """How many runs, or accounts, pay more, pay less, and pay the same as under the baseline."""

    dearer: int
    cheaper: int
    same: int

    @property
    def share_dearer(self) -> Decimal | None:
        """Percent that pay more, to two decimals; None when there are none at all."""
        return percent(self.dearer, self.dearer + self.cheaper + self.same)

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe fields."""
        share = self.share_dearer
        counts = {"dearer": self.dearer, "cheaper": self.cheaper, "same": self.same}
        return counts | {"share_dearer": None if share is None else format_credits(share)}


@dataclass(frozen=True, slots=True)
class Bin:
    """How many runs, or accounts, change by a percentage of the baseline from `least` up to below `most`.

    None is no bound. No change is a bin of its own (0 to 0). A run that cost nothing before has no percentage; its
    bin says so in `label`.
    """

    label: str
    least: int | None
    most: int | None
    count: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe fields."""
        return {"label": self.label, "least": self.least, "most": self.most, "count": self.count}


@dataclass(frozen=True, slots=True)
class RunMover:
    """A run with a large change: its place (file, "" for a frame; row from 0), its columns, and its two prices."""

    path: str
    row: int
    run: Mapping[str, Any]
    baseline: Decimal
    candidate: Decimal

    @property
    def delta(self) -> Decimal:
        """What the candidate changes."""
        return self.candidate - self.baseline

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe fields, amounts as exact decimal text."""
        amounts = {"baseline": self.baseline, "candidate": self.candidate, "delta": self.delta}
        run = {name: value if isinstance(value, bool | int) else str(value) for name, value in self.run.items()}
        return {"path": self.path, "row": self.row, "run": run} | {
            name: format_credits(amount) for name, amount in amounts.items()
        }


@dataclass(frozen=True, slots=True)
class Step:
    """The change that one part of the card makes after the parts before it; steps sum to the whole change."""

    codes: tuple[str, ...]
    label: str
    delta: Decimal
    total: Decimal

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe fields, amounts as exact decimal text."""
        amounts = {"delta": format_credits(self.delta), "total": format_credits(self.total)}
        return {"codes": list(self.codes), "label": self.label} | amounts


@dataclass(frozen=True, slots=True)
class Change:
    """One candidate against the baseline.

    Movers are those with the largest change, at most `movers` of them each way. What concerns accounts is None or
    empty where the runs have no column `account`.
    """

    card: CardTotal
    delta: Decimal
    delta_percent: Decimal | None
    runs: Movement
    distribution: tuple[Bin, ...]
    dearer_runs: tuple[RunMover, ...]
    cheaper_runs: tuple[RunMover, ...]
    steps: tuple[Step, ...]
    accounts: Movement | None = None
    account_distribution: tuple[Bin, ...] = ()
    dearer_accounts: tuple[Group, ...] = ()
    cheaper_accounts: tuple[Group, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe fields, amounts as exact decimal text; `candidates` of a group are as in the comparison."""
        share = self.delta_percent
        return {
            "name": self.card.name,
            "id": self.card.id,
            "total": format_credits(self.card.credits),
            "delta": format_credits(self.delta),
            "delta_percent": None if share is None else format_credits(share),
            "runs": self.runs.to_dict(),
            "accounts": None if self.accounts is None else self.accounts.to_dict(),
            "distribution": [found.to_dict() for found in self.distribution],
            "account_distribution": [found.to_dict() for found in self.account_distribution],
            "dearer_runs": [mover.to_dict() for mover in self.dearer_runs],
            "cheaper_runs": [mover.to_dict() for mover in self.cheaper_runs],
            "dearer_accounts": [group.to_dict() for group in self.dearer_accounts],
            "cheaper_accounts": [group.to_dict() for group in self.cheaper_accounts],
            "steps": [step.to_dict() for step in self.steps],
        }


@dataclass(frozen=True, slots=True, repr=False)
class Comparison:
    """Past runs under a baseline card and under candidates."""

    runs: int
    baseline: CardTotal
    changes: tuple[Change, ...]
    groups: Mapping[str, Groups] = field(default_factory=dict)

    def __repr__(self) -> str:
        return self.as_table()

    def by(self, dimension: str) -> Groups:
        """The totals by a dimension. Raises `ScenarioInvalid` for one that was not compared by."""
        if dimension not in self.groups:
            message = f"is not what these runs were compared by. {nearest(dimension, self.groups)}"
            raise ScenarioInvalid(dimension, message)
        return self.groups[dimension]

    @property
    def total(self) -> Group:
        """All the runs as one group."""
        return Group("total", self.runs, self.baseline.credits, tuple(change.card.credits for change in self.changes))

    def as_table(self) -> str:
        """The totals as aligned plain text."""
        names = (self.baseline.name, *(change.card.name for change in self.changes))
        return Groups("runs", names, (self.total,)).as_table()

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe fields, amounts as exact decimal text."""
        baseline = {"name": self.baseline.name, "id": self.baseline.id, "total": format_credits(self.baseline.credits)}
        return {
            "runs": self.runs,
            "baseline": baseline,
            "candidates": [change.to_dict() for change in self.changes],
            "by": {name: [group.to_dict() for group in groups] for name, groups in self.groups.items()},
        }
