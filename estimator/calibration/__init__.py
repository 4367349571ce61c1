"""The minutes model of a rate card, fitted to past runs: how long runs take, and how long at most, for most of them.

Needs the extra `calibration`.
"""

from estimator.calibration.bounds import conformal_factor
from estimator.calibration.history import History, read_history
from estimator.calibration.models import Backtest, Bound, Calibration, calibrate

__all__ = ["Backtest", "Bound", "Calibration", "History", "calibrate", "conformal_factor", "read_history"]
