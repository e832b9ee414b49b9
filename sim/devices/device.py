"""What every virtual device offers, and how one is registered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

from hardware.registry import Registry, load_object


class VirtualDevice(Protocol):
    """A device that a driver cannot tell from the real one."""

    @property
    def faults(self) -> tuple[str, ...]:
        """Names of the faults that `inject` knows."""
        ...

    def start(self) -> None:
        """Listen, and let physics run in real time, in threads of this process.

        Raises:
            AddressInUseError: a port is taken.
        """
        ...

    def inject(self, fault: str, value: float = 1.0) -> None:
        """Make `fault` happen now; `value` where the fault has a size, 0 ends a lasting one.

        Raises:
            UnknownNameError: the device has no such fault.
        """
        ...

    def status(self) -> Mapping[str, object]:
        """What the device itself sees (positions, mode, last command, counters), for tests and people."""
        ...

    def stop(self) -> None:
        """Close every port. Idempotent."""
        ...


@dataclass(frozen=True)
class DeviceEntry:
    """How a virtual device registers: `DEVICE = DeviceEntry(...)`, in a module or package named as the robot."""

    robot: str
    """Registry name of the robot it stands in for."""
    device: str
    """"module:Class"; the class takes one argument, its configuration."""
    config: str
    """"module:Class" of its configuration, a frozen dataclass with a default for every field."""
    driver_config: Callable[[Any], Mapping[str, object]]
    """Device configuration -> the fields of the driver's configuration that make a driver reach this device."""
    summary: str
    """One line for `robostack list devices`."""

    def config_type(self) -> type[Any]:
        """The configuration dataclass of the device."""
        return cast(type[Any], load_object(self.config))

    def open(self, config: object | None = None) -> VirtualDevice:
        """The device, not yet started."""
        device = cast(Callable[[object], VirtualDevice], load_object(self.device))
        return device(config if config is not None else self.config_type()())


DEVICES: Registry[DeviceEntry] = Registry("device", "sim.devices", "DEVICE")
"""Every virtual device: modules of `sim.devices`, and entry points of the group `robostack.devices`."""
