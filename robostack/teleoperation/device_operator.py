"""A person with a teleoperation device corrects a policy: while the dead-man switch is held, the device acts.

What the device asks for, a velocity of the tool and a place for the gripper, is expressed in the policy's own action:
its frame, its scale, its bounds. Let go, the policy has control again at the next step (Luo et al., arXiv 2410.21845).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from controllers.kinematics import SerialChain
from hardware.arrays import Array, FloatArray
from hardware.clock import Clock, SystemClock
from hardware.errors import ConfigError, DeviceError, DeviceFaultError, StaleDataError
from hardware.records import RobotState
from hardware.teleoperator import TELEOPERATORS, OperatorCommand, OperatorEvent, Teleoperator
from robostack.env import bounds
from robostack.tasks.task import Episode, Task, Term
from robostack.teleoperation.coupling import is_finite

LINEAR, ANGULAR = ("x", "y", "z"), ("roll", "pitch", "yaw")
RATES = {"m": LINEAR, "m/s": LINEAR, "rad": ANGULAR, "rad/s": ANGULAR}
"""Unit of a term -> names of the elements that it may have."""
GRIPPERS = {"close": -1.0, "open": 1.0}
"""Name of a gripper's element -> sign of an opening hand."""


@dataclass(frozen=True)
class _Element:
    """Where one element of the action comes from."""

    source: int
    """Row of the tool's twist, linear then angular; -1: the gripper."""
    gain: float
    """Action per m/s or rad/s; of a gripper the sign of opening."""
    in_tool_frame: bool = False
    """Whether the twist is turned into the tool's frame first."""


class DeviceOperator:
    """A `robostack.corrector.Corrector`, and by its keys the judge of an episode.

    A device that falls silent while its switch is held raises, so that the episode ends and the robot holds: the
    person thought that the policy must not go on.

    Args:
        device: the device, connected by whoever owns it.
        task: its action must be made of tool displacements, tool velocities and a gripper.
        clock: the one that the device's capture times are of.
        command_age_max_s: a reading older than this counts as silence [s].

    Raises:
        ConfigError: the action has an element that no device moves.
    """

    def __init__(
        self, device: Teleoperator, task: Task, clock: Clock | None = None, command_age_max_s: float = 0.25
    ) -> None:
        self.device, self.command_age_max_s = device, command_age_max_s
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._elements = [element for term in task.action for element in _elements(task, term)]
        self._low, self._high = bounds(task.action)
        self._chain: SerialChain | None = None
        if any(element.in_tool_frame for element in self._elements):
            spec = task.spec
            self._chain = SerialChain.from_mjcf(task.model, spec.joint_names, str(spec.tool_frame), spec.base_frame)
        self._newest: OperatorCommand | None = None
        self._verdict: bool | None = None
        self.stopped = False
        """Whether the person pressed stop and has not said RESET since."""
        self.steps, self.corrected = 0, 0
        """Steps seen and steps corrected."""

    @property
    def share(self) -> float:
        """Share of all steps so far that were corrected."""
        return self.corrected / max(self.steps, 1)

    def reset(self) -> None:
        """An episode begins: what was said of the one before is forgotten. A stop is not."""
        self.listen()
        self._verdict = None

    def correct(self, observation: Array, action: Array, state: RobotState, episode: Episode) -> Array | None:
        """As `Corrector.correct`: what the device asks for while its switch is held.

        Raises:
            StaleDataError: the switch was held, and the device has fallen silent.
            DeviceFaultError: the person pressed stop, or the device is a leader arm.
        """
        self.listen()
        self.steps += 1
        if self.stopped:
            raise DeviceFaultError("the operator's device", "that stop was pressed", "press reset when it is safe")
        command = self._newest
        if command is None or not command.enabled:
            return None
        age_s = self._clock.now() - command.capture_time_s
        if age_s > self.command_age_max_s:
            self._newest = None
            raise StaleDataError("the operator's device, in control,", age_s, self.command_age_max_s)
        if command.joint_position is not None:
            raise DeviceFaultError(
                "the operator's device",
                "the positions of a leader arm's joints",
                "correct with a device that moves a tool",
            )
        if not is_finite(command):
            return None
        self.corrected += 1
        return np.clip(self._action(command, state), self._low, self._high)

    def verdict(self) -> bool | None:
        """As `robostack.corrector.Verdicts.verdict`: the key for success or failure."""
        self.listen()
        said, self._verdict = self._verdict, None
        return said

    def close(self) -> None:
        """Close the device."""
        self.device.disconnect()

    def listen(self) -> None:
        """Take in the newest reading and what was said; a device that cannot be read is silent."""
        try:
            command = self.device.read()
        except DeviceError:
            return
        newest = self._newest
        if newest is None or command.capture_time_s >= newest.capture_time_s:
            self._newest = command
        for event in command.events:
            if event in (OperatorEvent.SUCCESS, OperatorEvent.FAILURE):
                self._verdict = event is OperatorEvent.SUCCESS
            if event in (OperatorEvent.STOP, OperatorEvent.RESET):
                self.stopped = event is OperatorEvent.STOP

    def _action(self, command: OperatorCommand, state: RobotState) -> FloatArray:
        parts = (command.tool_linear_velocity, command.tool_angular_velocity)
        twist = np.concatenate([np.zeros(3) if part is None else np.asarray(part, float) for part in parts])
        turned = twist
        if self._chain is not None:
            position = np.asarray(state.joint_position, dtype=np.float64).reshape(-1)
            rotation = np.asarray(self._chain.forward(position)[1])
            turned = np.concatenate([rotation.T @ twist[:3], rotation.T @ twist[3:]])
        # An opening of 0.5 is where a switch stays as it is; so it does without one.
        opening = 0.5 if command.gripper is None else min(max(command.gripper, 0.0), 1.0)
        return np.array(
            [
                element.gain * (2.0 * opening - 1.0)
                if element.source < 0
                else element.gain * (turned if element.in_tool_frame else twist)[element.source]
                for element in self._elements
            ]
        )


def _elements(task: Task, term: Term) -> Sequence[_Element]:
    """Where each element of a term comes from."""
    if term.unit == "1" and all(name in GRIPPERS for name in term.elements):
        return [_Element(-1, GRIPPERS[name]) for name in term.elements]
    names = RATES.get(term.unit, ())
    frames = (task.spec.base_frame, task.spec.tool_frame)
    if not names or not all(name in names for name in term.elements) or term.frame not in frames:
        raise ConfigError(
            f"task '{task.name}': no device moves the action '{term.name}' ({', '.join(term.elements)}, {term.unit}, "
            f"frame '{term.frame}'); a person can correct velocities and displacements of the tool, and a gripper"
        )
    first = 0 if names is LINEAR else 3
    period_s = 1.0 if term.unit.endswith("/s") else task.control_period_s
    in_tool_frame = term.frame != task.spec.base_frame
    return [_Element(first + names.index(name), period_s / term.scale, in_tool_frame) for name in term.elements]


def open_operator(name: str, task: Task) -> DeviceOperator:
    """The device called `name`, with its default settings, connected, at the robot of `task`.

    Raises:
        UnknownNameError: there is no such device.
        DeviceError: it is not there.
        ConfigError: it cannot move what the task's actions move.
    """
    entry = TELEOPERATORS.load(name)
    config = entry.config_type()()
    if any(field.name == "robot" for field in dataclasses.fields(config)):
        config = dataclasses.replace(config, robot=task.spec.name)
    operator = DeviceOperator(entry.open(config), task)
    operator.device.connect()
    return operator
