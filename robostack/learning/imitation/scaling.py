"""Maps each element of observations and actions to [-1, 1] and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hardware.arrays import FloatArray
from hardware.errors import ConfigError

CONSTANT = 1e-4
"""An element whose range is below this is constant: it is centred and not stretched (as Chi et al. 2023 do)."""
QUANTILES = (0.01, 0.99)
HIDDEN = 1e12
"""Half range given to what must not be seen: every value of it becomes 0, to float32's last digit."""


@dataclass(frozen=True)
class Scaling:
    """x_scaled = (x - center) / half."""

    center: FloatArray
    """(n,)."""
    half: FloatArray
    """(n,), positive."""

    def scaled(self, values: FloatArray) -> FloatArray:
        """`values` (..., n) in scaled units."""
        result: FloatArray = (values - self.center) / self.half
        return result


def hiding(scaling: Scaling, blocked: NDArray[np.bool_]) -> Scaling:
    """`scaling` that maps every value of the elements `blocked`, (n,), to 0."""
    return Scaling(np.where(blocked, 0.0, scaling.center), np.where(blocked, HIDDEN, scaling.half))


def fitted(values: FloatArray, method: Literal["min_max", "quantile"]) -> Scaling:
    """The scaling of `values` (count, n), by their extremes or their 1 % and 99 % quantiles.

    Raises:
        ConfigError: there are no values, or one is not finite.
    """
    if len(values) == 0 or not np.all(np.isfinite(values)):
        raise ConfigError(
            "the demonstrations hold no frames, or numbers that are not finite; check: robostack data check"
        )
    if method == "min_max":
        low, high = values.min(axis=0), values.max(axis=0)
    else:
        low, high = np.quantile(values, QUANTILES, axis=0)
    half = (high - low) / 2.0
    return Scaling((high + low) / 2.0, np.where(2.0 * half < CONSTANT, 1.0, half))
