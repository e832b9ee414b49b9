"""The one error tree of the stack: each error says what happened, what is valid, and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class RobostackError(Exception):
    """Root of every error this stack raises on purpose."""


class UnknownNameError(RobostackError):
    """A name that nothing is registered under; lists the names that exist.

    Args:
        kind: what was looked up, in the singular ("robot", "joint", "task").
        name: the name that was given.
        available: the names that exist.
    """

    def __init__(self, kind: str, name: str, available: Iterable[str]) -> None:
        self.kind, self.name, self.available = kind, name, tuple(sorted(available))
        nearest = difflib.get_close_matches(name, self.available, n=1)
        hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
        names = ", ".join(self.available) if self.available else "(none)"
        super().__init__(f"unknown {kind} '{name}'.{hint} Available: {names}")


class DuplicateNameError(RobostackError):
    """Two things were registered under one name."""

    def __init__(self, kind: str, name: str, first: str, second: str) -> None:
        super().__init__(f"{kind} '{name}' is registered twice: by {first} and by {second}. Rename or uninstall one.")


class ConfigError(RobostackError):
    """A configuration that cannot be read: unknown key, wrong type, value out of range."""


class MissingExtraError(RobostackError):
    """An optional dependency is not installed; names the extra that brings it."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        self.package, self.extra = package, extra
        super().__init__(
            f"{purpose} needs '{package}', which is not installed. "
            f"Install it with: pip install 'robostack-learning[{extra}]'"
        )


class DeviceError(RobostackError):
    """Root of what a device or its connection can do wrong."""


class DeviceNotConnectedError(DeviceError):
    """No connection to the device, or it broke.

    Args:
        device: name of the device.
        address: the address tried ("127.0.0.1:30004", a serial port path).
        check: what the person should check next.
    """

    def __init__(self, device: str, address: str, check: str) -> None:
        self.device, self.address = device, address
        super().__init__(f"{device} is not connected at {address}. Check: {check}")


class ProtocolError(DeviceError):
    """The other end sent something that its protocol does not allow, or refused a request."""


class DeviceFaultError(DeviceError):
    """The device reports a state in which it will not move (protective stop, emergency stop, ...)."""

    def __init__(self, device: str, fault: str, recovery: str) -> None:
        self.device, self.fault = device, fault
        super().__init__(f"{device} reports {fault}. To recover: {recovery}")


class StaleDataError(DeviceError):
    """Data is older than its reader may accept."""

    def __init__(self, source: str, age_s: float, limit_s: float) -> None:
        self.source, self.age_s, self.limit_s = source, age_s, limit_s
        super().__init__(f"{source} is stale: {age_s * 1e3:.1f} ms old, limit {limit_s * 1e3:.1f} ms")


class AddressInUseError(DeviceError):
    """A server cannot listen: the port is taken."""

    def __init__(self, what: str, address: str) -> None:
        super().__init__(
            f"{what} cannot listen on {address}: the address is in use. "
            "Stop the other process, or choose another host (127.0.0.2, 127.0.0.3, ...) or port."
        )


class LimitViolationError(RobostackError):
    """A value lies outside its bounds.

    Args:
        what: the quantity, with its unit ("joint 'elbow' position [rad]").
        value: the value found.
        low: lower bound.
        high: upper bound.
    """

    def __init__(self, what: str, value: float, low: float, high: float) -> None:
        self.what, self.value, self.low, self.high = what, value, low, high
        super().__init__(f"{what} = {value:.6g} is outside [{low:.6g}, {high:.6g}]")


class NonFiniteError(RobostackError):
    """A number that must be finite is not."""


_LONGEST = 800
"""Length from which on a difference is not written out."""


class ContractMismatchError(RobostackError):
    """A policy, dataset or bag was made for another robot or task; shows the difference field by field."""

    def __init__(self, subject: str, differences: Sequence[tuple[str, object, object]]) -> None:
        self.differences = tuple(differences)
        rows = "\n".join(f"  {field}: {_difference(trained, offered)}" for field, trained, offered in differences)
        super().__init__(f"{subject} does not fit; {len(self.differences)} field(s) differ:\n{rows}")


def _difference(trained: object, offered: object) -> str:
    """What differs; of long sequences their lengths and the first entries that are not the same."""
    whole = f"trained with {trained!r}, offered {offered!r}"
    if len(whole) <= _LONGEST or not (isinstance(trained, tuple | list) and isinstance(offered, tuple | list)):
        return whole
    shorter = min(len(trained), len(offered))
    first = next((index for index in range(shorter) if trained[index] != offered[index]), shorter)
    entries = [repr(side[first]) if first < len(side) else "nothing" for side in (trained, offered)]
    return (
        f"trained with {len(trained)} entries, offered {len(offered)}; "
        f"at number {first + 1} trained with {entries[0]}, offered {entries[1]}"
    )


class CheckpointError(RobostackError):
    """A checkpoint cannot be read: missing file, damaged bytes, wrong version."""


class DatasetError(RobostackError):
    """A dataset or raw record cannot be read or written: missing file, damaged bytes, full disk, wrong version."""


class SimulationError(RobostackError):
    """A physics engine reported an error or produced non-finite numbers."""
