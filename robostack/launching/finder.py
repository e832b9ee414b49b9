"""Finds launch files: in the source tree, in this Python environment, and along the ament prefix path."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from hardware.errors import ConfigError, UnknownNameError
from hardware.robot import require_driver
from robostack.launching.description import LaunchDescription

SUFFIX = ".launch.py"


def launch_folders() -> list[Path]:
    """Folders that may hold launch files; an earlier one wins."""
    prefixes = [sys.prefix, *os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)]
    installed = [Path(prefix) / "share" / "robostack" / "launch" for prefix in prefixes if prefix]
    return [Path(__file__).resolve().parents[2] / "launch", *installed]


def launch_files() -> dict[str, Path]:
    """Name ("ur5e"; underscores of the file name as dashes) -> launch file."""
    found: dict[str, Path] = {}
    for folder in launch_folders():
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            found.setdefault(path.name.removesuffix(SUFFIX).replace("_", "-"), path)
    return found


def load_launch(name: str) -> LaunchDescription:
    """The description in the launch file called `name`.

    Raises:
        UnknownNameError: there is no such file.
        ConfigError: the file has no `DESCRIPTION`, or `name` is a robot that exists in simulation only.
    """
    files = launch_files()
    if name not in files:
        require_driver(name)
        raise UnknownNameError("launch file", name, files)
    # By path: the folder is no package, because `launch` is the name of ROS's own module.
    spec = importlib.util.spec_from_file_location(f"robostack_launch_file_{name}", files[name])
    if spec is None or spec.loader is None:
        raise ConfigError(f"{files[name]} cannot be read as a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    description = getattr(module, "DESCRIPTION", None)
    if not isinstance(description, LaunchDescription):
        raise ConfigError(f"{files[name]} defines no DESCRIPTION = LaunchDescription(...)")
    return description


def resolve_arguments(description: LaunchDescription, given: dict[str, str]) -> dict[str, str]:
    """All arguments of a launch file with the values given, else their defaults.

    Raises:
        UnknownNameError: the launch file has no such argument.
        ConfigError: a value is not among the choices.
    """
    known = {argument.name: argument for argument in description.arguments}
    for name, value in given.items():
        if name not in known:
            raise UnknownNameError("launch argument", name, known)
        choices = known[name].choices
        if choices and value not in choices:
            raise ConfigError(f"{name} = '{value}'; choose one of {', '.join(choices)}")
    return {name: given.get(name, argument.default) for name, argument in known.items()}
