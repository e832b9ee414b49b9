"""The safety filter: what the device is given, whatever a policy, an operator or a defect asks for."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np

from controllers.kinematics import SerialChain
from controllers.profiles import braking_speed
from controllers.workspace import WorkspaceBox
from hardware.arrays import FloatArray, frozen
from hardware.records import JointCommand, RobotMode, RobotState
from hardware.spec import RobotSpec

_CYCLES_MAX = 10
_TOLERANCE = 1.001
"""Velocity and acceleration beyond their limit by no more than this are rounding and interpolation error."""


class SafetyAction(Enum):
    """What the filter did with a command."""

    PASS = "pass"
    """Executed as requested."""
    LIMITED = "limited"
    """Executed as far as the limits allow."""
    HOLD = "hold"
    """Not executed: the set-point brakes to rest and stays."""
    DAMP = "damp"
    """Not executed: the set-point relaxes to where the robot is, at rest."""
    STOP = "stop"
    """Nothing is to be sent; the device's own stop is to be used."""


class SafetyReason(Enum):
    """Why."""

    POSITION = "position limit"
    VELOCITY = "velocity limit"
    ACCELERATION = "acceleration limit"
    EFFORT = "effort limit"
    WORKSPACE = "workspace"
    RATE_OF_CHANGE = "rate of change"
    TRACKING_ERROR = "tracking error"
    START_JUMP = "first command far from the measured position"
    STALE_REFERENCE = "stale reference"
    STALE_STATE = "stale state"
    NON_FINITE_COMMAND = "non-finite command"
    NON_FINITE_STATE = "non-finite state"
    MALFORMED_COMMAND = "malformed command"
    DEVICE_FAULT = "device fault"
    CONTACT = "contact"


@dataclass(frozen=True)
class SafetyConfig:
    """Limits of the filter beyond those of the robot's description."""

    position_margin: float = 0.02
    """Distance kept from the joint limits [rad]."""
    velocity_share: float = 1.0
    """Share of the joints' velocity limits that may be used."""
    acceleration_share: float = 1.0
    """Share of the joints' acceleration limits that may be used."""
    tracking_error_max: float = 0.25
    """Largest distance of the set-point from the measured position [rad]; bounds the force of a blocked servo."""
    first_step_max: float = 0.05
    """Largest distance of the first command from the measured position [rad]; a larger one is held."""
    effort_rate_max: float = 1000.0
    """Largest change of a torque command per second [Nm/s]: 1 Nm in 1 ms, as force-controlled arms allow."""
    workspace_acceleration: float = 2.0
    """Deceleration of the tool in front of the walls of the workspace [m/s^2]."""
    stale_hold_s: float = 0.1
    """Time after the end of a reference's horizon until the robot holds [s]."""
    stale_damp_s: float = 0.3
    """Time after the end of a reference's horizon until the robot damps [s]."""
    stale_stop_s: float = 0.5
    """Time after the end of a reference's horizon until the device is stopped [s]."""


@dataclass(frozen=True, slots=True)
class Filtered:
    """Result of one cycle."""

    command: Any
    """What to send, of the kind that was asked for (`JointCommand`, `BaseCommand`); None with action STOP."""
    action: SafetyAction
    """What was done."""
    reasons: tuple[SafetyReason, ...]
    """Why; empty with action PASS."""


