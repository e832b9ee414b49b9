"""A box that the tool must not leave."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from controllers.kinematics import SerialChain
from hardware.arrays import FloatArray, frozen

_DAMPING = 1e-4
"""Damping of the correction [m^2]: near a singular pose a little outward motion is better than a fast turn."""


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
        room = np.maximum(np.where(motion > 0.0, self._high - tool, tool - self._low), 0.0)
        step = self._deceleration * period_s
        allowed = np.minimum(step * (np.sqrt(0.25 + 2.0 * room / (step * period_s)) - 0.5), room / period_s)
        excess = np.abs(motion) - allowed
        if not (excess > 1e-9).any():
            return velocity
        walls = np.flatnonzero(excess > 1e-9)
        rows = linear[walls]
        outward = np.copysign(excess, motion)[walls]
        gram = rows @ rows.T
        gram.flat[:: len(walls) + 1] += _DAMPING
        return velocity - rows.T @ np.linalg.solve(gram, outward)
