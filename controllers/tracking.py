"""Tracking control of joints: set-points for devices with a position servo, and the servo's own law for the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from controllers.interpolation import JerkLimitedInterpolator
from controllers.reference import JointReference
from hardware.arrays import Array, FloatArray, frozen, namespace
from hardware.errors import ConfigError, NonFiniteError
from hardware.records import JointCommand, RobotState
from hardware.spec import RobotSpec

_CYCLES_MAX = 10
"""After a longer pause of the loop the motion goes on where it was, instead of leaping ahead."""


@dataclass(frozen=True)
class ServoLinearisation:
    """Derivative of a joint servo's torque: stiffness (q_d - q) + damping (qd_d - qd), joint by joint.

    With `feed_forward` False the servo damps against rest (qd_d is 0), as MuJoCo's position actuator does.
    """

    stiffness: FloatArray
    """(n,) [Nm/rad]."""
    damping: FloatArray
    """(n,) [Nm s/rad]."""
    feed_forward: bool = False
    """Whether the servo takes a velocity."""


class TrackingController(Protocol):
    """What the control loop asks of a controller; one robot, one thread."""

    def reset(self, state: RobotState) -> None:
        """Forget the reference; begin at `state`, coming to rest from its velocity."""
        ...

    def check(self, reference: JointReference) -> None:
        """Refuse a reference that the controller cannot follow. May be called from any thread.

        Raises:
            ConfigError: wrong mode or shape.
            NonFiniteError: it contains a number that is not finite.
        """
        ...

    def set_reference(self, reference: JointReference) -> None:
        """Follow `reference` from now on."""
        ...

    def update(self, state: RobotState, now_s: float) -> JointCommand:
        """The command of the control cycle at `now_s` [s]."""
        ...


class JointTrackingController:
    """Interpolates references for a device that servoes joint positions.

    Args:
        spec: the robot; its limits bound the motion.
        rate_hz: rate of the control loop [Hz]; None: the robot's.
    """

    def __init__(self, spec: RobotSpec, rate_hz: float | None = None) -> None:
        self.spec = spec
        self.period_s = 1.0 / (rate_hz if rate_hz is not None else spec.control_rate_hz)
        self.interpolator = interpolator_of(spec)
        self._updated_s: float | None = None
        self._effort: FloatArray | None = None

    @property
    def linearisation(self) -> ServoLinearisation:
        """Gains of the joint servo that the set-points go to; a model-gradient learner differentiates through it."""
        return ServoLinearisation(self.spec.stiffness, self.spec.damping)

    def reset(self, state: RobotState) -> None:
        """Begin at the measured state, coming to rest from its velocity within the limits."""
        velocity = np.minimum(np.maximum(state.joint_velocity, -self.spec.velocity_max), self.spec.velocity_max)
        self.interpolator.reset(state.joint_position, velocity)
        self._updated_s, self._effort = None, None

    def check(self, reference: JointReference) -> None:
        """Refuse a reference that cannot be followed.

        Raises:
            ConfigError: wrong shape, or a mode that the robot does not take.
            NonFiniteError: it contains a number that is not finite.
        """
        expected = (len(self.spec.joints),)
        for name, values in (("value", reference.value), ("velocity", reference.velocity)):
            if values is None:
                continue
            if np.shape(values) != expected:
                raise ConfigError(f"reference {name} has shape {np.shape(values)}; {self.spec.name} takes {expected}")
            if not np.all(np.isfinite(values)):
                raise NonFiniteError(f"reference {name} for {self.spec.name} is not finite: {values}")
        if reference.mode == "effort" and "effort" not in self.spec.command_modes:
            raise ConfigError(f"{self.spec.name} takes {', '.join(self.spec.command_modes)} commands, not effort")

    def set_reference(self, reference: JointReference) -> None:
        """Follow `reference` from now on, from the present set-point.

        Raises:
            ConfigError: wrong shape, or a mode that the robot does not take.
            NonFiniteError: it contains a number that is not finite.
        """
        self.check(reference)
        if reference.mode == "effort":
            self._effort = np.asarray(reference.value, dtype=np.float64)
            return
        self._effort = None
        self.interpolator.retarget(reference)

    def update(self, state: RobotState, now_s: float) -> JointCommand:
        """Set-point of this cycle: position and the velocity that goes with it (or the torque, in mode "effort").

        The motion moves on by whole periods, so that a late wake-up does not shake the set-points; the first call after
        a reset moves it on by one.
        """
        cycles = 1
        if self._updated_s is not None:
            cycles = min(max(round((now_s - self._updated_s) / self.period_s), 1), _CYCLES_MAX)
        self._updated_s = now_s
        self.interpolator.advance(cycles * self.period_s)
        if self._effort is not None:
            return JointCommand(effort=self._effort)
        position, velocity, _ = self.interpolator.state()
        return JointCommand(position=position, velocity=velocity)


def interpolator_of(spec: RobotSpec) -> JerkLimitedInterpolator:
    """The interpolator with the limits of `spec`, at the default pose."""
    made = JerkLimitedInterpolator(
        spec.velocity_max, spec.acceleration_max, spec.jerk_max, spec.position_min, spec.position_max
    )
    made.reset(spec.default_position)
    return made


class JointPdController:
    """The law of a joint servo, for devices that take torques, and batched for engines that do.

    effort = stiffness (q_d - q) + damping (qd_d - qd) + feed-forward, clipped to +-effort_max. It equals MuJoCo's
    position actuator with kp = stiffness, kv = damping and a force range, whose qd_d is 0. Under MuJoCo's Euler
    integrator both give the same motion to rounding; the implicit integrators (implicit, implicitfast) also solve for
    the change of the actuator's damping force within the step, which a torque computed outside cannot know, so there
    only the force at a given state is the same.

    Args:
        stiffness: (n,) [Nm/rad].
        damping: (n,) [Nm s/rad].
        effort_max: (n,) [Nm].
    """

    def __init__(self, stiffness: ArrayLike, damping: ArrayLike, effort_max: ArrayLike) -> None:
        self.stiffness, self.damping, self.effort_max = frozen(stiffness), frozen(damping), frozen(effort_max)

    @property
    def linearisation(self) -> ServoLinearisation:
        """The gains, with velocity feed-forward."""
        return ServoLinearisation(self.stiffness, self.damping, feed_forward=True)

    def effort(self, state: RobotState, command: JointCommand) -> Array:
        """Torques that follow `command` from `state`, (..., n) [Nm].

        Args:
            state: joint arrays (..., n).
            command: `position` (..., n); `velocity` and `effort` where given; its gains replace the controller's own.

        Raises:
            ConfigError: the command carries no position.
        """
        if command.position is None:
            raise ConfigError("joint PD control needs a position in the command")
        xp = namespace(state.joint_position)
        stiffness = xp.asarray(self.stiffness.copy()) if command.stiffness is None else command.stiffness
        damping = xp.asarray(self.damping.copy()) if command.damping is None else command.damping
        bound = xp.asarray(self.effort_max.copy())
        velocity_error = -state.joint_velocity if command.velocity is None else command.velocity - state.joint_velocity
        effort = stiffness * (command.position - state.joint_position) + damping * velocity_error
        if command.effort is not None:
            effort = effort + command.effort
        return xp.minimum(xp.maximum(effort, -bound), bound)
