"""Arrays of any library that follows the array API standard (numpy here; torch on a GPU engine)."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = Any
"""An array of the array API standard, (..., n). Typed Any because the standard has no type of its own yet."""

FloatArray: TypeAlias = NDArray[np.float64]
"""A float64 numpy array."""


def namespace(array: Array) -> Any:
    """The functions that work on `array`: numpy itself for numpy arrays, else the library's array API namespace.

    Numpy is answered without a look-up because this runs in every control step.
    """
    if isinstance(array, np.ndarray):
        return np
    import array_api_compat

    return array_api_compat.array_namespace(array)


def frozen(values: object) -> FloatArray:
    """A read-only float64 copy of `values`, for constants that are handed out."""
    array = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array
