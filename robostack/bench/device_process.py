"""A virtual device in a process of its own, as a benchmark or a test needs it."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
import typing
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from hardware.errors import DeviceError
from sim.devices.device import DEVICES, DeviceEntry

_END_TIMEOUT_S = 10.0


class DeviceProcess:
    """One virtual device, started by `python -m sim.devices.run`; a context manager.

    Args:
        name: registry name of the device.
        host: address for a device that listens on a network; it must be one of 127/8 that nobody else uses.

    A device with a serial port gets it in a temporary folder. Other devices listen where they do by default.
    """

    def __init__(self, name: str, host: str) -> None:
        self.name, self.host = name, host
        self.driver_config: Mapping[str, object] = {}
        """Fields of the driver's configuration that reach the device, once it runs."""

    def __enter__(self) -> DeviceProcess:
        self._folder = tempfile.TemporaryDirectory(prefix="robostack-device-")
        self._errors = (Path(self._folder.name) / "errors").open("w+", encoding="utf-8")
        flags = address_flags(DEVICES.load(self.name), self.host, Path(self._folder.name))
        command = [sys.executable, "-m", "sim.devices.run", self.name, *flags]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
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

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.seek(0)
        lines = self._errors.read().split("\n")
        self._complaint = next((line.strip() for line in reversed(lines) if line.strip()), "")
        self._errors.close()
        self._folder.cleanup()


def address_flags(entry: DeviceEntry, host: str, folder: Path) -> list[str]:
    """The flags that give a device an address of its own.

    Args:
        entry: the device.
        host: address for one that listens on a network.
        folder: where the port of one on a serial line goes.
    """
    config: Any = entry.config_type()
    hints = typing.get_type_hints(config)
    names = {field.name for field in dataclasses.fields(config)}
    if "host" in names:
        return ["--host", host]
    if "port" in names and hints["port"] in (str, Path):
        return ["--port", str(folder / "port")]
    return []
