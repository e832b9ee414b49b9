"""What every robot driver offers, and how a robot is registered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from hardware.errors import ConfigError
from hardware.records import RobotState
from hardware.registry import Registry, load_object
from hardware.spec import RobotSpec


class Robot(Protocol):
    """A connection to one device. `spec` is readable before `connect`.

    `read` and `send` neither block nor wait: they are called once per control cycle by one thread. `stop` may be called
    from any thread and in any state.
    """

    @property
    def spec(self) -> RobotSpec:
        """The robot's description."""
        ...

    def connect(self) -> None:
        """Open the connection and bring the device to where it accepts commands, without moving it.

        Called again after a fault or a stop (the service `~/reset` does), it begins anew: it closes what is open,
        forgets old measurements and leaves a stop behind. A driver whose device needs more than that to be released,
        and a person's word for it, has a method `recover()` too, which `~/reset` then calls instead.

        Raises:
            DeviceNotConnectedError: nothing answers at the address.
            ProtocolError: something answers, but not as the device should, or it refuses a request.
            DeviceFaultError: the device is in a state that a person must clear first.
        """
        ...

    def read(self) -> RobotState:
        """The newest measurement.

        Raises:
            DeviceNotConnectedError: the connection is not open, or broke.
            StaleDataError: the newest measurement is older than `spec.state_age_max_s`.
        """
        ...

    def send(self, command: Any) -> None:
        """Hand one command to the device: a `JointCommand`, or a `BaseCommand` where `spec.base` is given.

        Raises:
            DeviceNotConnectedError: the connection is not open, or broke.
        """
        ...

    def stop(self) -> None:
        """The device's own safe reaction (controlled stop, damping). Idempotent; never raises, even half connected."""
        ...

    def disconnect(self) -> None:
        """Stop the device if it moves, then close the connection. Idempotent, never raises."""
        ...


@dataclass(frozen=True)
class RobotEntry:
    """How a robot registers: `ROBOT = RobotEntry(...)` at the top of its folder's `__init__.py`."""

    spec: RobotSpec
    """The robot's description."""
    model: Path
    """Its first-party MJCF file."""
    driver: str
    """"module:Class" of its driver; imported only when opened. The class takes one argument, its configuration."""
    config: str
    """"module:Class" of the driver's configuration, a frozen dataclass whose defaults reach the robot as delivered."""
    summary: str
    """One line for `robostack list robots`."""
    simulation_only: str = ""
    """For a robot without a driver, whose `driver` and `config` are empty: why, and what to do instead."""

    def config_type(self) -> type[Any]:
        """The configuration dataclass of the driver.

        Raises:
            ConfigError: the robot exists in simulation only.
        """
        if self.simulation_only:
            raise ConfigError(self.simulation_only)
        return cast(type[Any], load_object(self.config))

    def open(self, config: object | None = None) -> Robot:
        """A driver, not yet connected, with `config` (default: the configuration's defaults).

        Raises:
            ConfigError: the robot exists in simulation only.
        """
        config = config if config is not None else self.config_type()()
        if self.simulation_only:
            raise ConfigError(self.simulation_only)
        return cast(Callable[[object], Robot], load_object(self.driver))(config)


def require_driver(name: str) -> None:
    """Refuse a robot that exists in simulation only; for what else is unknown this says nothing.

    Raises:
        ConfigError: `name` is such a robot; the message says what to do instead.
    """
    if name in ROBOTS.names() and (reason := ROBOTS.load(name).simulation_only):
        raise ConfigError(reason)


ROBOTS: Registry[RobotEntry] = Registry("robot", "hardware", "ROBOT")
"""Every robot: folders of this room, and entry points of the group `robostack.robots`."""