class SafetyFilter:
    """Bounds the sequence of commands of one robot. Never raises, never waits.

    Positions: the filter moves its own set-point towards the requested one, with bounded velocity and acceleration,
    and in time to rest before a joint limit and before the walls of the workspace. Along a wall it slides; from outside
    only the way in is open. Jerk is bounded where references are made (`JerkLimitedInterpolator`), not here: a filter
    that must be able to brake at once cannot bound it as well.

    Torques: clipped, and their rate of change bounded. Non-finite numbers latch STOP until `reset`.

    Args:
        spec: the robot; its limits apply.
        chain: kinematics of the tool, for the workspace; None where the robot has no workspace.
        config: further limits.
        rate_hz: rate of the control loop [Hz]; None: the robot's.
    """

    def __init__(
        self,
        spec: RobotSpec,
        chain: SerialChain | None = None,
        config: SafetyConfig | None = None,
        rate_hz: float | None = None,
    ) -> None:
        self.spec, self.config = spec, config if config is not None else SafetyConfig()
        self.counts: dict[SafetyReason, int] = dict.fromkeys(SafetyReason, 0)
        """Cycles in which each reason applied, since construction."""
        self._period_s = 1.0 / (rate_hz if rate_hz is not None else spec.control_rate_hz)
        margin = self.config.position_margin
        self._low, self._high = spec.position_min + margin, spec.position_max - margin
        self._velocity = spec.velocity_max * self.config.velocity_share * _TOLERANCE
        self._acceleration = spec.acceleration_max * self.config.acceleration_share * _TOLERANCE
        self._walls: WorkspaceBox | None = None
        if chain is not None and spec.workspace_min is not None and spec.workspace_max is not None:
            self._walls = WorkspaceBox(
                chain, spec.workspace_min, spec.workspace_max, self.config.workspace_acceleration
            )
        self._latched: SafetyReason | None = None
        self._position = self._speed = self._effort = self._requested = frozen(np.zeros(len(spec.joints)))
        self._applied_s: float | None = None
        self._begun = self._engaged = False
        self._apart_s = self._lasted_s = self._period_s

    @property
    def position(self) -> FloatArray:
        """The executed set-point, (n,) [rad]."""
        return self._position

    @property
    def velocity(self) -> FloatArray:
        """Velocity of the executed set-point, (n,) [rad/s]."""
        return self._speed

    def executed(self, state: RobotState) -> RobotState:
        """`state` as if the robot were exactly where it was told to be: what a controller goes on from."""
        return replace(state, joint_position=self._position, joint_velocity=self._speed)

    def reset(self, state: RobotState | None = None) -> None:
        """Release a latched stop and begin at `state` (None: at the next one given to `apply`)."""
        self._latched, self._applied_s, self._lasted_s = None, None, self._period_s
        self._begun = self._engaged = False
        self._effort = frozen(np.zeros(len(self.spec.joints)))
        if state is not None and _finite(state.joint_position, state.joint_velocity):
            self._begin(state)

    def apply(self, command: JointCommand, state: RobotState, reference_age_s: float, now_s: float) -> Filtered:
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
        reason = self._stop_reason(command, state, reference_age_s, now_s)
        if reason is not None:
            return self._result(None, SafetyAction.STOP, (reason,))
        if not self._begun:
            self._begin(state)
        cycles = 1
        if self._applied_s is not None:
            cycles = min(max(round((now_s - self._applied_s) / self._period_s), 1), _CYCLES_MAX)
        self._applied_s = now_s
        period_s = cycles * self._period_s
        # Mean velocities of two cycles belong to their middles, which are this far apart.
        self._apart_s, self._lasted_s = 0.5 * (self._lasted_s + period_s), period_s
        if reference_age_s > self.config.stale_hold_s:
            return self._fall_back(command, state, reference_age_s, period_s)
        reasons: list[SafetyReason] = []
        position = velocity = effort = None
        if command.position is not None:
            if not self._engage(command.position, state):
                self._move(np.zeros_like(self._speed), period_s)
                held = replace(command, position=self._position, velocity=_like(command.velocity, self._speed))
                return self._result(held, SafetyAction.HOLD, (SafetyReason.START_JUMP,))
            self._track(command.position, state, period_s, reasons)
            if not reasons and (np.abs(self._position - command.position) > 1e-9).any():
                reasons.append(SafetyReason.RATE_OF_CHANGE)  # still closing the gap that an earlier limit has left
            position, velocity = self._position, _like(command.velocity, self._speed)
        elif command.velocity is not None:
            self._position = state.joint_position
            self._limit(command.velocity, period_s, reasons)
            velocity = self._speed
        if command.effort is not None:
            effort = self._bounded_effort(command.effort, period_s, reasons)
        if not reasons:
            return self._result(command, SafetyAction.PASS, ())
        limited = replace(command, position=position, velocity=velocity, effort=effort)
        return self._result(limited, SafetyAction.LIMITED, tuple(reasons))

    def _stop_reason(
        self, command: JointCommand, state: RobotState, reference_age_s: float, now_s: float
    ) -> SafetyReason | None:
        """Why nothing may be sent; what is not finite latches."""
        if self._latched is not None:
            return self._latched
        fields = (command.position, command.velocity, command.effort, command.stiffness, command.damping)
        given = [field for field in fields if field is not None]
        expected = (len(self.spec.joints),)
        if not given or any(np.shape(field) != expected for field in given):
            return SafetyReason.MALFORMED_COMMAND
        if not _finite(*given):
            self._latched = SafetyReason.NON_FINITE_COMMAND
        elif not _finite(state.joint_position, state.joint_velocity):
            self._latched = SafetyReason.NON_FINITE_STATE
        if self._latched is not None:
            return self._latched
        if state.mode is not RobotMode.RUNNING:
            return SafetyReason.DEVICE_FAULT
        if not now_s - float(state.capture_time_s) <= self.spec.state_age_max_s:
            return SafetyReason.STALE_STATE
        return None if reference_age_s <= self.config.stale_stop_s else SafetyReason.STALE_REFERENCE

    def _begin(self, state: RobotState) -> None:
        self._position = np.array(state.joint_position, dtype=np.float64)
        self._speed = np.clip(state.joint_velocity, -self._velocity, self._velocity)
        self._requested, self._begun = self._position, True

    def _engage(self, target: FloatArray, state: RobotState) -> bool:
        """Whether commands may be followed: only once one was near the measured position."""
        if not self._engaged and np.abs(target - state.joint_position).max() <= self.config.first_step_max:
            self._engaged = True
            self._requested = np.asarray(target, dtype=np.float64)
        return self._engaged

    def _track(self, target: FloatArray, state: RobotState, period_s: float, reasons: list[SafetyReason]) -> None:
        """Move the set-point towards `target`: match its velocity, and close the gap as fast as can be braked again."""
        # From outside a joint limit the set-point stays where it is until it is asked to come in.
        low, high = np.minimum(self._low, self._position), np.maximum(self._high, self._position)
        bounded = np.minimum(np.maximum(target, low), high)
        if (np.abs(bounded - target) > 1e-9).any():
            reasons.append(SafetyReason.POSITION)
        reach = self.config.tracking_error_max
        near = np.minimum(np.maximum(bounded, state.joint_position - reach), state.joint_position + reach)
        if (near != bounded).any():
            reasons.append(SafetyReason.TRACKING_ERROR)
        pace = (near - self._requested) / period_s
        self._requested = near
        bounded_pace = np.minimum(np.maximum(pace, -self._velocity), self._velocity)
        gap = near - self._position - bounded_pace * period_s
        closing = np.copysign(braking_speed(np.abs(gap), self._acceleration, period_s), gap)
        if (np.abs(pace) > self._velocity).any():
            reasons.append(SafetyReason.VELOCITY)
        self._limit(bounded_pace + closing, period_s, reasons)

    def _limit(self, velocity: FloatArray, period_s: float, reasons: list[SafetyReason]) -> None:
        """Move the set-point at `velocity` as far as velocity, joint limits, workspace and acceleration allow."""
        allowed = np.minimum(np.maximum(velocity, -self._velocity), self._velocity)
        if (allowed != velocity).any() and SafetyReason.VELOCITY not in reasons:
            reasons.append(SafetyReason.VELOCITY)
        up = braking_speed(np.maximum(self._high - self._position, 0.0), self._acceleration, period_s)
        down = braking_speed(np.maximum(self._position - self._low, 0.0), self._acceleration, period_s)
        braked = np.minimum(np.maximum(allowed, -down), up)
        if (braked != allowed).any() and SafetyReason.POSITION not in reasons:
            reasons.append(SafetyReason.POSITION)
        if self._walls is not None:
            inside = self._walls.limit(self._position, braked, period_s)
            if inside is not braked:
                reasons.append(SafetyReason.WORKSPACE)
                bound = np.minimum(np.where(inside > 0.0, up, down), self._velocity)
                excess = float((np.abs(inside) / np.maximum(bound, 1e-12)).max())
                braked = self._reachable(inside / max(excess, 1.0))  # the same way, slower
        if self._move(braked, period_s):
            reasons.append(SafetyReason.ACCELERATION)

    def _reachable(self, velocity: FloatArray) -> FloatArray:
        """`velocity`, or, where the acceleration limits would bend it through a wall, straight braking."""
        change = self._acceleration * self._apart_s
        bent = self._speed + np.minimum(np.maximum(velocity - self._speed, -change), change)
        if self._walls is None or self._walls.keeps(bent):
            return velocity
        return self._speed * max(0.0, 1.0 - float((change / np.maximum(np.abs(self._speed), change)).min()))

    def _move(self, velocity: FloatArray, period_s: float) -> bool:
        """Bring the set-point's velocity to `velocity` and move it; whether the acceleration had to be bounded."""
        change = self._acceleration * self._apart_s
        wanted = velocity - self._speed
        step = np.minimum(np.maximum(wanted, -change), change)
        self._speed = self._speed + step
        self._position = self._position + self._speed * period_s
        return bool((np.abs(wanted - step) > 1e-9).any())

    def _fall_back(self, command: JointCommand, state: RobotState, age_s: float, period_s: float) -> Filtered:
        """The reference is late: brake, later also give way, and let torques fade."""
        action = SafetyAction.DAMP if age_s > self.config.stale_damp_s else SafetyAction.HOLD
        target = np.zeros_like(self._speed)
        if action is SafetyAction.DAMP:
            gap = state.joint_position - self._position
            target = np.copysign(braking_speed(np.abs(gap), self._acceleration, period_s), gap)
        self._move(np.clip(target, -self._velocity, self._velocity), period_s)
        self._requested = self._position
        effort = None
        if command.effort is not None:
            effort = self._bounded_effort(np.zeros_like(self._speed), period_s, [])
        safe = replace(
            command,
            position=_like(command.position, self._position),
            velocity=_like(command.velocity, self._speed if action is SafetyAction.HOLD else np.zeros_like(target)),
            effort=effort,
        )
        return self._result(safe, action, (SafetyReason.STALE_REFERENCE,))

    def _bounded_effort(self, effort: FloatArray, period_s: float, reasons: list[SafetyReason]) -> FloatArray:
        bounded = np.minimum(np.maximum(effort, -self.spec.effort_max), self.spec.effort_max)
        if (bounded != effort).any():
            reasons.append(SafetyReason.EFFORT)
        change = self.config.effort_rate_max * period_s
        stepped = np.minimum(np.maximum(bounded, self._effort - change), self._effort + change)
        if (stepped != bounded).any():
            reasons.append(SafetyReason.RATE_OF_CHANGE)
        self._effort = stepped
        return stepped

    def _result(
        self, command: JointCommand | None, action: SafetyAction, reasons: tuple[SafetyReason, ...]
    ) -> Filtered:
        for reason in reasons:
            self.counts[reason] += 1
        return Filtered(command, action, reasons)


def _like(requested: FloatArray | None, executed: FloatArray) -> FloatArray | None:
    """`executed`, where the command carried such a field at all."""
    return None if requested is None else executed


def _finite(*arrays: FloatArray) -> bool:
    """Whether every number is finite: one that is not makes the sum so."""
    return all(math.isfinite(float(np.add.reduce(array, axis=None))) for array in arrays)
