"""Flags of the verbs that run a robot in the foreground: those of its launch file, and the device's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_type_hints

import tyro

from hardware.config import field_docs
from hardware.errors import UnknownNameError
from hardware.teleoperator import TELEOPERATORS
from robostack.cli.launch import given_values, options_type
from robostack.launching.cameras import CAMERAS_ARGUMENT, camera_nodes
from robostack.launching.description import Argument, NodeSpec, ProcessSpec
from robostack.launching.finder import launch_files, load_launch
from robostack.launching.robot_launch import robot_launch


def robot_of(arguments: Sequence[str], verb: str) -> tuple[str, list[str]]:
    """The launch file that the first argument names, and the rest.

    Raises:
        UnknownNameError: it comes not first, or there is no such file.
    """
    if not arguments or arguments[0].startswith("-"):
        raise UnknownNameError(
            f"robot (it comes first: robostack {verb} ROBOT)", " ".join(arguments[:1]), launch_files()
        )
    if arguments[0] not in launch_files():
        raise UnknownNameError("robot", arguments[0], launch_files())
    return arguments[0], list(arguments[1:])


def foreground_options(robot: str, extra: Sequence[tuple[str, Any, Any]], summary: str) -> type[Any]:
    """A dataclass of the launch file's flags, without those of a policy, and of `extra` (name, type, field)."""
    description = load_launch(robot)
    base = options_type(dataclasses.replace(description, arguments=_arguments(robot)))
    kept = [(field.name, field.type, field) for field in dataclasses.fields(base)]
    made = dataclasses.make_dataclass("Options", [*extra, *kept], frozen=True)
    made.__doc__ = summary
    return made


def _arguments(robot: str) -> tuple[Argument, ...]:
    """Those of the launch file but for what only concerns a policy, and the cameras."""
    bare, full = ({argument.name for argument in robot_launch(robot, task).arguments} for task in ("", "any"))
    arguments = [argument for argument in load_launch(robot).arguments if argument.name not in full - bare]
    if not any(argument.name == CAMERAS_ARGUMENT.name for argument in arguments):
        arguments.append(CAMERAS_ARGUMENT)
    return tuple(arguments)


def launch_items(robot: str, options: Any) -> tuple[list[ProcessSpec | NodeSpec], tuple[str, ...]]:
    """What the launch file starts for these options, without a policy, and the names of the cameras.

    Raises:
        ConfigError: a value that cannot be used; no address, and not virtual.
    """
    description = load_launch(robot)
    shown = dataclasses.replace(description, arguments=_arguments(robot))
    given = given_values(shown, options)
    known = {argument.name for argument in description.arguments}
    values = {argument.name: given.get(argument.name, argument.default) for argument in description.arguments}
    items = description.describe(values)
    cameras = camera_nodes(given["cameras"], robot, given["namespace"])
    if "cameras" not in known:
        items += cameras
    return items, tuple(str(node.parameters["camera_name"]) for node in cameras)


def teleop_type(arguments: Sequence[str]) -> str:
    """The device that `--teleop.type` names; default: the keyboard.

    Raises:
        UnknownNameError: no such device.
    """
    name = "keyboard"
    for index, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if flag == "--teleop.type":
            name = value if equals else (list(arguments[index + 1 : index + 2]) or [""])[0]
    name = name.replace("_", "-")
    if name not in TELEOPERATORS.names():
        raise UnknownNameError("teleoperation device (--teleop.type)", name, TELEOPERATORS.names())
    return name


def teleop_field(name: str) -> tuple[str, Any, Any]:
    """The field `teleop` of an options dataclass: `type`, and what the device called `name` takes."""
    config: Any = TELEOPERATORS.load(name).config_type()
    texts = field_docs(config)
    devices = tuple(sorted({*TELEOPERATORS.names(), *(known.replace("-", "_") for known in TELEOPERATORS.names())}))
    fields: list[tuple[str, Any, Any]] = [
        (
            "type",
            Annotated[Literal[devices], tyro.conf.arg(help="device; the other flags below are those of this one")],
            dataclasses.field(default=name),
        )
    ]
    defaults = config()
    hints: dict[str, Any] = get_type_hints(config)
    for field in dataclasses.fields(config):
        if field.name != "robot":
            kind: Any = Annotated[hints[field.name], tyro.conf.arg(help=texts.get(field.name, ""))]
            fields.append((field.name, kind, dataclasses.field(default=getattr(defaults, field.name))))
    made = dataclasses.make_dataclass("TeleopOptions", fields, frozen=True)
    made.__doc__ = TELEOPERATORS.summary(name)
    return ("teleop", made, dataclasses.field(default_factory=made))


def teleop_config(name: str, options: Any, robot: str) -> Any:
    """The configuration of the device from its flags.

    Raises:
        ConfigError: a value that the device refuses.
    """
    config = TELEOPERATORS.load(name).config_type()
    values = {field.name: getattr(options, field.name) for field in dataclasses.fields(config) if field.name != "robot"}
    if any(field.name == "robot" for field in dataclasses.fields(config)):
        values["robot"] = robot
    return config(**values)
