"""What an operator's commands make a robot do: the dead-man switch, limits and ramps, on any device and robot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from controllers.gripping import REACH_RAD, SQUEEZE_RAD
from controllers.reference import BaseReference, JointReference
from hardware.arrays import FloatArray
from hardware.errors import ConfigError
from hardware.records import RobotState
from hardware.robot import RobotEntry
from hardware.teleoperator import OperatorCommand


@dataclass(frozen=True)
class CouplingConfig:
    """How a robot follows its operator.

    Raises:
        ConfigError: a setting out of range.
    """

    rate_hz: float = 50.0
    """Rate of commands to the robot [Hz]."""
    command_age_max_s: float = 0.25
    """An operator's command older than this lets the robot hold [s]."""
    ramp_s: float = 0.3
    """Time in which the robot takes up the operator's speed after the dead-man switch was pressed [s]."""
    linear_speed_max: float = 0.25
    """Largest speed of the tool [m/s]."""
    angular_speed_max: float = 1.0
    """Largest turning speed of the tool [rad/s]."""
    joint_speed_share: float = 0.5
    """Share of the joints' speed limits that may be used."""
    gripper_joint: str = "gripper"
    """Joint that the gripper keys move, where the robot has it: its range is 0 closed to 1 open."""
    gripper_speed: float = 0.8
    """Speed of the gripper, as a share of its range [1/s]."""
    gripper_reach: float = REACH_RAD
    """While it moves freely, the gripper is asked to be this far ahead of where it is [rad]."""
    gripper_squeeze: float = SQUEEZE_RAD
    """The same once it has met something [rad]; more holds harder, until the servo's overload protection acts."""
    align: Literal["move", "wait"] = "move"
    """Leader arms that are elsewhere than the robot: the robot moves there slowly, or waits until the leader comes."""
    align_tolerance: float = 0.1
    """Largest difference per joint at which leader and robot count as aligned [rad]."""
    align_speed: float = 0.2
    """Speed of the robot's joints while it aligns itself [rad/s]."""
    smoothing_hz: float = 4.0
    """Bandwidth of the filter between a leader arm and the robot [Hz]; it follows a motion 1 / (pi smoothing) late."""
    lookahead_s: float = 0.15
    """How far ahead a set-point made from a leader arm's motion lies [s]: over a shorter time the robot's limits of
    acceleration and jerk leave no room to plan, and it would fall behind."""
    base_linear_scale: float = 3.0
    """Robots on wheels: speed per speed of a tool."""
    base_turn_per_sideways: float = 5.0
    """Robots on wheels cannot move sideways: they turn instead, by this much [rad/s per m/s of a tool]."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("rate_hz", 5.0, 200.0),
            ("command_age_max_s", 0.02, 1.0),
            ("ramp_s", 0.0, 5.0),
            ("linear_speed_max", 0.0, 2.0),
            ("angular_speed_max", 0.0, 5.0),
            ("joint_speed_share", 0.01, 1.0),
            ("gripper_reach", 1e-3, 1.0),
            ("gripper_squeeze", 1e-4, 1.0),
            ("align_speed", 0.01, 1.0),
            ("smoothing_hz", 0.5, 20.0),
            ("lookahead_s", 0.02, 0.5),
        ):
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"coupling: {name} = {getattr(self, name)} is outside [{low:g}, {high:g}]")


@dataclass(frozen=True, slots=True)
class Coupled:
    """What one command leads to."""

    reference: JointReference | BaseReference | None
    """What the robot is to do; None: hold."""
    enabled: bool
    """Whether the robot follows the operator."""
    message: str = ""
    """What the operator should know."""


class Coupling(Protocol):
    """Turns commands of one kind into set-points of one robot. Never raises once it is made."""

    def step(self, command: OperatorCommand, state: RobotState, factor: float, now_s: float) -> Coupled:
        """One period.

        Args:
            command: a fresh one, the dead-man switch held.
            state: newest measurement.
            factor: share of the operator's speed, rising to 1 after the dead-man switch was pressed.
            now_s: monotonic time [s].
        """
        ...

    def release(self) -> None:
        """The dead-man switch was let go, or the device fell silent."""
        ...


class OperatorCoupling:
    """The dead-man switch in front of the coupling that fits robot and command.

    Args:
        entry: the robot.
        config: limits and ramps.

    Raises:
        ConfigError: the robot has neither joints nor a base.
    """

    def __init__(self, entry: RobotEntry, config: CouplingConfig | None = None) -> None:
        self.entry, self.config = entry, config if config is not None else CouplingConfig()
        self.lost = 0
        """Commands that never arrived, by their sequence numbers."""
        self.repeated = 0
        """Times that the same command was read again, or one older than the last."""
        self._couplings: dict[str, Coupling] = {}
        self._sequence: int | None = None
        self._newest: OperatorCommand | None = None
        self._engaged: str = ""
        self._since_s = 0.0
        if not entry.spec.joints and entry.spec.base is None:
            raise ConfigError(f"{entry.spec.name} has nothing to move")

    def prepare(self) -> None:
        """Make what can be made before the first command: loading inverse kinematics takes about a second."""
        spec = self.entry.spec
        if not spec.joints:
            self._couplings["base"] = self._make("base")
        elif spec.tool_frame is not None:
            self._couplings["tool"] = self._make("tool")

    def step(self, command: OperatorCommand | None, state: RobotState, now_s: float) -> Coupled:
        """The set-point for one period.

        Args:
            command: the newest reading; None: the device could not be read.
            state: newest measurement.
            now_s: monotonic time [s].

        Raises:
            ConfigError: the device moves a tool, and the robot has none.
        """
        newest = self._take(command)
        if newest is None or not newest.enabled:
            return self._hold("")
        age_s = now_s - newest.capture_time_s
        if age_s > self.config.command_age_max_s:
            return self._hold(f"the operator's commands are {age_s * 1e3:.0f} ms old")
        if not is_finite(newest):
            return self._hold("the operator's command is not finite")
        kind = self._kind(newest)
        if kind not in self._couplings:
            self._couplings[kind] = self._make(kind)
        if kind != self._engaged:
            self._hold("")
            self._engaged, self._since_s = kind, now_s
        elapsed_s = now_s - self._since_s + 1.0 / self.config.rate_hz
        factor = min(1.0, elapsed_s / self.config.ramp_s) if self.config.ramp_s > 0.0 else 1.0
        return self._couplings[kind].step(newest, state, factor, now_s)

    def release(self) -> None:
        """Let go: the next command begins with a ramp again."""
        self._hold("")

    def _take(self, command: OperatorCommand | None) -> OperatorCommand | None:
        """The newest command, by its time; counts lost and repeated ones."""
        if command is None:
            return self._newest
        newest = self._newest
        if newest is not None and (
            command.capture_time_s < newest.capture_time_s or command.sequence == newest.sequence
        ):
            self.repeated += 1
            return newest
        if newest is not None and command.sequence > newest.sequence + 1:
            self.lost += command.sequence - newest.sequence - 1
        self._newest = command
        return command

    def _hold(self, message: str) -> Coupled:
        if self._engaged:
            self._couplings[self._engaged].release()
            self._engaged = ""
        return Coupled(None, False, message)

    def _kind(self, command: OperatorCommand) -> str:
        if self.entry.spec.base is not None and not self.entry.spec.joints:
            return "base"
        return "joints" if command.joint_position is not None else "tool"

    def _make(self, kind: str) -> Coupling:
        spec = self.entry.spec
        if kind == "base":
            from robostack.teleoperation.base_coupling import BaseCoupling

            return BaseCoupling(spec, self.config)
        if kind == "joints":
            from robostack.teleoperation.joint_coupling import JointCoupling

            return JointCoupling(spec, self.config)
        if spec.tool_frame is None:
            raise ConfigError(
                f"{spec.name} has no tool that this device could move; use a leader arm, or a policy that walks"
            )
        from robostack.teleoperation.tool_coupling import ToolCoupling

        return ToolCoupling(self.entry, self.config)


def is_finite(command: OperatorCommand) -> bool:
    """Whether every number of a command is."""
    parts = (command.tool_linear_velocity, command.tool_angular_velocity, command.joint_position, command.gripper)
    return all(bool(np.isfinite(part).all()) for part in parts if part is not None)


def shortened(vector: FloatArray, length_max: float) -> FloatArray:
    """`vector` (k,), scaled down to a length of at most `length_max`."""
    return vector * min(1.0, length_max / max(float(np.linalg.norm(vector)), 1e-12))
