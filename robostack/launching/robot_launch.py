"""The launch description that every robot with a driver and a virtual device shares."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hardware.errors import ConfigError
from robostack.launching.description import Argument, LaunchDescription, NodeSpec, ParameterValue, ProcessSpec
from robostack.launching.parameter_file import parameters_of
from sim.devices.device import DEVICES, DeviceEntry


def robot_launch(
    robot: str, task: str = "", parameter_file: Path | None = None, address: str = "host"
) -> LaunchDescription:
    """A driver node, optionally a virtual device under it and a policy node on top.

    Args:
        robot: registry name; its virtual device, if it has one, is registered under the same name.
        task: default task of the policy; "" for a robot that is launched without one, such as a mobile base.
        parameter_file: ROS parameter file of the nodes; the arguments of the launch file win over it.
        address: field of the driver's configuration that says where the robot is ("host", "port"); the argument of
            the launch file has the same name.
    """
    arguments = (
        Argument("virtual", "false", "start a virtual device and drive that one", ("false", "true")),
        Argument(address, "", "address of the robot; empty, with virtual: where the virtual device listens by default"),
        Argument("virtual_seed", "0", "seed of the hidden dynamics of the virtual device, where it has such a seed"),
        *(_policy_arguments(task) if task else ()),
        Argument("report_path", "", "file for the driver's JSON report; empty: none"),
        Argument("namespace", "", "ROS namespace of the nodes"),
        Argument("params_file", str(parameter_file or ""), "ROS parameter file; empty: the nodes' defaults"),
    )

    def describe(values: Mapping[str, str]) -> list[ProcessSpec | NodeSpec]:
        items: list[ProcessSpec | NodeSpec] = []
        file = Path(values["params_file"]) if values["params_file"] else None
        driver = parameters_of(file, "driver") if file else {}
        driver |= {"robot": robot, "report_path": values["report_path"]}
        if values["virtual"] == "true":
            process, reach = _virtual(robot, address, values)
            items.append(process)
            driver |= reach
        elif values[address]:
            driver[f"driver.{address}"] = values[address]
        else:
            file_name = f"{robot.replace('-', '_')}.launch.py"
            raise ConfigError(
                f"give the address of the robot ({address}), or start a virtual one: "
                f"robostack launch {robot} --virtual, ros2 launch robostack {file_name} virtual:=true"
            )
        items.append(NodeSpec("driver", "robostack.nodes.driver_node", driver, namespace=values["namespace"]))
        if values.get("policy"):
            policy = (parameters_of(file, "policy") if file else {}) | _policy(values)
            items.append(NodeSpec("policy", "robostack.nodes.policy_node", policy, namespace=values["namespace"]))
        return items

    optional = ", with an optional policy" if task else ""
    return LaunchDescription(f"{robot}, physical or virtual{optional}", arguments, describe)


def _policy_arguments(task: str) -> tuple[Argument, ...]:
    """What the policy node is started with."""
    return (
        Argument("task", task, "task that the policy runs"),
        Argument("policy", "", "checkpoint folder, ONNX file, or 'scripted'; empty: only the driver"),
        Argument("episodes", "10", "number of episodes"),
        Argument("seed", "0", "seed of start poses and goals"),
        Argument(
            "to_start", "true", "whether each episode begins with a slow motion to a start pose", ("true", "false")
        ),
        Argument("pause_s", "0.5", "rest before each episode [s]"),
        Argument("results_path", "", "file that gets one line of JSON per episode; empty: none"),
    )


def _virtual(robot: str, address: str, values: Mapping[str, str]) -> tuple[ProcessSpec, dict[str, ParameterValue]]:
    """The virtual device, and the driver's parameters that reach it."""
    entry: DeviceEntry = DEVICES.load(robot)
    config: Any = entry.config_type()()
    fields = {field.name for field in dataclasses.fields(config)}
    flags: list[str] = []
    if values[address]:
        config = dataclasses.replace(config, **{address: values[address]})
        flags += [f"--{address.replace('_', '-')}", values[address]]
    if "seed" in fields:
        flags += ["--seed", str(_integer(values, "virtual_seed"))]
    process = ProcessSpec(f"virtual_{robot}", "sim.devices.run", (robot, *flags), ready_line=f"ready {robot}")
    reach: dict[str, ParameterValue] = {}
    for name, value in entry.driver_config(config).items():
        if not isinstance(value, bool | int | float | str):
            raise ConfigError(
                f"the device of '{robot}' gives driver.{name} = {json.dumps(value)}; a ROS parameter is plain"
            )
        reach[f"driver.{name}"] = value
    return process, reach


def _policy(values: Mapping[str, str]) -> dict[str, ParameterValue]:
    return {
        "task": values["task"],
        "policy": values["policy"],
        "episodes": _integer(values, "episodes"),
        "seed": _integer(values, "seed"),
        "to_start": values["to_start"] == "true",
        "pause_s": _number(values, "pause_s"),
        "results_path": values["results_path"],
    }


def _integer(values: Mapping[str, str], name: str) -> int:
    try:
        return int(values[name])
    except ValueError as error:
        raise ConfigError(f"{name} = '{values[name]}' is no whole number") from error


def _number(values: Mapping[str, str], name: str) -> float:
    try:
        return float(values[name])
    except ValueError as error:
        raise ConfigError(f"{name} = '{values[name]}' is no number") from error
