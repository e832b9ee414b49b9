"""Where a base on wheels is, counted from where it started."""

from __future__ import annotations

import math

import numpy as np

from hardware.arrays import FloatArray


class PlanarOdometry:
    """Pose on the floor, from ways and turns. The frame is the base's own at the start: x forward, y left, z up."""

    def __init__(self) -> None:
        self.x = self.y = self.heading = 0.0

    def advance(self, distance: float, turn: float) -> None:
        """Move `distance` [m] forwards while turning by `turn` [rad] to the left, on an arc.

        The chord of the arc has the length distance * sin(turn / 2) / (turn / 2) and half of the turn as direction.
        """
        chord = distance * float(np.sinc(0.5 * turn / math.pi))  # np.sinc(x) is sin(pi x) / (pi x)
        middle = self.heading + 0.5 * turn
        self.x += chord * math.cos(middle)
        self.y += chord * math.sin(middle)
        self.heading = math.remainder(self.heading + turn, math.tau)

    @property
    def position(self) -> FloatArray:
        """(3,) [m]."""
        return np.array([self.x, self.y, 0.0])

    @property
    def quaternion(self) -> FloatArray:
        """(4,), w x y z."""
        return np.array([math.cos(0.5 * self.heading), 0.0, 0.0, math.sin(0.5 * self.heading)])
