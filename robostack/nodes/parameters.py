"""ROS parameters made from the same frozen dataclasses as the command line, and read back into them."""

from __future__ import annotations

import dataclasses
import enum
import math
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

from hardware.config import field_docs
from hardware.errors import ConfigError, UnknownNameError

T = TypeVar("T")
_BUILT_IN = ("use_sim_time", "start_type_description_service", "qos_overrides.")


def configuration_from(node: Node, config_type: type[T], prefix: str = "") -> T:
    """Declare one read-only parameter per field of a dataclass and return an instance with the values given.

    The name is the field's, behind `prefix` ("driver."); a nested dataclass adds a level. Default, type and
    description (the docstring under the field) come from the dataclass.

    Raises:
        ConfigError: a value has the wrong type, is not among the choices, or the dataclass refuses it.
    """
    hints = typing.get_type_hints(config_type)
    texts = field_docs(typing.cast(typing.Hashable, config_type))
    values: dict[str, Any] = {}
    for field in dataclasses.fields(typing.cast(Any, config_type)):
        if not field.init:
            continue
        name, hint = prefix + field.name, hints[field.name]
        if dataclasses.is_dataclass(hint):
            values[field.name] = configuration_from(node, typing.cast(type, hint), name + ".")
            continue
        default = _default_of(field)
        values[field.name] = _value_of(node, name, hint, default, texts.get(field.name, ""))
    try:
        return config_type(**values)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"parameters {prefix or 'of the node'}: {error}") from error


def refuse_unknown(node: Node) -> None:
    """Refuse parameters that were given but that nothing declared: ROS itself ignores a misspelled name.

    Raises:
        UnknownNameError: names the first one and those that exist.
    """
    declared = [name for name in node._parameters if not name.startswith("qos_overrides.")]
    for name in node._parameter_overrides:
        if name not in node._parameters and not name.startswith(_BUILT_IN):
            raise UnknownNameError(f"parameter of node '{node.get_name()}'", name, declared)


def _default_of(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return dataclasses.MISSING


def _value_of(node: Node, name: str, hint: Any, default: Any, text: str) -> Any:
    """Declare one parameter and convert what was given for it to the type of its field."""
    # Dynamic typing, because ROS refuses 100 for a float and cannot express "none"; the type is checked below.
    descriptor = ParameterDescriptor(description=text, read_only=True, dynamic_typing=True)
    choices = _choices(hint)
    if choices:
        descriptor.additional_constraints = f"one of {', '.join(map(str, choices))}"
    stored = _to_ros(default)
    parameter = node.declare_parameter(name, stored, descriptor)
    given = parameter.value
    if parameter.type_ == Parameter.Type.NOT_SET or given == stored:
        if default is dataclasses.MISSING:
            raise ConfigError(f"parameter '{name}' must be given: {text}")
        return default
    return _convert(name, hint, given)


def _to_ros(value: Any) -> Any:
    """A default as ROS can store it; None stays "not set"."""
    if value is None or value is dataclasses.MISSING:
        return None
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | list):
        return [_to_ros(item) for item in value]
    return value


def _choices(hint: Any) -> tuple[Any, ...]:
    if typing.get_origin(hint) is typing.Literal:
        return typing.get_args(hint)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return tuple(member.value for member in hint)
    return ()


def _convert(name: str, hint: Any, given: Any) -> Any:
    """`given` as the type `hint`.

    Raises:
        ConfigError: it is not one.
    """
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        members = [member for member in typing.get_args(hint) if member is not type(None)]
        if given == "" and len(members) < len(typing.get_args(hint)) and str not in members:
            return None
        return _first_that_fits(name, members, given)
    choices = _choices(hint)
    if choices:
        if given not in choices:
            raise ConfigError(f"parameter '{name}' = {given!r}; allowed: {', '.join(map(repr, choices))}")
        return hint(given) if isinstance(hint, type) else given
    if origin in (tuple, list):
        return _sequence(name, origin, typing.get_args(hint), given)
    if hint is float and isinstance(given, int | float) and not isinstance(given, bool):
        if math.isnan(given):
            raise ConfigError(f"parameter '{name}' is not a number")
        return float(given)
    if hint is Path and isinstance(given, str):
        return Path(given)
    if hint is str and isinstance(given, int | float) and not isinstance(given, bool):
        return str(given)  # YAML reads a serial number or a domain as a number
    if isinstance(hint, type) and type(given) is hint:
        return given
    raise ConfigError(f"parameter '{name}' = {given!r} is a {type(given).__name__}, expected {_spell(hint)}")


def _first_that_fits(name: str, hints: Iterable[Any], given: Any) -> Any:
    failure: ConfigError | None = None
    for hint in hints:
        try:
            return _convert(name, hint, given)
        except ConfigError as error:
            failure = failure or error
    raise failure or ConfigError(f"parameter '{name}' = {given!r} cannot be read")


def _sequence(name: str, origin: type, items: tuple[Any, ...], given: Any) -> Any:
    if isinstance(given, str | bytes) or not hasattr(given, "__iter__"):
        raise ConfigError(f"parameter '{name}' = {given!r} must be a list")
    values = list(given)
    fixed = origin is tuple and not (len(items) == 2 and items[1] is Ellipsis)
    if fixed and len(values) != len(items):
        raise ConfigError(f"parameter '{name}' has {len(values)} entries, expected {len(items)}")
    hints = items if fixed else (items[0],) * len(values)
    return origin(
        _convert(f"{name}[{i}]", hint, value) for i, (hint, value) in enumerate(zip(hints, values, strict=True))
    )


def _spell(hint: Any) -> str:
    return getattr(hint, "__name__", str(hint))
