"""A physical robot (or a virtual one behind its wire protocol) as a plant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controllers.loop import ControlLoop
from controllers.profiles import QUINTIC_VELOCITY
from controllers.reference import JointReference
from hardware.arrays import Array
from hardware.errors import ConfigError, DeviceError, DeviceFaultError
from hardware.records import RobotMode, RobotState
from hardware.spec import RobotSpec

_RECOVERY = "clear the cause at the robot, connect again if it asks for it, then reset the control loop's fault"


@dataclass(frozen=True)
class LivePlantConfig:
    """How a physical robot is brought to the start of an episode."""

    reset_speed_share: float = 0.2
    """Share of the joints' velocity limits that the motion to the start may use."""
    reset_tolerance: float = 0.02
    """Largest distance from the start at which a reset counts as done [rad]."""
    rest_speed: float = 0.02
    """Joint speed below which the robot counts as at rest [rad/s]."""
    rest_s: float = 0.1
    """How long it must be at rest [s]."""
    settle_timeout_s: float = 3.0
    """How long after the motion it may take to come to rest [s]."""


class LivePlant:
    """One robot under its control loop; see `controllers.plant.Plant`.

    Args:
        loop: started (or begun, where it has no thread and runs here, on a virtual clock for example).
        config: how resets move.
    """

    def __init__(self, loop: ControlLoop, config: LivePlantConfig | None = None) -> None:
        self.loop, self.config = loop, config if config is not None else LivePlantConfig()
        self._due_s = -np.inf

    @property
    def spec(self) -> RobotSpec:
        """The robot."""
        return self.loop.robot.spec

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """(): one robot."""
        return ()

    def state(self) -> RobotState:
        """The newest state.

        Raises:
            DeviceError: the loop was never started.
        """
        return self.loop.latest().state

    def reset(self, joint_position: Array, joint_velocity: Array, ids: Array | None = None) -> RobotState:
        """Move slowly to `joint_position` and wait until the robot rests there.

        Args:
            joint_position: (num_joints,) [rad].
            joint_velocity: (num_joints,) zeros.
            ids: None; there is one robot.

        Raises:
            ConfigError: a velocity that is not zero, or `ids`.
            DeviceError: the robot stopped, or did not arrive in time.
        """
        if ids is not None or np.any(np.asarray(joint_velocity) != 0.0):
            raise ConfigError("a physical robot resets alone and at rest: give no ids and zero velocities")
        self._raise_fault()
        config, now = self.config, self.loop.clock.now()
        start = np.asarray(self.loop.latest().state.joint_position)
        speed = config.reset_speed_share * self.spec.velocity_max
        duration = max(
            float(np.max(QUINTIC_VELOCITY * np.abs(joint_position - start) / speed)), 10 * self.loop.period_s
        )
        self.loop.set_reference(JointReference("position", joint_position, duration, created_s=now))
        self._wait_until(now + duration)
        self.loop.hold()
        rested_s, deadline = now + duration, now + duration + config.settle_timeout_s
        while True:
            self._wait_until(self.loop.clock.now() + 2 * self.loop.period_s)
            state, now = self.state(), self.loop.clock.now()
            error = np.abs(state.joint_position - joint_position)
            if np.max(np.abs(state.joint_velocity)) > config.rest_speed or np.max(error) > config.reset_tolerance:
                rested_s = now
            elif now - rested_s >= config.rest_s:
                self._due_s = -np.inf
                return state
            if now > deadline:
                worst = int(np.argmax(error))
                raise DeviceError(
                    f"{self.spec.name} did not come to rest at the start within {config.settle_timeout_s} s: joint "
                    f"'{self.spec.joint_names[worst]}' is {error[worst]:.4f} rad away. Check that nothing blocks it."
                )

    def follow(self, reference: JointReference) -> RobotState:
        """Follow `reference`; returns when its horizon ends.

        Calls that come on time keep the phase of the first: each horizon ends one `horizon_s` after the one before.

        Raises:
            DeviceFaultError: the device reports a stop.
            DeviceError: the loop stopped the robot; the message says why.
        """
        self._raise_fault()
        now = self.loop.clock.now()
        on_time = self._due_s <= now < self._due_s + reference.horizon_s
        self._due_s = (self._due_s if on_time else now) + reference.horizon_s
        self.loop.set_reference(reference)
        self._wait_until(self._due_s)
        return self.state()

    def _wait_until(self, deadline_s: float) -> None:
        self.loop.run_until(deadline_s)
        self._raise_fault()

    def _raise_fault(self) -> None:
        fault = self.loop.fault
        if fault is None:
            return
        if self.state().mode is not RobotMode.RUNNING:
            raise DeviceFaultError(self.spec.name, fault, _RECOVERY)
        raise DeviceError(f"{self.spec.name} was stopped: {fault}. To go on: {_RECOVERY}")
