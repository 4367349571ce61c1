"""NumPy with SciPy's solver, or a sentence that says how to get them. Minutes are no amounts: they may be floats."""

from __future__ import annotations

from typing import Any, TypeAlias

from estimator.errors import ExtraMissing
from estimator.frames.arrays import Integers, np, pa, pc

try:
    from numpy.typing import NDArray
    from scipy.optimize import nnls
except ImportError as error:
    raise ExtraMissing("Calibrating the minutes of a card", "calibration") from error

Floats: TypeAlias = NDArray[np.float64]
Marks: TypeAlias = NDArray[np.bool_]


def non_negative_least_squares(columns: Floats, wanted: Floats) -> Floats:
    """The non-negative coefficients of the columns whose sum is nearest to `wanted`.

    A QR decomposition first reduces the rows to as many as there are columns, with the same solution.
    """
    orthogonal, triangle = np.linalg.qr(columns)
    solution: Any = nnls(triangle, orthogonal.T @ wanted)[0]
    found: Floats = solution
    return found


__all__ = ["Floats", "Integers", "Marks", "non_negative_least_squares", "np", "pa", "pc"]
