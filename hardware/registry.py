"""Things found by name: a registry finds its members by convention in a package, and by entry point elsewhere.

A module (or sub-package) registers itself by assigning one agreed name at its top level, for example `ROBOT = ...` in
`hardware/ur5e/__init__.py`. The registry sees that in the source text, so that listing names imports nothing. Packages
outside this repository register through the entry-point group `robostack.<kind>s`.
"""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.util
import pkgutil
from collections.abc import Iterator
from typing import Generic, TypeVar, cast

from hardware.errors import DuplicateNameError, UnknownNameError

T = TypeVar("T")


class Registry(Generic[T]):
    """Named members of one kind.

    Args:
        kind: what the members are, in the singular ("robot"); used in messages and for the entry-point group.
        package: dotted name of the package whose modules are searched.
        attribute: the top-level name that makes a module a member ("ROBOT").
        plural: of `kind`, for the entry-point group; default: with an s.
    """

    def __init__(self, kind: str, package: str, attribute: str, plural: str = "") -> None:
        self.kind, self.package, self.attribute = kind, package, attribute
        self.group = f"robostack.{plural or kind + 's'}"
        """Entry-point group of members in other packages."""

    def names(self) -> tuple[str, ...]:
        """The registered names, sorted.

        Raises:
            DuplicateNameError: two members share a name.
        """
        return tuple(sorted(self._targets()))

    def load(self, name: str) -> T:
        """The member called `name`; its module is imported now.

        Raises:
            UnknownNameError: nothing is registered under `name`.
            DuplicateNameError: two members share a name.
        """
        targets = self._targets()
        if name not in targets:
            raise UnknownNameError(self.kind, name, targets)
        module, _, attribute = targets[name].partition(":")
        return cast(T, getattr(importlib.import_module(module), attribute))

    def summary(self, name: str) -> str:
        """The one-line `summary="..."` that the member `name` was registered with.

        It is read from the source text where it is written out there, so that an overview imports nothing; else from
        the loaded member, or from the docstring of its module where it has no summary.

        Raises:
            UnknownNameError: nothing is registered under `name`.
        """
        module, _, attribute = self._targets().get(name, "").partition(":")
        value = _assigned(module, attribute) if module.startswith(f"{self.package}.") else None
        for keyword in value.keywords if isinstance(value, ast.Call) else []:
            if keyword.arg == "summary" and isinstance(keyword.value, ast.Constant):
                return str(keyword.value.value)
        text = getattr(self.load(name), "summary", None) or importlib.import_module(module).__doc__ or ""
        return str(text).partition("\n")[0]

    def _targets(self) -> dict[str, str]:
        """Name -> "module:attribute" of every member."""
        targets: dict[str, str] = {}
        for name, target in [*self._in_package(), *self._entry_points()]:
            if targets.get(name, target) != target:
                raise DuplicateNameError(self.kind, name, targets[name], target)
            targets[name] = target
        return targets

    def _in_package(self) -> Iterator[tuple[str, str]]:
        spec = importlib.util.find_spec(self.package)
        if spec is None or spec.submodule_search_locations is None:
            return
        for module in pkgutil.iter_modules(spec.submodule_search_locations):
            dotted = f"{self.package}.{module.name}"
            if _assigned(dotted, self.attribute) is not None:
                yield module.name.replace("_", "-"), f"{dotted}:{self.attribute}"

    def _entry_points(self) -> Iterator[tuple[str, str]]:
        for point in importlib.metadata.entry_points(group=self.group):
            yield point.name, point.value


def _assigned(module: str, attribute: str) -> ast.expr | None:
    """What the source of `module` assigns to `attribute` at its top level. The module itself is not executed."""
    spec = importlib.util.find_spec(module)
    loader = spec.loader if spec is not None else None
    get_source = getattr(loader, "get_source", None)
    source = get_source(module) if get_source is not None else None
    if not source or attribute not in source:
        return None
    for node in ast.parse(source).body:
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign):
            targets = [node.target]
        if any(isinstance(target, ast.Name) and target.id == attribute for target in targets):
            return node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    return None


def load_object(target: str) -> object:
    """The object named by "module:attribute"."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)
