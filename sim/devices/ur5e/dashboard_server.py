"""The dashboard server: one line of text per request, one per answer.

Wording after Universal Robots, "Dashboard Server e-Series"; clients compare it literally.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sim.devices.ur5e.controller import Controller, RuntimeState, SafetyMode
from sim.devices.ur5e.network import Connection, Server

_LINE_MAX = 4096
_PROGRAM = "<unnamed>.urp"
_STATES = {RuntimeState.STOPPED: "STOPPED", RuntimeState.PLAYING: "PLAYING", RuntimeState.PAUSED: "PAUSED"}
_LOCAL = frozenset(("play", "stop", "pause", "power on", "power off", "brake release", "unlock protective stop"))
"""Commands that need remote control."""


class DashboardServer(Server):
    """The dashboard for several clients.

    Args:
        controller: what it shows and commands.
    """

    def __init__(self, controller: Controller) -> None:
        config = controller.config
        super().__init__("virtual UR5e (dashboard)", config.host, config.dashboard_port)
        self.commands = 0
        self._controller = controller
        version = ".".join(str(part) for part in config.software_version)
        fixed = {
            "polyscopeversion": f"URSoftware {version} (Mar 12 2024)",
            "version": version,
            "get robot model": "UR5",
            "get serial number": config.serial_number,
            "is in remote control": "true" if config.remote_control else "false",
            "get loaded program": "No program loaded",
            "isprogramsaved": f"true {_PROGRAM}",
            "get operational mode": "NONE",
            "get user role": "NONE",
            "close popup": "closing popup",
            "close safety popup": "closing safety popup",
        }
        self._answers: dict[str, Callable[[], str]] = {name: partial(str, text) for name, text in fixed.items()}
        self._answers |= {
            "robotmode": lambda: f"Robotmode: {controller.robot_mode.name}",
            "safetymode": lambda: f"Safetymode: {controller.safety_mode.name}",
            "safetystatus": lambda: f"Safetystatus: {controller.safety_mode.name}",
            "programstate": lambda: f"{_STATES[controller.runtime_state]} {_PROGRAM}",
            "running": lambda: f"Program running: {str(controller.runtime_state is RuntimeState.PLAYING).lower()}",
            "power on": lambda: _did(controller.power_on, "Powering on"),
            "power off": lambda: _did(controller.power_off, "Powering off"),
            "brake release": lambda: _did(controller.brake_release, "Brake releasing"),
            "play": lambda: "Starting program" if controller.play() else "Failed to execute: play",
            "pause": lambda: "Pausing program" if controller.pause_program() else "Failed to execute: pause",
            "stop": lambda: _did(controller.stop_program, "Stopped"),
            "unlock protective stop": self._unlock,
            "restart safety": self._restart_safety,
        }

    def accepted(self, client: Connection) -> None:
        """Greet."""
        self.send(client, b"Connected: Universal Robots Dashboard Server\n")

    def data(self, client: Connection) -> None:
        """Answer every complete line."""
        while b"\n" in client.received and not client.closed:
            line, _, rest = client.received.partition(b"\n")
            client.received = rest
            text = line.decode("utf-8", "replace").strip()
            if text:
                self.commands += 1
                self.send(client, self._answer(text).encode() + b"\n")
                if text.lower() == "quit":
                    client.close()
        if len(client.received) > _LINE_MAX:
            client.close()

    def _answer(self, text: str) -> str:
        name = text.lower()
        if name == "quit":
            return "Disconnected"
        if name in _LOCAL and not self._controller.config.remote_control:
            return f'Command is not allowed due to safety reasons. Command name: "{name}"'
        if name in self._answers:
            return self._answers[name]()
        word, _, argument = text.partition(" ")
        if word.lower() == "addtolog" and argument:
            self._controller.log(argument)
            return "Added log message"
        if word.lower() == "popup":
            return "showing popup"
        if word.lower() == "load":
            return f"File not found: {argument}"
        return f"could not understand: {text}"

    def _unlock(self) -> str:
        if self._controller.unlock_protective_stop():
            return "Protective stop releasing"
        return (
            "Cannot unlock protective stop until 5s after occurrence. "
            "Always inspect cause of protective stop before unlocking"
        )

    def _restart_safety(self) -> str:
        if self._controller.safety_mode is not SafetyMode.ROBOT_EMERGENCY_STOP:
            self._controller.power_off()
        return "Restarting safety"


def _did(action: Callable[[], None], answer: str) -> str:
    action()
    return answer
