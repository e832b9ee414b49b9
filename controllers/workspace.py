"""A box that the tool must not leave."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from controllers.kinematics import SerialChain
from controllers.profiles import braking_speed
from hardware.arrays import FloatArray, frozen

_DAMPING = 1e-6
"""Damping of the correction [m^2]: near a singular pose a little outward motion is better than a fast turn."""

_NEGLIGIBLE = 1e-9


class WorkspaceBox:
    """Takes from a joint velocity what would carry the tool through a wall, and leaves the motion along it.

    In front of a wall the speed towards it falls so that the tool can be braked; outside, only the way in is open.

    Args:
        chain: kinematics of the tool.
        low: lower corner in the base frame, (3,) [m].
        high: upper corner, (3,) [m].
        deceleration: how hard the tool is braked in front of a wall [m/s^2].
    """

    def __init__(
        self, chain: SerialChain, low: Sequence[float], high: Sequence[float], deceleration: float = 2.0
    ) -> None:
        self._chain, self._low, self._high = chain, frozen(low), frozen(high)
        self._deceleration = deceleration
        self._linear = self._inward = self._outward = np.zeros(0)

    def limit(self, position: FloatArray, velocity: FloatArray, period_s: float) -> FloatArray:
        """The part of a joint velocity that keeps the tool in the box.

        Args:
            position: joint positions, (n,) [rad].
            velocity: joint velocities asked for, (n,) [rad/s].
            period_s: time until the next call [s].

        Returns:
            (n,) [rad/s]; `velocity` itself where nothing had to be changed.
        """
        tool, _, jacobian = self._chain.forward_and_jacobian(position)
        linear = jacobian[:3]
        motion = linear @ velocity
        high = braking_speed(np.maximum(self._high - tool, 0.0), self._deceleration, period_s)
        low = braking_speed(np.maximum(tool - self._low, 0.0), self._deceleration, period_s)
        self._linear, self._inward, self._outward = linear, -low - _NEGLIGIBLE, high + _NEGLIGIBLE
        outside = (motion > self._outward) | (motion < self._inward)
        if not outside.any():
            return velocity
        walls = outside
        for _ in range(3):  # turning away from one wall may lead to the next one
            rows = linear[walls]
            excess = (motion - np.minimum(np.maximum(motion, -low), high))[walls]
            gram = rows @ rows.T
            gram.flat[:: len(rows) + 1] += _DAMPING
            limited = velocity - rows.T @ np.linalg.solve(gram, excess)
            found = linear @ limited
            beyond = walls | (found > self._outward) | (found < self._inward)
            if (beyond == walls).all():
                break
            walls = beyond
        return limited

    def keeps(self, velocity: FloatArray) -> bool:
        """Whether another velocity (n,) [rad/s] is as good, at the position last given to `limit`."""
        motion = self._linear @ velocity
        return not ((motion > self._outward) | (motion < self._inward)).any()
