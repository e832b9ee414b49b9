"""Following a trajectory with the joints' servos and feed-forward of velocity and torque, so that they do not lag."""

from __future__ import annotations

from dataclasses import dataclass

from controllers.reference import JointReference
from hardware.arrays import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class TrajectoryReference(JointReference):
    """Constant acceleration until a position and a velocity are reached, at the end of the horizon.

    It is a reference of mode "position" with a velocity, and any tracking controller can follow it as such. Where the
    servo takes feed-forward it also follows the way there:
        effort = stiffness (q_d - q) + damping (qd_d - qd) + feed-forward,
    the law of `controllers.tracking.JointPdController`.
    """

    acceleration: Array
    """(..., num_joints) [rad/s^2]."""
    effort: Array
    """Feed-forward torque, (..., num_joints) [Nm]."""

    def sample(self, before_end_s: Array) -> tuple[Array, Array]:
        """Positions [rad] and velocities [rad/s], (..., k, num_joints), at times before the end of the horizon.

        Args:
            before_end_s: (k,) [s].
        """
        left = before_end_s[:, None]
        acceleration = self.acceleration[..., None, :]
        end = self.velocity[..., None, :] if self.velocity is not None else 0.0 * acceleration
        velocity = end - acceleration * left
        position = self.value[..., None, :] - (end - 0.5 * acceleration * left) * left
        return position, velocity
