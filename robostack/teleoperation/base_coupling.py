"""A robot on wheels driven by the same keys and sticks as a tool: forwards is x, sideways and turning is yaw."""

from __future__ import annotations

import numpy as np

from controllers.reference import BaseReference
from hardware.errors import ConfigError
from hardware.records import RobotState
from hardware.spec import RobotSpec
from hardware.teleoperator import OperatorCommand
from robostack.teleoperation.coupling import Coupled, CouplingConfig


class BaseCoupling:
    """See the module.

    Args:
        spec: the robot; has a base.
        config: scales.

    Raises:
        ConfigError: the robot has no base.
    """

    def __init__(self, spec: RobotSpec, config: CouplingConfig) -> None:
        if spec.base is None:
            raise ConfigError(f"{spec.name} has no base")
        self.base, self.config = spec.base, config

    def step(self, command: OperatorCommand, state: RobotState, factor: float, now_s: float) -> Coupled:
        """See `Coupling.step`."""
        linear, angular = (
            np.zeros(3) if part is None else np.asarray(part, dtype=np.float64)
            for part in (command.tool_linear_velocity, command.tool_angular_velocity)
        )
        base = self.base
        speed = float(np.clip(self.config.base_linear_scale * linear[0], -base.backward_max, base.forward_max))
        turn = float(angular[2] + self.config.base_turn_per_sideways * linear[1])
        turn = float(np.clip(turn, -base.yaw_rate_max, base.yaw_rate_max))
        period_s = 1.0 / self.config.rate_hz
        return Coupled(BaseReference(factor * speed, factor * turn, period_s, now_s), True)

    def release(self) -> None:
        """Nothing is kept between periods."""
