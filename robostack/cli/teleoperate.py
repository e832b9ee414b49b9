"""`robostack teleoperate ROBOT`: move a robot by keyboard, gamepad, 3D mouse, leader arm or web page."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hardware.registry import load_object
from hardware.robot import ROBOTS
from hardware.teleoperator import TELEOPERATORS
from robostack.cli.command import Command
from robostack.cli.foreground import StatusLine, run_with_children, status_text
from robostack.cli.options import parse_options
from robostack.cli.output import console, print_next
from robostack.cli.robot_options import (
    foreground_options,
    launch_items,
    robot_of,
    teleop_config,
    teleop_field,
    teleop_type,
)
from robostack.launching.description import NodeSpec, ProcessSpec
from robostack.launching.finder import launch_files
from robostack.teleoperation.coupling import CouplingConfig, OperatorCoupling
from robostack.teleoperation.episodes import Episodes
from robostack.teleoperation.session import OperatorSession, SessionConfig

if TYPE_CHECKING:
    from robostack.nodes.lifecycle import ManagedNode


def main(arguments: list[str]) -> int:
    """Run the verb; 0 when the operator ended it."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print_usage("teleoperate")
        return 0 if arguments else 2
    robot, rest = robot_of(arguments, "teleoperate")
    device = teleop_type(rest)
    extra = [teleop_field(device), *coupling_fields()]
    options = parse_options(foreground_options(robot, extra, COMMAND.summary), f"teleoperate {robot}", rest)
    items, cameras = launch_items(robot, options)
    status = operate(robot, device, options, items, cameras)
    if status == 0:
        print_next(f"robostack record {robot} --teleop.type {device}")
    return status


def print_usage(verb: str) -> None:
    """Say what comes first."""
    robots = ", ".join(sorted(launch_files()))
    console().print(
        f"usage: robostack {verb} ROBOT [--virtual] [--teleop.type DEVICE] [flags]   robots: {robots}   devices: "
        f"{', '.join(TELEOPERATORS.names())}\nrobostack {verb} ROBOT --teleop.type DEVICE --help lists the flags",
        markup=False,
    )


def coupling_fields() -> list[tuple[str, Any, Any]]:
    """The fields `coupling` and `session` of an options dataclass."""
    return [
        ("coupling", CouplingConfig, dataclasses.field(default_factory=CouplingConfig)),
        ("session", SessionConfig, dataclasses.field(default_factory=SessionConfig)),
    ]


def operate(
    robot: str,
    device: str,
    options: Any,
    items: Sequence[ProcessSpec | NodeSpec],
    cameras: tuple[str, ...],
    episodes: Episodes | None = None,
    task: str = "",
) -> int:
    """Start `items` and let the operator move the robot until the session ends; returns the exit status."""
    entry = ROBOTS.load(robot)
    config = teleop_config(device, options.teleop, robot)
    teleoperator = TELEOPERATORS.load(device).open(config)
    keys: Any = None
    if device != "keyboard":
        keyboard: Any = load_object("hardware.teleoperation.keyboard:Keyboard")
        keys = keyboard(dataclasses.replace(TELEOPERATORS.load("keyboard").config_type()(), motion=False))
    session = OperatorSession(teleoperator, OperatorCoupling(entry, options.coupling), keys, options.session)
    line = StatusLine()

    def create(ended: Any) -> ManagedNode:
        from robostack.nodes.teleoperation_node import TeleoperationNode, TeleoperationSetup

        setup = TeleoperationSetup(
            entry=entry,
            session=session,
            episodes=episodes,
            task=task,
            cameras=cameras,
            say=line.say,
            show=lambda status: line.show(status_text(status)),
            ended=ended,
        )
        return TeleoperationNode(setup)

    try:
        session.connect()  # before anything is started: a device that is missing costs nothing then
        line.say(device_help(teleoperator))
        return run_with_children(items, create, options.ros, options.namespace, line.say)
    finally:
        session.disconnect()
        line.close()


def device_help(teleoperator: Any) -> str:
    """How a device is used, in one line: what its module says, and the keys beside it."""
    keyboard = "hardware.teleoperation.keyboard"
    own = getattr(sys.modules[type(teleoperator).__module__], "HELP", "")
    if type(teleoperator).__module__ == keyboard:
        return str(own)
    keys = (
        "keys: right success, down failure, left record again, Esc finish, SPACE STOP, Enter reset, Tab follow or not"
    )
    return f"{own}\n{keys}".strip()


COMMAND = Command(summary="Move a robot by keyboard, gamepad, 3D mouse, leader arm or web page.", main=main)
