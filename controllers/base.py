"""Control of mobile bases: references become bounded velocity commands, and a safety filter has the last word.

Both have the interfaces that the control loop asks of a controller and a filter of joints.
"""

from __future__ import annotations

import math

import numpy as np

from controllers.base_motion import BaseMotion
from controllers.reference import BaseReference
from controllers.safety import Filtered, SafetyAction, SafetyConfig, SafetyReason
from hardware.errors import ConfigError, NonFiniteError
from hardware.records import BaseCommand, RobotMode, RobotState
from hardware.spec import BaseSpec, RobotSpec

_CYCLES_MAX = 10
"""After a longer pause of the loop the velocity changes as after this many cycles, instead of leaping."""
_TOLERANCE = 1.001
"""Velocity and acceleration beyond their limit by no more than this are rounding error."""


class BaseTrackingController:
    """Ramps the velocity of a base towards its reference, within the limits of its description.

    Args:
        spec: the robot; has a `base`.
        rate_hz: rate of the control loop [Hz]; None: the robot's.

    Raises:
        ConfigError: the robot has no base.
    """

    def __init__(self, spec: RobotSpec, rate_hz: float | None = None) -> None:
        self.spec = spec
        self.period_s = 1.0 / (rate_hz if rate_hz is not None else spec.control_rate_hz)
        self._motion = BaseMotion(base_of(spec))
        self._target: BaseReference | None = None
        self._updated_s: float | None = None

    def reset(self, state: RobotState) -> None:
        """Forget the reference; come to rest from the measured velocity."""
        self._motion.reset(state)
        self._target, self._updated_s = None, None

    def check(self, reference: BaseReference) -> None:
        """Refuse a reference that is none for a base.

        Raises:
            ConfigError: it is no BaseReference.
            NonFiniteError: it contains a number that is not finite.
        """
        if not isinstance(reference, BaseReference):
            raise ConfigError(f"{self.spec.name} drives: it takes a BaseReference, not {type(reference).__name__}")
        if not (math.isfinite(reference.linear_velocity) and math.isfinite(reference.yaw_rate)):
            raise NonFiniteError(
                f"reference for {self.spec.name} is not finite: {reference.linear_velocity} m/s, "
                f"{reference.yaw_rate} rad/s"
            )

    def set_reference(self, reference: BaseReference) -> None:
        """Follow `reference` from now on.

        Raises:
            ConfigError: it is no BaseReference.
            NonFiniteError: it contains a number that is not finite.
        """
        self.check(reference)
        self._target = reference

    def update(self, state: RobotState, now_s: float) -> BaseCommand:
        """The velocity of this cycle; what the reference asks beyond the limits is left out."""
        duration_s, self._updated_s = _duration(now_s, self._updated_s, self.period_s), now_s
        motion, target = self._motion, self._target
        if target is None:
            motion.brake(duration_s)
        else:
            speed = motion.bounded_speed(target.linear_velocity)
            yaw_rate = target.yaw_rate
            if motion.base.kind == "car" and speed != target.linear_velocity:
                yaw_rate *= speed / target.linear_velocity  # slower, on the same curve
            motion.advance(speed, motion.bounded_yaw_rate(yaw_rate, speed), duration_s)
        return _command(motion)


