"""What-ifs: past runs priced under other rate cards: what changes, for whom, and which part of the card causes it.

`errors` and `results` are the ground of this folder: `reading` and `counting` import them, never the questions
(`comparison`, `solving`, `sweeps`). Imports frames and below.
"""

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
