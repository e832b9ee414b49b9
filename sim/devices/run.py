"""Run one virtual device as a process: `python -m sim.devices.run ur5e --host 127.0.0.3 --seed 3`.

Prints `ready <name> <json>` once the device listens. Lines on standard input control it, each is answered by one JSON
line: `status`, `faults`, `inject <fault> [value]`, `quit`. SIGINT and SIGTERM end it with exit status 0.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import os
import select
import signal
import sys
from collections.abc import Callable, Mapping, Sequence

import tyro

from hardware.errors import ConfigError, RobostackError
from hardware.robot import require_driver
from sim.devices.device import DEVICES, DeviceEntry, VirtualDevice

Hint = Callable[[str, str, str], str]
"""Name of the device, field of the driver's configuration that says where it is, its value -> a line for a person."""


def main(argv: Sequence[str] | None = None, hint: Hint | None = None) -> int:
    """Run the device that the first argument names until told to end.

    Args:
        argv: name of the device and flags of its configuration; default: the process's arguments.
        hint: gives a line that is written to standard error once the device listens.

    Returns:
        Exit status: 0 ended as asked, 1 the device could not start.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0].startswith("-"):
        _say(f"usage: robostack virtual DEVICE [flags]   devices: {', '.join(DEVICES.names())}")
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 1
    name = arguments[0]
    try:
        require_driver(name)
        entry = DEVICES.load(name)
        config = tyro.cli(entry.config_type(), args=arguments[1:], prog=f"robostack virtual {name}")
        return serve(name, entry, config, hint)
    except RobostackError as error:
        _say(str(error), sys.stderr.fileno())
        return 1


def serve(name: str, entry: DeviceEntry, config: object, hint: Hint | None = None) -> int:
    """Run one device until SIGINT, SIGTERM or the line `quit`.

    Raises:
        AddressInUseError: a port is taken.
        ConfigError: the address is no loopback address.
    """
    _require_loopback(getattr(config, "host", "127.0.0.1"))
    device = entry.open(config)
    wake_read, wake_write = os.pipe()
    signals = (signal.SIGINT, signal.SIGTERM)
    previous = [signal.signal(number, lambda *_: os.write(wake_write, b"x")) for number in signals]
    try:
        device.start()
        where = {key: value for key, value in _fields(config).items() if key == "host" or key.endswith("port")}
        where |= getattr(device, "addresses", {})  # what is known only once it runs, such as a pseudo terminal
        _say(f"ready {name} {json.dumps({**where, 'driver': dict(entry.driver_config(config))})}")
        if hint is not None:
            driver = entry.driver_config(config)
            address = next((field for field in ("host", "port") if field in driver), "")
            _say(hint(name, address, str(driver.get(address, ""))), sys.stderr.fileno())
        _control(device, wake_read)
    finally:
        device.stop()
        for number, handler in zip(signals, previous, strict=True):
            signal.signal(number, handler)
        os.close(wake_read)
        os.close(wake_write)
    return 0


def _require_loopback(host: str) -> None:
    """A virtual device obeys anyone who reaches it."""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ConfigError(
            f"virtual devices listen on loopback addresses only (127.0.0.1, 127.0.0.2, ...), not '{host}'"
        )


def _control(device: VirtualDevice, wake: int) -> None:
    """Obey the lines of standard input until a signal writes to `wake`. The end of the input ends nothing."""
    inputs, pending = [wake, sys.stdin.fileno()], b""
    while True:
        ready, _, _ = select.select(inputs, [], [])
        if wake in ready:
            return
        data = os.read(inputs[1], 4096)
        if not data:
            inputs = [wake]
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            words = line.decode("utf-8", "replace").split()
            if words == ["quit"]:
                return
            if words:
                _say(json.dumps(_obey(device, words), default=str))


def _obey(device: VirtualDevice, words: list[str]) -> Mapping[str, object]:
    """Carry out one line."""
    try:
        if words == ["status"]:
            return device.status()
        if words == ["faults"]:
            return {"faults": list(device.faults)}
        if words[0] == "inject" and len(words) in (2, 3):
            value = float(words[2]) if len(words) == 3 else 1.0
            device.inject(words[1], value)
            return {"injected": words[1], "value": value}
    except (RobostackError, ValueError) as error:
        return {"error": str(error)}
    return {"error": f"expected 'status', 'faults', 'inject FAULT [VALUE]' or 'quit', not '{' '.join(words)}'"}


def _fields(config: object) -> dict[str, object]:
    if not dataclasses.is_dataclass(config):
        return {}
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}


def _say(line: str, descriptor: int = 1) -> None:
    """Write one line, unbuffered; this process is a command line tool."""
    os.write(descriptor, line.encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
