"""YAML as configuration files use it: the core schema of YAML 1.2, safe, and strict about duplicate keys.

`1e-3` is a number, `on` is text and `010` is ten (https://yaml.org/spec/1.2.2/#103-core-schema), unlike in the YAML 1.1
of the library underneath. Nothing in a file can create an object other than plain data.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

_FLOAT = re.compile(
    r"^[-+]?(?:(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
_BREAK = re.compile("[\\r\\n\\x85\\u2028\\u2029]")
_INT = re.compile(r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$")


def parse_yaml(text: str) -> Any:
    """The plain data in `text`; None for an empty document.

    Raises:
        yaml.YAMLError: not YAML, a key given twice, or a tag that asks for anything but plain data.
        ValueError: a number out of range.
    """
    return yaml.load(text, Loader=_Loader)  # derived from the safe loader


def write_yaml(data: Any) -> str:
    """Text that `parse_yaml` reads back to equal data; floats are exact."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Loader(yaml.SafeLoader):
    """Safe loader of the core schema; a key given twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of `node`."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                raise yaml.MarkedYAMLError(problem=f"key '{key}' is given twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep=deep)

    def construct_int(self, node: yaml.ScalarNode) -> int:
        """Decimal, 0o octal or 0x hexadecimal; a leading zero does not mean octal."""
        text = self.construct_scalar(node)
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


class _Dumper(yaml.SafeDumper):
    """Quotes every text that YAML 1.1 or the core schema would read as something else."""

    def ignore_aliases(self, data: Any) -> bool:
        """Equal values are written out, never as references."""
        return True

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """Double quotes, which escape, where the library would write a line break that it reads back as a space."""
        return self.represent_scalar("tag:yaml.org,2002:str", text, style='"' if _BREAK.search(text) else None)


_Loader.yaml_implicit_resolvers = {}  # the core schema replaces what the base class recognises
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_int)
_Dumper.add_representer(str, _Dumper.represent_text)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
