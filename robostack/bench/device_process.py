"""A virtual device in a process of its own, as a benchmark or a test needs it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import sys
import tempfile
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from hardware.errors import DeviceError
from sim.devices.device import DEVICES, DeviceEntry

_END_TIMEOUT_S = 10.0


class DeviceProcess:
    """One virtual device, started by `python -m sim.devices.run` and controlled by its lines; a context manager.

    Args:
        name: registry name of the device.
        flags: of its configuration ("--host", "127.0.0.9", ...).
    """

    def __init__(self, name: str, *flags: str) -> None:
        self.name, self.flags = name, flags
        self.driver_config: Mapping[str, object] = {}
        """Fields of the driver's configuration that reach the device, once it runs."""

    def __enter__(self) -> Self:
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8")
        command = [sys.executable, "-m", "sim.devices.run", self.name, *self.flags]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )
        line = self._line()
        if not line.startswith(f"ready {self.name} "):
            self._end()
            raise DeviceError(
                f"the virtual {self.name} did not start: {self._complaint or line.strip() or 'no reason'}"
            )
        self.driver_config = json.loads(line.split(" ", 2)[2])["driver"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def inject(self, fault: str, value: float = 1.0) -> None:
        """As `VirtualDevice.inject`.

        Raises:
            DeviceError: the device has no such fault, or has ended.
        """
        self._ask(f"inject {fault} {value}")

    def status(self) -> dict[str, Any]:
        """As `VirtualDevice.status`.

        Raises:
            DeviceError: the device has ended.
        """
        return self._ask("status")

    def kill(self) -> None:
        """End the process at once, as a power cut would."""
        self._process.kill()
        self._process.wait()

    def _ask(self, line: str) -> dict[str, Any]:
        try:
            if self._process.stdin is not None:
                self._process.stdin.write(line + "\n")
                self._process.stdin.flush()
            answer = json.loads(self._line())
        except (OSError, ValueError) as error:
            raise DeviceError(f"the virtual {self.name} does not answer: its process has ended") from error
        if "error" in answer:
            raise DeviceError(f"the virtual {self.name} does not do '{line}': {answer['error']}")
        return cast(dict[str, Any], answer)

    def _line(self) -> str:
        return self._process.stdout.readline() if self._process.stdout is not None else ""

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what was not yet written goes nowhere
                    pipe.close()
        self._errors.seek(0)
        lines = self._errors.read().split("\n")
        self._complaint = next((line.strip() for line in reversed(lines) if line.strip()), "")
        self._errors.close()


@contextlib.contextmanager
def device_somewhere(name: str, host: str, domain: int) -> Iterator[DeviceProcess]:
    """A virtual device at an address of its own, running; a serial port lies in a folder that is removed afterwards.

    Args:
        name: registry name of the device.
        host: address for one that listens on a network; it must be one of 127/8 that nobody else uses.
        domain: DDS domain for one that speaks DDS; nobody else must use it.

    Raises:
        DeviceError: it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="robostack-device-") as folder:
        flags = address_flags(DEVICES.load(name), host, domain, Path(folder))
        with DeviceProcess(name, *flags) as process:
            yield process


def address_flags(entry: DeviceEntry, host: str, domain: int, folder: Path) -> list[str]:
    """The flags that give a device an address of its own; none for one whose configuration has no field for it."""
    config: Any = entry.config_type()
    hints = typing.get_type_hints(config)
    names = {field.name for field in dataclasses.fields(config)}
    if "host" in names:
        return ["--host", host]
    if "domain" in names:
        return ["--domain", str(domain)]
    if "port" in names and hints["port"] in (str, Path):
        return ["--port", str(folder / "port")]
    return []
