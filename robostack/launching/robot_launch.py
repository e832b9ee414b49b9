"""The launch description that every robot with a driver and a virtual device shares."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hardware.errors import ConfigError
from robostack.launching.cameras import CAMERAS_ARGUMENT, camera_nodes
from robostack.launching.description import Argument, LaunchDescription, NodeSpec, ParameterValue, ProcessSpec
from robostack.launching.parameter_file import parameters_of
from sim.devices.device import DEVICES, DeviceEntry

LEARNING_RESETS_MAX = 100
"""Faults that a learning policy clears itself at a virtual robot where nothing else is said."""


def robot_launch(
    robot: str,
    task: str = "",
    parameter_file: Path | None = None,
    address: str = "host",
    device_options: tuple[Argument, ...] = (),
) -> LaunchDescription:
    """A driver node, optionally a virtual device under it and a policy node on top.

    Args:
        robot: registry name; its virtual device, if it has one, is registered under the same name.
        task: default task of the policy; "" for a robot that has none.
        parameter_file: ROS parameter file of the nodes; the arguments of the launch file win over it.
        address: field of the driver's configuration that says where the robot is ("host", "port"); the argument of
            the launch file has the same name.
        device_options: further fields of the virtual device's configuration; the arguments are called virtual_<field>.
    """
    arguments = (
        Argument("virtual", "false", "start a virtual device and drive that one", ("false", "true")),
        Argument(address, "", "address of the robot; empty, with virtual: where the virtual device listens by default"),
        Argument("virtual_seed", "0", "seed of the hidden dynamics of the virtual device, where it has such a seed"),
        *(dataclasses.replace(option, name=f"virtual_{option.name}") for option in device_options),
        *(_policy_arguments(task) if task else ()),
        CAMERAS_ARGUMENT,
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
            process, reach = _virtual(robot, address, values, tuple(option.name for option in device_options))
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
        items += camera_nodes(values["cameras"], robot, values["namespace"])
        if values.get("policy") or values.get("learn"):
            policy = (parameters_of(file, "policy") if file else {}) | _policy(values)
            resets = _integer(values, "virtual_resets") if values["virtual_resets"] else 0
            if values["virtual"] == "true" and values["learn"]:
                resets = resets or LEARNING_RESETS_MAX
            if resets and values["virtual"] != "true":
                raise ConfigError("virtual_resets: the faults of a physical robot are cleared by a person")
            if resets:
                policy["resets_max"] = resets
            items.append(NodeSpec("policy", "robostack.nodes.policy_node", policy, namespace=values["namespace"]))
        return items

    optional = ", with an optional policy" if task else ""
    return LaunchDescription(f"{robot}, physical or virtual{optional}", arguments, describe)


def _policy_arguments(task: str) -> tuple[Argument, ...]:
    """What the policy node is started with."""
    return (
        Argument("task", task, "task that the policy runs"),
        Argument("policy", "", "checkpoint folder, ONNX file, or 'scripted'; empty, without learn: only the driver"),
        Argument("learn", "", "learner that learns while it acts (avg, intentional), or 'remote'; empty: none"),
        Argument("learn_address", "", "learn remote: address of `robostack learn TASK`, host:port"),
        Argument("learn_keys", "", "learn remote: folder of keys, or the robot's part of it"),
        Argument("learn_silence_s", "60", "learn remote: silence of the learner after which no episode begins [s]"),
        Argument("learn_minutes", "10", "learn: time of acting over all starts of the run [min]; 0: episodes count"),
        Argument("learn_dir", "", "learn: run folder; empty: runs/<task>-<learner>"),
        Argument("resume", "false", "learn: go on with the run in the folder", ("false", "true")),
        Argument("checkpoint", "", "learn: checkpoint of the same learner to begin from; empty: fresh weights"),
        Argument("learn_settings", "", "learn: settings of the learner as JSON; empty: the recommended ones"),
        Argument("update_budget", "0.25", "learn: share of the time left in a cycle that an update may take"),
        Argument("episodes", "10", "number of episodes; learn: only where learn_minutes is 0"),
        Argument("seed", "0", "seed of start poses and goals"),
        Argument(
            "to_start", "true", "whether each episode begins with a slow motion to a start pose", ("true", "false")
        ),
        Argument("person", "", "teleoperation device here that takes over while its switch is held; empty: none"),
        Argument("judge", "task", "who says what a success is: the task, or the person by keys", ("task", "person")),
        Argument("pause_s", "0.5", "rest before each episode [s]"),
        Argument(
            "virtual_resets",
            "",
            "faults that the policy node clears by itself at a virtual robot, which a busy computer stops now and "
            f"then; empty: {LEARNING_RESETS_MAX} where it learns, else 0",
        ),
        Argument("results_path", "", "file that gets one line of JSON per episode; empty: none"),
        Argument("policy_report_path", "", "file for the policy's JSON report; empty: none"),
    )


def _virtual(
    robot: str, address: str, values: Mapping[str, str], options: tuple[str, ...]
) -> tuple[ProcessSpec, dict[str, ParameterValue]]:
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
    for option in options:
        flags += [f"--{option.replace('_', '-')}", values[f"virtual_{option}"]]
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
    if values["policy"] and values["learn"]:
        raise ConfigError(
            f"policy = '{values['policy']}' and learn = '{values['learn']}': a policy either runs or is learned. "
            "To go on learning from a checkpoint: learn and checkpoint"
        )
    learn: dict[str, ParameterValue] = {
        "learn.learner": values["learn"],
        "learn.minutes": _number(values, "learn_minutes"),
        "learn.folder": values["learn_dir"],
        "learn.resume": values["resume"] == "true",
        "learn.checkpoint": values["checkpoint"],
        "learn.settings": values["learn_settings"],
        "learn.update_budget": _number(values, "update_budget"),
        "learn.address": values["learn_address"],
        "learn.keys": values["learn_keys"],
        "learn.silence_limit_s": _number(values, "learn_silence_s"),
    }
    return {
        **(learn if values["learn"] else {}),
        "task": values["task"],
        "policy": values["policy"],
        "episodes": _integer(values, "episodes"),
        "person": values["person"],
        "judge": values["judge"],
        "seed": _integer(values, "seed"),
        "to_start": values["to_start"] == "true",
        "pause_s": _number(values, "pause_s"),
        "results_path": values["results_path"],
        "report_path": values["policy_report_path"],
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
