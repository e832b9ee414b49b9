"""A connection to the controller's RTDE server: set-up by request and reply, then streaming without waiting."""

from __future__ import annotations

import contextlib
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence

from hardware.errors import DeviceNotConnectedError, ProtocolError
from hardware.ur5e import rtde
from hardware.ur5e.rtde import PackageType

_CHECK = "the robot's address, its cable, and that RTDE is enabled under Settings > Security > Services"
_RECEIVE_BYTES = 65536


class RtdeClient:
    """One RTDE connection.

    Args:
        host: address of the controller.
        port: 30004 on a robot.
        timeout_s: longest wait for the connection and for each reply of the set-up [s].
    """

    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self.address = f"{host}:{port}"
        self.messages: deque[rtde.TextMessage] = deque(maxlen=16)
        """The last text messages of the controller."""
        self._timeout_s = timeout_s
        self._decoder = rtde.Decoder()
        self._output: rtde.Recipe | None = None
        self._input: rtde.Recipe | None = None
        try:
            self._socket = socket.create_connection((host, port), timeout=timeout_s)
        except OSError as error:
            raise DeviceNotConnectedError("UR5e (RTDE)", self.address, f"{_CHECK} ({error})") from error
        # Commands are small and late ones are worthless: do not let the kernel collect them.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def negotiate(self) -> tuple[int, int, int, int]:
        """Agree on the protocol version; the version of the controller's software.

        Raises:
            DeviceNotConnectedError: no reply.
            ProtocolError: the controller does not speak version 2, or this is no RTDE server.
        """
        if not rtde.parse_accepted(self._request(PackageType.PROTOCOL_VERSION, rtde.protocol_version_request())):
            raise ProtocolError("the controller does not speak RTDE version 2; update its software")
        version = self._request(PackageType.CONTROLLER_VERSION, rtde.encode(PackageType.CONTROLLER_VERSION))
        return rtde.parse_controller_version(version)

    def set_up_output(self, frequency_hz: float, names: Sequence[str]) -> None:
        """Choose what the controller sends.

        Raises:
            DeviceNotConnectedError: no reply.
            ProtocolError: a variable is refused; the message names it.
        """
        reply = self._request(PackageType.OUTPUT_SETUP, rtde.output_setup_request(frequency_hz, names))
        self._output = rtde.parse_setup_reply(names, reply)

    def set_up_input(self, names: Sequence[str]) -> None:
        """Choose what is sent to the controller. Raises as `set_up_output`."""
        reply = self._request(PackageType.INPUT_SETUP, rtde.input_setup_request(names))
        self._input = rtde.parse_setup_reply(names, reply)

    def start(self) -> None:
        """Let the controller send; from here on nothing waits.

        Raises:
            DeviceNotConnectedError: no reply.
            ProtocolError: the controller refuses.
        """
        if not rtde.parse_accepted(self._request(PackageType.START, rtde.encode(PackageType.START))):
            raise ProtocolError("the controller refuses to start RTDE")
        self._socket.setblocking(False)

    def newest(self) -> dict[str, rtde.Value] | None:
        """The newest data package that has arrived since the last call, or None. Older ones are dropped.

        Raises:
            DeviceNotConnectedError: the connection broke.
            ProtocolError: the bytes are no RTDE stream.
        """
        newest: bytes | None = None
        while True:
            try:
                data = self._socket.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                break
            except OSError as error:
                raise self._lost(str(error)) from error
            if not data:
                raise self._lost("closed by the controller")
            for kind, payload in self._decoder.feed(data):
                if kind == PackageType.DATA:
                    newest = payload
                elif kind == PackageType.TEXT:
                    self.messages.append(rtde.parse_text(payload))
        if newest is None or self._output is None:
            return None
        return self._output.unpack(newest)

    def send(self, values: Mapping[str, rtde.Value]) -> None:
        """Hand one data package to the kernel.

        Raises:
            DeviceNotConnectedError: the connection broke, or the controller has stopped reading.
        """
        if self._input is None:
            raise ProtocolError("no RTDE input recipe was set up")
        package = self._input.pack(values)
        try:
            sent = self._socket.send(package)
        except OSError as error:  # includes BlockingIOError: the controller has not read for a long time
            raise self._lost(str(error)) from error
        if sent != len(package):
            raise self._lost("the controller has stopped reading")

    def close(self) -> None:
        """Close the connection. Idempotent, never raises."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def _request(self, kind: PackageType, package: bytes) -> bytes:
        """Send `package` and wait for the reply of the same kind; data that is still under way is dropped."""
        deadline_s = time.monotonic() + self._timeout_s
        try:
            self._socket.settimeout(self._timeout_s)
            self._socket.sendall(package)
            while time.monotonic() < deadline_s:
                data = self._socket.recv(_RECEIVE_BYTES)
                if not data:
                    raise self._lost("closed by the controller")
                reply: bytes | None = None
                for received, payload in self._decoder.feed(data):
                    if received == kind and reply is None:
                        reply = payload
                    elif received == PackageType.TEXT:
                        self.messages.append(rtde.parse_text(payload))
                if reply is not None:
                    return reply
        except TimeoutError as error:
            raise self._silent(kind) from error
        except OSError as error:
            raise self._lost(str(error)) from error
        raise self._silent(kind)

    def _silent(self, kind: PackageType) -> DeviceNotConnectedError:
        return DeviceNotConnectedError(
            "UR5e (RTDE)", self.address, f"{_CHECK} (no reply to {kind.name} within {self._timeout_s} s)"
        )

    def _lost(self, why: str) -> DeviceNotConnectedError:
        return DeviceNotConnectedError(
            "UR5e (RTDE)", self.address, f"the robot's power and cable, then connect again ({why})"
        )
