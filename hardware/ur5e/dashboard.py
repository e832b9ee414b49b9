"""A client of the controller's dashboard server: one text line per command, one per reply.

Source: Universal Robots, "Dashboard Server e-Series".
"""

from __future__ import annotations

import contextlib
import socket

from hardware.errors import DeviceNotConnectedError, ProtocolError

_CHECK = "the robot's address and that the dashboard server is enabled under Settings > Security > Services"
_LINE_MAX_BYTES = 4096


class DashboardClient:
    """One connection; every call waits for its reply, so none belongs into a control loop.

    Args:
        host: address of the controller.
        port: 29999 on a robot.
        timeout_s: longest wait for the connection and for each reply [s].

    Raises:
        DeviceNotConnectedError: nothing answers.
    """

    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self.address = f"{host}:{port}"
        self._buffer = b""
        try:
            self._socket = socket.create_connection((host, port), timeout=timeout_s)
            self.greeting = self._line()
        except OSError as error:
            raise DeviceNotConnectedError("UR5e (dashboard)", self.address, f"{_CHECK} ({error})") from error

    def __enter__(self) -> DashboardClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def request(self, command: str) -> str:
        """The reply to `command`.

        Raises:
            DeviceNotConnectedError: no reply in time, or the connection broke.
        """
        try:
            self._socket.sendall(command.encode("ascii") + b"\n")
            return self._line()
        except OSError as error:
            raise DeviceNotConnectedError(
                "UR5e (dashboard)", self.address, f"{_CHECK} (no reply to '{command}': {error})"
            ) from error

    def robot_mode(self) -> str:
        """POWER_OFF, IDLE, RUNNING, ..."""
        return self._after_colon("robotmode")

    def safety_status(self) -> str:
        """NORMAL, PROTECTIVE_STOP, ROBOT_EMERGENCY_STOP, ..."""
        return self._after_colon("safetystatus")

    def in_remote_control(self) -> bool:
        """Whether the teach pendant leaves control to the network."""
        return self.request("is in remote control").strip().lower() == "true"

    def polyscope_version(self) -> str:
        """Version of the controller's software, as it words it."""
        return self.request("PolyscopeVersion")

    def power_on(self) -> str:
        """Switch the motors on; the brakes stay closed."""
        return self.request("power on")

    def brake_release(self) -> str:
        """Release the brakes."""
        return self.request("brake release")

    def unlock_protective_stop(self) -> str:
        """Release a protective stop; refused within 5 s of its occurrence."""
        return self.request("unlock protective stop")

    def close_safety_popup(self) -> str:
        """Close the message that a protective stop opens on the teach pendant."""
        return self.request("close safety popup")

    def stop_program(self) -> str:
        """Stop the running program."""
        return self.request("stop")

    def close(self) -> None:
        """Close the connection. Idempotent, never raises."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def _after_colon(self, command: str) -> str:
        reply = self.request(command)
        _, colon, value = reply.partition(":")
        if not colon:
            raise ProtocolError(f"the dashboard answers '{command}' with '{reply}'")
        return value.strip()

    def _line(self) -> str:
        while b"\n" not in self._buffer:
            data = self._socket.recv(_LINE_MAX_BYTES)
            if not data:
                raise ConnectionResetError("closed by the controller")
            self._buffer += data
            if len(self._buffer) > _LINE_MAX_BYTES:
                raise ProtocolError(f"the dashboard sends a line of more than {_LINE_MAX_BYTES} bytes")
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode("utf-8", "replace").strip()
