"""The Real-Time Data Exchange, protocol version 2, from the controller's side.

Every package: uint16 size including this header, uint8 type, payload; big-endian. Source: Universal Robots,
"Real-Time Data Exchange (RTDE) Guide".
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sim.devices.ur5e.config import CYCLE_S
from sim.devices.ur5e.controller import Controller
from sim.devices.ur5e.fields import FORMATS, Input, Output, inputs, outputs
from sim.devices.ur5e.network import Connection, Server

_HEADER = struct.Struct(">HB")
_TEXT_MAX = 255
ERROR_LEVEL = 1
"""Level of an error in a text message; 0 exception, 2 warning, 3 information."""
_SCALAR_TYPES = frozenset(("BOOL", "UINT8", "INT32", "UINT32", "UINT64", "DOUBLE"))


@dataclass
class _OutputRecipe:
    packer: struct.Struct
    sources: list[tuple[bool, Callable[[], Any]]]
    divider: int

    def pack(self, number: int) -> bytes:
        values: list[Any] = []
        for scalar, source in self.sources:
            if scalar:
                values.append(source())
            else:
                values.extend(source())
        return self.packer.pack(self.packer.size, ord("U"), number, *values)


@dataclass
class _InputRecipe:
    packer: struct.Struct
    targets: list[tuple[str, int, Callable[[Any], None]]]
    """Name, number of elements (0: a scalar), and where the value goes."""


@dataclass
class _Session:
    """What one client has set up."""

    started: bool = False
    refused: bool = False
    output: _OutputRecipe | None = None
    outputs_made: int = 0
    inputs: dict[int, _InputRecipe] = field(default_factory=dict)


class RtdeServer(Server):
    """RTDE for several clients.

    Args:
        controller: what it shows and drives.
    """

    def __init__(self, controller: Controller) -> None:
        super().__init__("virtual UR5e (RTDE)", controller.config.host, controller.config.rtde_port)
        self.refuse_inputs = False
        self.corrupt_packages = 0
        self.missized_packages = 0
        self.packages_sent = 0
        self.bad_packages = 0
        self._controller = controller
        self._outputs: dict[str, Output] = outputs(controller)
        self._inputs: dict[str, Input] = inputs(controller)
        self._sessions: dict[int, _Session] = {}
        self._handlers: dict[str, Callable[[Connection, _Session, bytes], None]] = {
            "V": self._version, "v": self._controller_version, "O": self._setup_outputs, "I": self._setup_inputs,
            "S": self._start, "P": self._pause, "U": self._write, "M": self._message,
        }  # fmt: skip

    def accepted(self, client: Connection) -> None:
        """A new client starts with nothing set up."""
        self._sessions[client.number] = _Session()

    def lost(self, client: Connection) -> None:
        """Its registers are free again."""
        self._sessions.pop(client.number, None)
        self._controller.inputs.release(client.number)

    def data(self, client: Connection) -> None:
        """Handle every complete package."""
        received, session = client.received, self._sessions[client.number]
        while len(received) >= _HEADER.size and not client.closed:
            size, kind = _HEADER.unpack_from(received)
            handler = self._handlers.get(chr(kind))
            if size < _HEADER.size or handler is None:
                self.bad_packages += 1
                client.close()
                return
            if len(received) < size:
                return
            payload = bytes(received[_HEADER.size : size])
            del received[:size]
            try:
                handler(client, session, payload)
            except (struct.error, UnicodeDecodeError):
                self.bad_packages += 1
                self.text(client, f"package '{chr(kind)}' of {size} bytes cannot be read")

    def publish(self) -> None:
        """Send each client its data package, and every error that the controller has put down."""
        while self._controller.errors:
            message = self._controller.errors.popleft()
            self._controller.log(message)
            for client in self.clients.values():
                self.text(client, message)
        for client in list(self.clients.values()):
            session = self._sessions[client.number]
            recipe = session.output
            if recipe is not None and session.started and self._controller.cycles % recipe.divider == 0:
                package = recipe.pack(session.outputs_made)
                if self.corrupt_packages > 0:
                    self.corrupt_packages -= 1
                    package = package[: _HEADER.size] + b"\xff" * (len(package) - _HEADER.size)
                if self.missized_packages > 0:
                    self.missized_packages -= 1
                    package = _HEADER.pack(len(package) + 1, ord("U")) + package[_HEADER.size :]
                self.packages_sent += 1
                self.send(client, package)

    def text(self, client: Connection, message: str, level: int = ERROR_LEVEL) -> None:
        """Send a text message."""
        body = message.encode("ascii", "replace")[:_TEXT_MAX]
        source = b"RTDE"
        self._reply(client, "M", bytes([len(body)]) + body + bytes([len(source)]) + source + bytes([level]))

    # --- packages

    def _reply(self, client: Connection, kind: str, payload: bytes) -> None:
        self.send(client, _HEADER.pack(_HEADER.size + len(payload), ord(kind)) + payload)

    def _version(self, client: Connection, session: _Session, payload: bytes) -> None:
        (version,) = struct.unpack(">H", payload)
        self._reply(client, "V", bytes([version == 2]))

    def _controller_version(self, client: Connection, session: _Session, payload: bytes) -> None:
        self._reply(client, "v", struct.pack(">4I", *self._controller.config.software_version))

    def _setup_outputs(self, client: Connection, session: _Session, payload: bytes) -> None:
        (frequency_hz,) = struct.unpack_from(">d", payload)
        names = _names(payload[8:])
        kinds = [self._outputs[name][0] if name in self._outputs else "NOT_FOUND" for name in names]
        session.output, session.refused = None, "NOT_FOUND" in kinds or not names
        if not session.refused:
            session.outputs_made = session.outputs_made % 255 + 1
            layout = ">HBB" + "".join(FORMATS[kind] for kind in kinds)
            sources = [(kind in _SCALAR_TYPES, self._outputs[name][1]) for name, kind in zip(names, kinds, strict=True)]
            rate_hz = 1.0 / CYCLE_S
            divider = round(rate_hz / min(max(frequency_hz, 1.0), rate_hz)) if frequency_hz > 0.0 else 1
            session.output = _OutputRecipe(struct.Struct(layout), sources, divider)
        number = 0 if session.refused else session.outputs_made
        self._reply(client, "O", bytes([number]) + ",".join(kinds).encode())

    def _setup_inputs(self, client: Connection, session: _Session, payload: bytes) -> None:
        names = _names(payload)
        kinds = [self._inputs[name][0] if name in self._inputs else "NOT_FOUND" for name in names]
        if "NOT_FOUND" not in kinds:
            registers = self._controller.inputs
            kinds = [
                kind if not self.refuse_inputs and registers.claim(name, client.number) else "IN_USE"
                for name, kind in zip(names, kinds, strict=True)
            ]
        number = 0
        if names and "NOT_FOUND" not in kinds and "IN_USE" not in kinds:
            number = len(session.inputs) + 1
            layout = ">B" + "".join(FORMATS[kind] for kind in kinds)
            targets = [
                (name, 0 if kind in _SCALAR_TYPES else int(FORMATS[kind][:-1]), self._inputs[name][1])
                for name, kind in zip(names, kinds, strict=True)
            ]
            session.inputs[number] = _InputRecipe(struct.Struct(layout), targets)
        self._reply(client, "I", bytes([number]) + ",".join(kinds).encode())

    def _start(self, client: Connection, session: _Session, payload: bytes) -> None:
        session.started = not session.refused
        self._reply(client, "S", bytes([session.started]))

    def _pause(self, client: Connection, session: _Session, payload: bytes) -> None:
        session.started = False
        self._reply(client, "P", b"\x01")

    def _write(self, client: Connection, session: _Session, payload: bytes) -> None:
        recipe = session.inputs.get(payload[0]) if payload else None
        if recipe is None or len(payload) != recipe.packer.size:
            self.bad_packages += 1
            self.text(client, "input package does not match a recipe")
            return
        values, at = recipe.packer.unpack(payload), 1
        written_s, now_s = self._controller.inputs.written_s, self._controller.time_s
        for name, count, target in recipe.targets:
            target(values[at : at + count] if count else values[at])
            at += count or 1
            written_s[name] = now_s

    def _message(self, client: Connection, session: _Session, payload: bytes) -> None:
        length = payload[0] if payload else 0
        self._controller.log(f"RTDE client: {payload[1 : 1 + length].decode('ascii', 'replace')}")


def _names(payload: bytes) -> list[str]:
    """Variable names joined by commas; a trailing comma is tolerated."""
    return [name.strip() for name in payload.decode("ascii").split(",") if name.strip()]
