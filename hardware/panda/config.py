"""There is no driver for this robot here: it exists in simulation only, and says so."""

from __future__ import annotations

from dataclasses import dataclass

from hardware.errors import ConfigError
from hardware.panda.spec import PANDA
from hardware.records import RobotState
from hardware.spec import RobotSpec

SIMULATION_ONLY = (
    "'panda' exists in simulation only: this version has no driver for the Franka Control Interface and no virtual "
    "controller. Train and evaluate its tasks instead, for example: robostack evaluate scripted --task panda-pick-cube"
)
"""What whoever tries to connect is told."""


@dataclass(frozen=True)
class PandaConfig:
    """Nothing to set: the robot exists in simulation only."""


class PandaRobot:
    """Refuses to connect, and says what to do instead.

    Args:
        config: nothing to set.
    """

    def __init__(self, config: PandaConfig | None = None) -> None:
        self.config = config if config is not None else PandaConfig()

    @property
    def spec(self) -> RobotSpec:
        """The robot's description."""
        return PANDA

    def connect(self) -> None:
        """Refuse.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(SIMULATION_ONLY)

    def read(self) -> RobotState:
        """Refuse.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(SIMULATION_ONLY)

    def send(self, command: object) -> None:
        """Refuse.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(SIMULATION_ONLY)

    def stop(self) -> None:
        """Nothing moves."""

    def disconnect(self) -> None:
        """Nothing is connected."""
