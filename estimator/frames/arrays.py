"""NumPy and PyArrow, or a sentence that says how to get them."""

from __future__ import annotations

from typing import Any, TypeAlias

from estimator.errors import ExtraMissing

try:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray
    from pyarrow import compute as pc
except ImportError as error:
    raise ExtraMissing("Pricing whole columns", "frames") from error

Integers: TypeAlias = NDArray[np.int64]
Indices: TypeAlias = NDArray[np.integer[Any]]

__all__ = ["Indices", "Integers", "np", "pa", "pc"]
