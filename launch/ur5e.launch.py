"""A UR5e, physical or virtual, under its driver node, with a policy on top if one is named.

`ros2 launch robostack ur5e.launch.py virtual:=true policy:=scripted` where ROS's tools are installed,
`robostack launch ur5e --virtual --policy scripted` everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hardware.errors import ConfigError
from robostack.launching.description import Argument, LaunchDescription, NodeSpec, ProcessSpec
from robostack.launching.parameter_file import parameters_of

VIRTUAL_HOST = "127.0.0.2"
"""Where the virtual arm listens unless told otherwise."""


def describe(values: Mapping[str, str]) -> list[ProcessSpec | NodeSpec]:
    """What to start.

    Raises:
        ConfigError: the address of a physical robot is missing, or a number is none.
    """
    virtual = values["virtual"] == "true"
    host = values["host"] or (VIRTUAL_HOST if virtual else "")
    if not host:
        raise ConfigError("give the address of the arm, host:=192.168.1.10, or start a virtual one, virtual:=true")
    items: list[ProcessSpec | NodeSpec] = []
    if virtual:
        arguments = ("ur5e", "--host", host, "--seed", values["virtual_seed"])
        items.append(ProcessSpec("virtual_ur5e", "sim.devices.run", arguments, ready_line="ready ur5e"))
    file = Path(values["params_file"])
    driver = parameters_of(file, "driver") | {"driver.host": host, "report_path": values["report_path"]}
    items.append(NodeSpec("driver", "robostack.nodes.driver_node", driver, namespace=values["namespace"]))
    if values["policy"]:
        policy = parameters_of(file, "policy") | {
            "task": values["task"],
            "policy": values["policy"],
            "episodes": _integer(values, "episodes"),
            "seed": _integer(values, "seed"),
            "results_path": values["results_path"],
        }
        items.append(NodeSpec("policy", "robostack.nodes.policy_node", policy, namespace=values["namespace"]))
    return items


def _integer(values: Mapping[str, str], name: str) -> int:
    try:
        return int(values[name])
    except ValueError as error:
        raise ConfigError(f"{name} = '{values[name]}' is no whole number") from error


DESCRIPTION = LaunchDescription(
    summary="UR5e arm, physical or virtual, with an optional policy",
    arguments=(
        Argument("virtual", "false", "start a virtual arm and drive that one", ("false", "true")),
        Argument("host", "", f"address of the arm; empty: {VIRTUAL_HOST} if virtual"),
        Argument("virtual_seed", "0", "seed of the hidden dynamics of the virtual arm"),
        Argument("task", "ur5e-reach", "task that the policy runs"),
        Argument("policy", "", "checkpoint folder, ONNX file, or 'scripted'; empty: only the driver"),
        Argument("episodes", "10", "number of episodes"),
        Argument("seed", "0", "seed of start poses and goals"),
        Argument("results_path", "", "file that gets one line of JSON per episode; empty: none"),
        Argument("report_path", "", "file for the driver's JSON report; empty: none"),
        Argument("namespace", "", "ROS namespace of both nodes"),
        Argument("params_file", str(Path(__file__).with_name("ur5e.params.yaml")), "ROS parameter file"),
    ),
    describe=describe,
)
"""The one description behind `ros2 launch` and `robostack launch`."""


def generate_launch_description() -> Any:
    """What `ros2 launch` calls."""
    from robostack.launching.ros_launch import to_launch_description

    return to_launch_description(DESCRIPTION)