class BaseSafetyFilter:
    """Bounds the velocity commands of one base. Never raises, never waits.

    Velocity, acceleration and, for a car, the curvature of its path are bounded. A contact at the front stops what
    drives forwards, at once; backwards stays open. A stale reference makes it ramp to zero, and once it stands, stop.
    What is not finite stops it until `reset`.

    Args:
        spec: the robot; has a `base`.
        config: shares of the limits, and when a reference is stale; `stale_damp_s` has no meaning here.
        rate_hz: rate of the control loop [Hz]; None: the robot's.

    Raises:
        ConfigError: the robot has no base.
    """

    def __init__(self, spec: RobotSpec, config: SafetyConfig | None = None, rate_hz: float | None = None) -> None:
        self.spec, self.config = spec, config if config is not None else SafetyConfig()
        self.counts: dict[SafetyReason, int] = dict.fromkeys(SafetyReason, 0)
        """Cycles in which each reason applied, since construction."""
        self._base = base_of(spec)
        self._period_s = 1.0 / (rate_hz if rate_hz is not None else spec.control_rate_hz)
        self._motion = BaseMotion(self._base, self.config.acceleration_share * _TOLERANCE)
        self._latched: SafetyReason | None = None
        self._applied_s: float | None = None
        self._begun = False

    @property
    def velocity(self) -> tuple[float, float]:
        """The executed speed [m/s] and yaw rate [rad/s]."""
        return self._motion.speed, self._motion.yaw_rate

    def executed(self, state: RobotState) -> RobotState:
        """`state` as if the base moved exactly as it was told."""
        return self._motion.as_state(state)

    def reset(self, state: RobotState | None = None) -> None:
        """Release a latched stop and begin at the velocity of `state` (None: of the next one given to `apply`)."""
        self._latched, self._applied_s, self._begun = None, None, False
        if state is not None and _finite_state(state):
            self._begin(state)

    def apply(self, command: BaseCommand, state: RobotState, reference_age_s: float, now_s: float) -> Filtered:
        """Filter one command.

        Args:
            command: what the controller asks for.
            state: the newest measurement.
            reference_age_s: time since the end of the horizon of the reference that `command` comes from [s]; <= 0
                while it is valid.
            now_s: monotonic time [s].

        Returns:
            What to send, what was done and why.
        """
        reason = self._stop_reason(command, state, now_s)
        if reason is None and not self._begun:
            self._begin(state)
        stale = reference_age_s > self.config.stale_hold_s
        if reason is None and reference_age_s > self.config.stale_stop_s and self._motion.at_rest:
            reason = SafetyReason.STALE_REFERENCE
        if reason is not None:
            return self._result(None, SafetyAction.STOP, [reason])
        duration_s, self._applied_s = _duration(now_s, self._applied_s, self._period_s), now_s
        if stale:
            self._motion.brake(duration_s)
            return self._result(_command(self._motion), SafetyAction.HOLD, [SafetyReason.STALE_REFERENCE])
        reasons = self._limit(command, state, duration_s)
        if not reasons:
            return self._result(command, SafetyAction.PASS, reasons)
        return self._result(_command(self._motion), SafetyAction.LIMITED, reasons)

    def _limit(self, command: BaseCommand, state: RobotState, duration_s: float) -> list[SafetyReason]:
        """Move the executed velocity towards `command`; why it does not get there."""
        motion, reasons = self._motion, []
        share = self.config.velocity_share * _TOLERANCE
        asked, asked_yaw_rate = float(command.linear_velocity[0]), float(command.yaw_rate)
        speed = min(max(asked, -self._base.backward_max * share), self._base.forward_max * share)
        bound = self._base.yaw_rate_max * share
        yaw_rate = min(max(asked_yaw_rate, -bound), bound)
        if speed != asked or yaw_rate != asked_yaw_rate or float(command.linear_velocity[1]) != 0.0:
            reasons.append(SafetyReason.VELOCITY)  # neither kind of base moves sideways
        touched = state.contacts is not None and any(state.contacts.get(name) for name in self._base.front_contacts)
        if touched and (speed > 0.0 or motion.speed > 0.0):
            speed, motion.speed = min(speed, 0.0), min(motion.speed, 0.0)
            reasons.append(SafetyReason.CONTACT)
        motion.advance(speed, yaw_rate, duration_s)
        if abs(motion.speed - speed) > 1e-9:
            reasons.append(SafetyReason.ACCELERATION)
        elif abs(motion.yaw_rate - yaw_rate) > 1e-9:
            sharp = abs(motion.yaw_rate) < abs(yaw_rate) and motion.yaw_rate == motion.bounded_yaw_rate(yaw_rate, speed)
            reasons.append(SafetyReason.POSITION if sharp else SafetyReason.ACCELERATION)
        return reasons

    def _stop_reason(self, command: BaseCommand, state: RobotState, now_s: float) -> SafetyReason | None:
        """Why nothing may be sent; what is not finite latches."""
        if self._latched is not None:
            return self._latched
        if not isinstance(command, BaseCommand) or np.shape(command.linear_velocity) != (2,):
            return SafetyReason.MALFORMED_COMMAND
        if not math.isfinite(float(np.sum(command.linear_velocity)) + float(command.yaw_rate)):
            self._latched = SafetyReason.NON_FINITE_COMMAND
        elif not _finite_state(state):
            self._latched = SafetyReason.NON_FINITE_STATE
        if self._latched is not None:
            return self._latched
        if state.mode is not RobotMode.RUNNING:
            return SafetyReason.DEVICE_FAULT
        if not now_s - float(state.capture_time_s) <= self.spec.state_age_max_s:
            return SafetyReason.STALE_STATE
        return None

    def _begin(self, state: RobotState) -> None:
        self._motion.reset(state)
        self._begun = True

    def _result(self, command: BaseCommand | None, action: SafetyAction, reasons: list[SafetyReason]) -> Filtered:
        for reason in reasons:
            self.counts[reason] += 1
        return Filtered(command, action, tuple(reasons))


def base_of(spec: RobotSpec) -> BaseSpec:
    """The base of a robot.

    Raises:
        ConfigError: it has none.
    """
    if spec.base is None:
        raise ConfigError(f"{spec.name} has no base: its description has no BaseSpec")
    return spec.base


def _command(motion: BaseMotion) -> BaseCommand:
    return BaseCommand(np.array([motion.speed, 0.0]), np.float64(motion.yaw_rate))


def _duration(now_s: float, before_s: float | None, period_s: float) -> float:
    """Time that a cycle stands for [s]: whole periods, so that a late wake-up does not shake the motion."""
    cycles = 1 if before_s is None else min(max(round((now_s - before_s) / period_s), 1), _CYCLES_MAX)
    return cycles * period_s


def _finite_state(state: RobotState) -> bool:
    measured = (state.base_position, state.base_linear_velocity, state.base_angular_velocity)
    return all(math.isfinite(float(np.sum(values))) for values in measured if values is not None)
