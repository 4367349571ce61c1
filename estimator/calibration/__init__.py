"""The minutes model of a rate card, fitted to past runs: the expected time, and a bound for most runs.

Needs the extra `calibration`. Imports scenarios and below.
"""

from estimator.calibration.bounds import conformal_factor
from estimator.calibration.history import History, read_history
from estimator.calibration.models import Backtest, Bound, Calibration, calibrate

__all__ = ["Backtest", "Bound", "Calibration", "History", "calibrate", "conformal_factor", "read_history"]
