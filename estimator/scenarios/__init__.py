"""What-ifs: past runs under other rate cards, what would change, for whom, and because of what."""

from estimator.scenarios.comparison import compare
from estimator.scenarios.errors import RunsUnreadable, ScenarioInvalid
from estimator.scenarios.results import Bin, CardTotal, Change, Comparison, Group, Groups, Movement, RunMover, Step
from estimator.scenarios.solving import Neighbour, Solution, solve
from estimator.scenarios.sweeps import EVALUATIONS_MAX, Sweep, SweepPoint, sweep

__all__ = [
    "EVALUATIONS_MAX",
    "Bin",
    "CardTotal",
    "Change",
    "Comparison",
    "Group",
    "Groups",
    "Movement",
    "Neighbour",
    "RunMover",
    "RunsUnreadable",
    "ScenarioInvalid",
    "Solution",
    "Step",
    "Sweep",
    "SweepPoint",
    "compare",
    "solve",
    "sweep",
]
