"""Finds the model of a robot: one with the maker's meshes where it is installed, else the first-party one.

Nothing is downloaded and no package is imported: packages are located, and their files read. Models of others have the
same joint names, but their own base frame, gains and extras; they serve for pictures and as a second opinion, while
specification and policies belong to the first-party model.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hardware.errors import ConfigError
from hardware.robot import ROBOTS

ModelKind = Literal["first-party", "auto", "meshes"]
"""first-party: ours; auto: with meshes where present, else ours; meshes: with meshes or an error."""


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model file, and why this one."""

    path: Path
    """MJCF or URDF file."""
    origin: str
    """Where it was found ("first-party", "MENAGERIE_ROOT", "airo-models", ...)."""
    passed_over: tuple[str, ...] = ()
    """The places searched before, each with what was missing there."""

    @property
    def format(self) -> Literal["mjcf", "urdf"]:
        """Format of the file."""
        return "urdf" if self.path.suffix == ".urdf" else "mjcf"

    def __str__(self) -> str:
        reasons = f" ({'; '.join(self.passed_over)})" if self.passed_over else ""
        return f"{self.origin} model {self.path}{reasons}"


def resolve_model(
    robot: str,
    kind: ModelKind = "auto",
    path: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> ResolvedModel:
    """The model file of `robot`.

    Searched in this order: `path`; a checkout of MuJoCo Menagerie named by MENAGERIE_ROOT; the download cache of the
    package mujoco-menagerie; the data of the package airo-models; the first-party model.

    Args:
        robot: registry name.
        kind: whether meshes are wanted.
        path: this very file.
        environ: environment variables; default those of the process.

    Raises:
        UnknownNameError: no such robot.
        ConfigError: `path` or MENAGERIE_ROOT does not exist, or no model with meshes was found though demanded.
    """
    entry = ROBOTS.load(robot)
    if path is not None:
        if not Path(path).is_file():
            raise ConfigError(f"model file '{path}' of robot '{robot}' does not exist. Name an MJCF or URDF file")
        return ResolvedModel(Path(path), "explicit path")
    if kind == "first-party":
        return ResolvedModel(entry.model, "first-party")
    environment = os.environ if environ is None else environ
    passed_over: list[str] = []
    for origin, search in _SOURCES.items():
        candidates = sorted(search(robot, environment))
        if candidates:
            return ResolvedModel(candidates[-1], origin, tuple(passed_over))
        passed_over.append(f"{origin}: none")
    if kind == "meshes":
        raise ConfigError(
            f"no model of '{robot}' with meshes was found ({'; '.join(passed_over)}). Set MENAGERIE_ROOT to a checkout "
            "of MuJoCo Menagerie, or install airo-models; kind 'first-party' needs neither"
        )
    return ResolvedModel(entry.model, "first-party", tuple(passed_over))


def _menagerie_root(robot: str, environ: Mapping[str, str]) -> Iterator[Path]:
    """Menagerie's folders are called maker_robot, and the arm alone is robot.xml."""
    root = environ.get("MENAGERIE_ROOT")
    if not root:
        return
    if not Path(root).is_dir():
        raise ConfigError(f"MENAGERIE_ROOT is '{root}', which is not a folder. Correct or unset it")
    yield from Path(root).glob(f"*_{_plain(robot)}/{_plain(robot)}.xml")


def _menagerie_cache(robot: str, environ: Mapping[str, str]) -> Iterator[Path]:
    """The package keeps models/maker_robot-hash, with a file .complete once it is whole."""
    home_cache = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME", "")) / ".cache")
    cache = Path(environ.get("MENAGERIE_CACHE_DIR") or Path(home_cache) / "mujoco_menagerie")
    for marker in cache.glob(f"models/*_{_plain(robot)}-*/.complete"):
        yield from marker.parent.glob(f"{_plain(robot)}.xml")
        yield from marker.parent.glob(f"*/{_plain(robot)}.xml")


def _airo_models(robot: str, _: Mapping[str, str]) -> Iterator[Path]:
    """The package's data folder, found without importing it."""
    spec = importlib.util.find_spec("airo_models")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        yield from Path(folder).glob(f"*/{_plain(robot)}/{_plain(robot)}.urdf")


def _plain(robot: str) -> str:
    """The robot's name as these collections write it."""
    return robot.replace("-", "_")


_SOURCES: dict[str, Callable[[str, Mapping[str, str]], Iterator[Path]]] = {
    "MENAGERIE_ROOT": _menagerie_root,
    "mujoco-menagerie cache": _menagerie_cache,
    "airo-models": _airo_models,
}
