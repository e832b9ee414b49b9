"""The ports that take URScript: primary, secondary and real-time interface.

Only the receiving half: the state that the real interfaces stream is not sent (clients of the Real-Time Data Exchange,
ur-rtde among them, do not read it).
"""

from __future__ import annotations

import re

from sim.devices.ur5e.controller import Controller
from sim.devices.ur5e.network import Connection, Server

_OPENS = re.compile(r"\s*(?:def|sec|thread|while|if|for)\b")
_CLOSES = re.compile(r"\s*end\b")
_BLOCK_MAX = 1 << 20


class ScriptServer(Server):
    """One port that takes scripts.

    Args:
        interface: name of the interface, for messages.
        port: port to listen on.
        controller: what runs the scripts.
    """

    def __init__(self, interface: str, port: int, controller: Controller) -> None:
        super().__init__(f"virtual UR5e ({interface} interface)", controller.config.host, port)
        self._controller = controller
        self._lines: dict[int, list[str]] = {}
        self._depth: dict[int, int] = {}

    def lost(self, client: Connection) -> None:
        """An unfinished script is dropped."""
        self._lines.pop(client.number, None)
        self._depth.pop(client.number, None)

    def data(self, client: Connection) -> None:
        """Start each script as soon as its last line is there: the `end` of its block, or a single line."""
        whole, newline, rest = client.received.rpartition(b"\n")
        if not newline:
            if len(rest) > _BLOCK_MAX:
                client.close()
            return
        client.received = bytearray(rest)
        lines = self._lines.setdefault(client.number, [])
        for line in whole.decode("utf-8", "replace").split("\n"):
            if not lines and not line.partition("#")[0].strip():
                continue
            lines.append(line)
            depth = self._depth.get(client.number, 0) + bool(_OPENS.match(line)) - bool(_CLOSES.match(line))
            self._depth[client.number] = depth
            if depth <= 0:
                self._controller.start_program("\n".join(lines))
                lines.clear()
                self._depth[client.number] = 0
