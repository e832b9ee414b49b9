"""The least that passes for a UR5e controller: written from the protocol's description, for faults no robot would show.

It shares no code with the driver. The full virtual robot is in `sim.devices`; this one can also misbehave.
"""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field

TYPES = {
    "timestamp": "DOUBLE",
    "actual_q": "VECTOR6D",
    "actual_qd": "VECTOR6D",
    "actual_TCP_pose": "VECTOR6D",
    "actual_current_as_torque": "VECTOR6D",
    "robot_mode": "INT32",
    "safety_status_bits": "UINT32",
    "runtime_state": "UINT32",
    "speed_scaling": "DOUBLE",
    "output_int_register_24": "INT32",
    "output_int_register_25": "INT32",
    "output_int_register_26": "INT32",
}
HOME = (3.1, -1.5, 1.5, -1.5, -1.5, 0.0)


@dataclass
class Peer:
    host: str
    dashboard_replies: dict[str, list[str]] = field(default_factory=dict)
    """Command -> replies in turn; the last one repeats."""
    unknown: tuple[str, ...] = ("actual_current_as_torque",)
    """Output variables answered with NOT_FOUND."""
    input_reply: bytes = b"\x01INT32,INT32" + b",DOUBLE" * 6
    version_reply: bytes = b"\x01"
    runs_programs: bool = True
    scripts: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    received: list[tuple] = field(default_factory=list)
    """(mode, counter, q1 .. q6) of every input package."""

    def __post_init__(self) -> None:
        replies = {
            "is in remote control": ["true"],
            "safetystatus": ["Safetystatus: NORMAL"],
            "robotmode": ["Robotmode: RUNNING"],
        }
        self.dashboard_replies = {**replies, **self.dashboard_replies}
        self.state: dict[str, object] = {
            "actual_q": HOME,
            "actual_qd": (0.0,) * 6,
            "actual_TCP_pose": (0.4, 0.1, 0.3, 0.0, 3.0, 0.0),
            "actual_current_as_torque": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0),
            "robot_mode": 7,
            "safety_status_bits": 1,
            "runtime_state": 1,
            "speed_scaling": 1.0,
            "output_int_register_24": 0,
            "output_int_register_25": 0,
            "output_int_register_26": 0,
        }
        self.silent = False
        self._sockets: list[socket.socket] = []
        self._open = True
        for port, serve in ((30004, self._rtde), (29999, self._dashboard), (30002, self._script)):
            listener = socket.create_server((self.host, port))
            self._sockets.append(listener)
            threading.Thread(target=self._accept, args=(listener, serve), daemon=True).start()

    def drop_connections(self) -> None:
        """Cut every connection, and take no new one."""
        self._open = False
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self, listener, serve) -> None:
        with suppress(OSError):
            while self._open:
                connection, _ = listener.accept()
                self._sockets.append(connection)
                threading.Thread(target=self._guarded, args=(serve, connection), daemon=True).start()

    def _guarded(self, serve, connection) -> None:
        with suppress(OSError):
            serve(connection)

    def _dashboard(self, connection) -> None:
        connection.sendall(b"Connected: Universal Robots Dashboard Server\n")
        for line in connection.makefile():
            command = line.strip()
            self.commands.append(command)
            replies = self.dashboard_replies.get(command, ["done"])
            connection.sendall((replies.pop(0) if len(replies) > 1 else replies[0]).encode() + b"\n")

    def _script(self, connection) -> None:
        text = ""
        while not text.endswith("\nend\n"):
            text += connection.recv(65536).decode()
        self.scripts.append(text)
        if self.runs_programs:
            run = int(re.search(r"register\(26, (\d+)\)", text).group(1))
            self.state |= {"output_int_register_25": 0, "output_int_register_26": run, "runtime_state": 2}
        connection.recv(1)

    def _rtde(self, connection) -> None:
        names: list[str] = []
        buffer = b""
        while data := connection.recv(65536):
            buffer += data
            while len(buffer) >= 3 and len(buffer) >= (size := int.from_bytes(buffer[:2], "big")):
                kind, payload, buffer = chr(buffer[2]), buffer[3:size], buffer[size:]
                if kind == "U":
                    self._take(struct.unpack(">Bii6d", payload)[1:])
                    continue
                if kind == "O":
                    names = payload[8:].decode().split(",")
                    types = ["NOT_FOUND" if name in self.unknown else TYPES[name] for name in names]
                    reply = b"\x01" + ",".join(types).encode()
                else:
                    version = struct.pack(">4I", 5, 15, 2, 0)
                    reply = {"V": self.version_reply, "v": version, "I": self.input_reply, "S": b"\x01"}[kind]
                connection.sendall(struct.pack(">HB", 3 + len(reply), ord(kind)) + reply)
                if kind == "S":
                    threading.Thread(target=self._guarded_stream, args=(connection, names), daemon=True).start()

    def _take(self, package: tuple) -> None:
        self.received.append(package)
        if self.state["runtime_state"] != 2:
            return
        mode, counter = package[:2]
        self.state["output_int_register_24"] = counter
        if mode == 1:
            self.state["output_int_register_25"] = 1
        elif mode == 2:
            self.state |= {"output_int_register_25": 3, "runtime_state": 1}

    def _guarded_stream(self, connection, names) -> None:
        with suppress(OSError):
            while self._open:
                time.sleep(0.002)
                if self.silent:
                    continue
                body = b"\x01"
                for name in names:
                    value = time.monotonic() if name == "timestamp" else self.state[name]
                    letter = {"DOUBLE": "d", "VECTOR6D": "6d", "INT32": "i", "UINT32": "I"}[TYPES[name]]
                    body += struct.pack(">" + letter, *(value if isinstance(value, tuple) else (value,)))
                connection.sendall(struct.pack(">HB", 3 + len(body), ord("U")) + body)
