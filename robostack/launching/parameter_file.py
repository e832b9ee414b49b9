"""Reads ROS parameter files, so that the launcher without ROS tools uses the same ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from hardware.errors import ConfigError
from robostack.launching.description import ParameterValue


def parameters_of(path: Path, node: str) -> dict[str, ParameterValue]:
    """The parameters that a ROS parameter file gives to `node`: those under "/**", then those under its name.

    Args:
        path: YAML file of the form `node: {ros__parameters: {name: value}}`.
        node: node name without namespace.

    Returns:
        Dotted name -> value.

    Raises:
        ConfigError: the file is missing or has another form.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"parameter file {path} cannot be read: {error}") from error
    if not isinstance(content, Mapping):
        raise ConfigError(f"parameter file {path} must map node names to ros__parameters")
    found: dict[str, ParameterValue] = {}
    for key in ("/**", f"/{node}", node):
        section = content.get(key)
        if section is None:
            continue
        if not isinstance(section, Mapping) or not isinstance(section.get("ros__parameters"), Mapping):
            raise ConfigError(f"parameter file {path}: '{key}' has no mapping 'ros__parameters'")
        found.update(_flat(section["ros__parameters"], ""))
    return found


def _flat(values: Mapping[str, Any], prefix: str) -> dict[str, ParameterValue]:
    flat: dict[str, ParameterValue] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat
