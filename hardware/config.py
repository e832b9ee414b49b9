"""The one configuration loader: nested frozen dataclasses from YAML or JSON, strictly, and back again exactly."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import functools
import inspect
import itertools
import json
import sys
import textwrap
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, cast

import yaml

from hardware.errors import ConfigError, RobostackError
from hardware.yaml_core import parse_yaml, write_yaml

C = TypeVar("C")

_SCALARS = {str: "text", int: "an integer", float: "a number", bool: "true or false", Path: "a path"}


def load_config(cls: type[C], source: Path | Mapping[str, object], overrides: Mapping[str, object] | None = None) -> C:
    """Build a configuration.

    Args:
        cls: the dataclass to build. Fields may be bool, int, float, str, Path, Enum (by name), Literal, tuple, list,
            dict with text keys, other dataclasses, and unions of these.
        source: a file (`.json` is read as JSON, anything else as YAML) or what one would contain.
        overrides: values that win over `source`; keys may be dotted ("control.rate_hz").

    Keys that neither gives keep their defaults, also within a nested dataclass that is given in part.

    Raises:
        ConfigError: file not readable, unknown or missing key, wrong type, or a value that `cls` refuses. The message
            names the key by its dotted path.
    """
    origin = str(source) if isinstance(source, Path) else cls.__name__
    data = _read(source) if isinstance(source, Path) else source
    try:
        for key, value in (overrides or {}).items():
            *parents, last = key.split(".")
            nested: object = value
            for part in [last, *reversed(parents)]:
                nested = {part: nested}
            data = _merged(data, nested)
        return cast(C, _build(cls, data, "", None))
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from error


def dump_config(config: object, style: Literal["yaml", "json"] = "yaml") -> str:
    """Text that `load_config` reads back to an equal object; floats are exact (JSON has Infinity and NaN as names)."""
    if style == "json":
        return json.dumps(plain(config), indent=2) + "\n"
    return write_yaml(plain(config))


def plain(value: object) -> Any:
    """`value` with dataclasses as dicts, tuples as lists, enums as their names and paths as text.

    Raises:
        ConfigError: a value that a configuration file cannot hold.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value) if field.init}
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float, str):  # a numpy float64 is a float that YAML does not know
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    raise ConfigError(f"a configuration cannot hold a {type(value).__name__} ({value!r})")


@functools.cache
def field_docs(cls: type) -> Mapping[str, str]:
    """Field name -> the string literal under the field in the source of `cls` and its bases, as one line."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        except (OSError, TypeError, SyntaxError):
            continue
        body = tree.body[0].body if tree.body and isinstance(tree.body[0], ast.ClassDef) else []
        for node, after in itertools.pairwise(body):
            text = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else None
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(text, str):
                docs[node.target.id] = " ".join(text.split())
    return types.MappingProxyType(docs)


def _read(path: Path) -> object:
    try:
        text = path.read_text(encoding="utf-8")
        data = _parse_json(text) if path.suffix == ".json" else parse_yaml(text)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}). Check the path.") from error
    except (yaml.YAMLError, ValueError) as error:
        kind = "JSON" if path.suffix == ".json" else "YAML"
        raise ConfigError(f"{path}: not valid {kind}: {' '.join(str(error).split())}") from error
    return {} if data is None else data


def _parse_json(text: str) -> object:
    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError(f"a key is given twice in {[key for key, _ in pairs]}")
        return found

    return json.loads(text, object_pairs_hook=unique)


def _merged(under: object, over: object) -> object:
    if not (isinstance(under, Mapping) and isinstance(over, Mapping)):
        return over
    return {**under, **{key: _merged(under.get(key), value) for key, value in over.items()}}


def _describe(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    return f"{_SCALARS.get(type(value), type(value).__name__)} ({value!r})"


def _wrong(path: str, expected: str, value: object, names: Sequence[str] = ()) -> ConfigError:
    nearest = difflib.get_close_matches(str(value), names, n=1)
    hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
    return ConfigError(f"{path or 'top level'}: expected {expected}, found {_describe(value)}.{hint}")


def _build(cls: type, data: object, path: str, base: object) -> object:
    """A `cls` from `data`; keys not in it come from the instance `base`, else from the defaults of `cls`."""
    if type(data) is cls:
        return data
    if not isinstance(data, Mapping):
        raise _wrong(path, f"a mapping ({cls.__name__})", data)
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    prefix = f"{path}." if path else ""
    for key in data:
        if key not in fields:
            nearest = difflib.get_close_matches(str(key), fields, n=1, cutoff=0.0)
            hint = f" Did you mean '{prefix}{nearest[0]}'?" if nearest else ""
            raise ConfigError(f"unknown key '{prefix}{key}'.{hint} Valid keys: {', '.join(fields)}")
    values = {name: getattr(base, name) for name in fields} if base is not None else _defaults(fields.values())
    missing = [f"'{prefix}{name}'" for name in fields if name not in values and name not in data]
    if missing:
        raise ConfigError(f"missing required key {', '.join(missing)}")
    for key, value in data.items():
        values[key] = _convert(hints[key], value, f"{prefix}{key}", values.get(key))
    try:
        return cls(**values)
    except (RobostackError, ValueError, TypeError) as error:
        raise ConfigError(f"{path}: {error}" if path else str(error)) from error


def _defaults(fields: Collection[dataclasses.Field[Any]]) -> dict[str, Any]:
    absent = dataclasses.MISSING
    made = {f.name: f.default_factory() for f in fields if f.default_factory is not absent}
    return made | {f.name: f.default for f in fields if f.default is not absent}


def _convert(hint: Any, value: Any, path: str, base: object) -> object:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _build(cast(type, hint), value, path, base if type(base) is hint else None)
    if origin in (Union, types.UnionType):
        return _convert_union(arguments, value, path, base)
    if hint is type(None) and value is None:
        return None
    if origin is Literal:
        if not any(type(option) is type(value) and option == value for option in arguments):
            raise _wrong(path, f"one of {', '.join(map(repr, arguments))}", value, [str(a) for a in arguments])
        return value
    if isinstance(hint, type) and issubclass(hint, Enum):
        if isinstance(value, hint):
            return value
        if not isinstance(value, str) or value not in hint.__members__:
            raise _wrong(path, f"one of {', '.join(hint.__members__)}", value, list(hint.__members__))
        return hint[value]
    if origin in (tuple, list, Sequence):
        return _convert_sequence(origin, arguments, value, path)
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise _wrong(path, "a mapping with text keys", value)
        return {key: _convert(arguments[1], item, f"{path}.{key}", None) for key, item in value.items()}
    return _convert_scalar(hint, value, path)


def _convert_union(members: tuple[Any, ...], value: Any, path: str, base: object) -> object:
    for member in members:
        if type(value) is member:
            return value
    errors = []
    for member in members:
        try:
            return _convert(member, value, path, base)
        except ConfigError as error:
            if member is not type(None):
                errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    raise _wrong(path, " or ".join(_SCALARS.get(m, getattr(m, "__name__", str(m))) for m in members), value)


def _convert_sequence(origin: Any, arguments: tuple[Any, ...], value: Any, path: str) -> object:
    if not isinstance(value, list | tuple):
        raise _wrong(path, "a list", value)
    if origin is tuple and Ellipsis not in arguments:
        if len(value) != len(arguments):
            raise _wrong(path, f"a list of {len(arguments)}", value)
        return tuple(
            _convert(a, v, f"{path}[{i}]", None) for i, (a, v) in enumerate(zip(arguments, value, strict=True))
        )
    items = [_convert(arguments[0], item, f"{path}[{index}]", None) for index, item in enumerate(value)]
    return items if origin is list else tuple(items)


def _convert_scalar(hint: Any, value: Any, path: str) -> object:
    if hint not in _SCALARS:
        raise ConfigError(f"{path}: its type {hint} cannot be read from a configuration; this is a defect of the class")
    if hint is float and type(value) is int and abs(value) <= sys.float_info.max:
        return float(value)
    if hint is Path and isinstance(value, str | Path):
        return Path(value)
    if type(value) is not hint:
        raise _wrong(path, _SCALARS[hint], value)
    return value
