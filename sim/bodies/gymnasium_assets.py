"""Models that Gymnasium ships, found without importing its environments."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from hardware.errors import MissingExtraError, UnknownNameError


def gymnasium_model(name: str) -> Path:
    """The MJCF file of one of Gymnasium's MuJoCo bodies ("hopper", "ant").

    Raises:
        MissingExtraError: Gymnasium is not installed.
        UnknownNameError: it ships no such body.
    """
    package = importlib.util.find_spec("gymnasium")
    if package is None or package.origin is None:
        raise MissingExtraError("gymnasium", "all", "the model of a benchmark body")
    folder = Path(package.origin).parent / "envs" / "mujoco" / "assets"
    path = folder / f"{name}.xml"
    if not path.is_file():
        raise UnknownNameError("body of Gymnasium", name, (file.stem for file in folder.glob("*.xml")))
    return path
