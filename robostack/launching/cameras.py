"""Cameras of a launch, from one line: `{front: {kind: opencv, source: /dev/video0}, wrist: {kind: simulated}}`."""

from __future__ import annotations

import dataclasses

import yaml

from hardware.camera import CAMERAS
from hardware.errors import ConfigError, UnknownNameError
from hardware.yaml_core import parse_yaml
from robostack.launching.description import Argument, NodeSpec, ParameterValue

CAMERAS_ARGUMENT = Argument(
    "cameras", "", 'cameras by name, "{front: {kind: opencv, source: 0}}"; robostack list cameras shows the kinds'
)
_OF_THE_NODE = ("images", "jpeg_quality", "frame_id")
"""Settings that are the node's; all others are the camera's."""


def camera_nodes(text: str, robot: str, namespace: str) -> list[NodeSpec]:
    """One camera node per camera; the end of one does not end the launch, because the robot does not need it.

    Args:
        text: YAML mapping, camera name -> `kind`, settings of that kind, and optionally `images`, `jpeg_quality` and
            `frame_id`; "" for no cameras.
        robot: registry name, for cameras that draw the robot unless they name another.
        namespace: ROS namespace.

    Raises:
        ConfigError: not such a mapping.
        UnknownNameError: no such kind of camera, or no such setting of it.
    """
    try:
        cameras = parse_yaml(text) or {}
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"cameras: {error}; write for example {{front: {{kind: opencv, source: 0}}}}") from error
    if not isinstance(cameras, dict):
        raise ConfigError("cameras: write for example {front: {kind: opencv, source: 0}}")
    return [_node(str(name), settings, robot, namespace) for name, settings in cameras.items()]


def _node(name: str, settings: object, robot: str, namespace: str) -> NodeSpec:
    if not isinstance(settings, dict) or "kind" not in settings:
        raise ConfigError(f"camera '{name}' has no kind; {', '.join(CAMERAS.names())} are there")
    kind = str(settings["kind"])
    fields = {field.name: field for field in dataclasses.fields(CAMERAS.load(kind).config_type())}
    parameters: dict[str, ParameterValue] = {"kind": kind, "camera_name": name}
    if "robot" in fields:
        parameters["camera.robot"] = robot
    for key, value in settings.items():
        if key == "kind":
            continue
        if key not in fields and key not in _OF_THE_NODE:
            raise UnknownNameError(f"setting of camera '{name}'", str(key), (*fields, *_OF_THE_NODE))
        if isinstance(value, dict):
            raise ConfigError(f"camera '{name}': {key} is a value or a list of numbers, not {value!r}")
        text = key in fields and fields[key].type in ("str", "Path", "Path | None")
        if isinstance(value, list):
            value = [float(item) for item in value]
        parameters[key if key in _OF_THE_NODE else f"camera.{key}"] = str(value) if text else value
    module = "robostack.nodes.camera_node"
    return NodeSpec(f"{name}_camera", module, parameters, namespace=namespace, required=False)
