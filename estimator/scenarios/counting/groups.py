"""The groups of a tally in order, and how accounts move under a candidate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from estimator.credits import from_micro
from estimator.scenarios.counting.dimensions import CODED, coded_keys, key_order
from estimator.scenarios.counting.movers import Distribution
from estimator.scenarios.results import Group

if TYPE_CHECKING:
    from estimator.scenarios.counting.tally import Tally


class RawGroup(NamedTuple):
    """A group with its sums in micro-credits, one for each card."""

    key: str
    runs: int
    micro: tuple[int, ...]

    def delta(self, number: int) -> int:
        """What a candidate, counted from 0, changes."""
        return self.micro[number + 1] - self.micro[0]

    def group(self) -> Group:
        """The group as it is shown."""
        baseline, *candidates = map(from_micro, self.micro)
        return Group(self.key, self.runs, baseline, tuple(candidates))


def grouped(dimension: str, found: Tally) -> list[RawGroup]:
    """The groups of a dimension: months and words in their own order, accounts with the largest change first."""
    if dimension in CODED:
        return _coded(dimension, found)
    keyed = found.keyed[dimension]
    columns = zip(*(sums.totals() for sums in keyed.sums), strict=True)
    groups = [
        RawGroup(key, runs, micro)
        for key, runs, micro in zip(keyed.numbering.keys, keyed.runs.totals(), columns, strict=False)
    ]
    if dimension == "month":
        return sorted(groups)
    return sorted(groups, key=lambda group: (-_largest(group), group.key))


def _largest(group: RawGroup) -> int:
    """The largest change of any candidate; what the group costs where there is none."""
    return max((abs(micro - group.micro[0]) for micro in group.micro[1:]), default=group.micro[0])


def _coded(dimension: str, found: Tally) -> list[RawGroup]:
    sums: dict[str, tuple[int, ...]] = {}
    columns = zip(found.code_runs.totals(), *(sums.totals() for sums in found.codes), strict=True)
    for code, counted in enumerate(columns):
        if counted[0]:
            for key in coded_keys(dimension, code):
                before = sums.get(key, (0,) * len(counted))
                sums[key] = tuple(map(int.__add__, before, counted))
    return [RawGroup(key, sums[key][0], sums[key][1:]) for key in key_order(dimension) if key in sums]


def account_changes(accounts: Sequence[RawGroup], number: int, movers: int) -> dict[str, Any]:
    """How the accounts move under a candidate, and those that move most."""
    distribution = Distribution()
    for account in accounts:
        distribution.add_one(account.micro[0], account.delta(number))
    dearer = sorted((a for a in accounts if a.delta(number) > 0), key=lambda a: (-a.delta(number), a.key))
    cheaper = sorted((a for a in accounts if a.delta(number) < 0), key=lambda a: (a.delta(number), a.key))
    return {
        "accounts": distribution.movement(),
        "account_distribution": distribution.bins(),
        "dearer_accounts": tuple(account.group() for account in dearer[:movers]),
        "cheaper_accounts": tuple(account.group() for account in cheaper[:movers]),
    }
