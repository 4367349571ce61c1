"""What-ifs: past runs under other rate cards, what would change, for whom, and because of what."""

from estimator.scenarios.comparison import compare
from estimator.scenarios.errors import RunsUnreadable, ScenarioInvalid
from estimator.scenarios.results import (
    Bin,
    CardTotal,
    Change,
    Comparison,
    Group,
    Groups,
    Movement,
    RunMover,
    Step,
)

__all__ = [
    "Bin",
    "CardTotal",
    "Change",
    "Comparison",
    "Group",
    "Groups",
    "Movement",
    "RunMover",
    "RunsUnreadable",
    "ScenarioInvalid",
    "Step",
    "compare",
]
