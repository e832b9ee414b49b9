"""What a column of a dataset is: type, shape and names of its elements, as the LeRobot format v3.0 has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hardware.errors import ConfigError, DatasetError

VISUAL = ("video", "image")
"""Types whose values are (height, width, 3) uint8 RGB."""
NUMERIC = ("float16", "float32", "float64", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32")
"""Types whose values are arrays."""
IMAGE_NAMES = ("height", "width", "channels")
"""Names of the axes of an image."""

JOINT_SUFFIXES: Mapping[str, str] = {"position": ".pos", "velocity": ".vel", "effort": ".torque"}
"""Part of a joint state or command -> how users of the format end the names of its elements."""
STATE = "observation.state"
ACTION = "action"
IMAGES = "observation.images."
REWARD, DONE, TRUNCATED, SUCCESS = "next.reward", "next.done", "next.truncated", "next.success"
INFO = "complementary_info."
REQUESTED_ACTION = INFO + "requested_action"
IS_INTERVENTION = INFO + "is_intervention"
CAPTURE_TIME = INFO + "capture_time_s"
LATENESS = INFO + "lateness_s"


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of a dataset."""

    dtype: str
    """"float32", "float64", "int64", "bool" or another number, "string", "video" (an MP4) or "image" (PNG)."""
    shape: tuple[int, ...]
    """Shape of one value; (1,) for a plain number or a string, (height, width, 3) for images."""
    names: tuple[str, ...] | None
    """Name of each element, in order; None where there is none."""

    @property
    def is_visual(self) -> bool:
        """Whether the values are pictures."""
        return self.dtype in VISUAL

    @property
    def is_scalar(self) -> bool:
        """Whether a column of it is one-dimensional."""
        return self.shape == (1,)


DEFAULT_FEATURES: Mapping[str, Feature] = {
    "timestamp": Feature("float32", (1,), None),
    "frame_index": Feature("int64", (1,), None),
    "episode_index": Feature("int64", (1,), None),
    "index": Feature("int64", (1,), None),
    "task_index": Feature("int64", (1,), None),
}
"""Columns that every dataset has; the writer makes them."""


def image_feature(height: int, width: int, video: bool = True) -> Feature:
    """The column of one camera."""
    return Feature("video" if video else "image", (height, width, 3), IMAGE_NAMES)


def vector_feature(*names: str, dtype: str = "float32") -> Feature:
    """A column of named numbers."""
    return Feature(dtype, (len(names),), names)


def checked_features(features: Mapping[str, Feature]) -> dict[str, Feature]:
    """`features` without the default columns, which the writer adds.

    Raises:
        ConfigError: a name or type that the format does not allow.
    """
    found = {name: feature for name, feature in features.items() if name not in DEFAULT_FEATURES}
    if not found:
        raise ConfigError("a dataset needs at least one feature besides the columns that the writer makes")
    for name, feature in found.items():
        if "/" in name or not name:
            raise ConfigError(f"feature name '{name}': a name may not be empty or contain '/'. Use '.' to group names.")
        if feature.dtype not in (*VISUAL, *NUMERIC, "string"):
            known = ", ".join((*NUMERIC, "string", *VISUAL))
            raise ConfigError(f"feature '{name}': unknown dtype '{feature.dtype}'. Known: {known}")
        if not feature.shape or any(size < 1 for size in feature.shape):
            raise ConfigError(
                f"feature '{name}': shape {feature.shape}; every size must be at least 1, a number is (1,)"
            )
        _check_visual(name, feature)
    return found


def _check_visual(name: str, feature: Feature) -> None:
    if not feature.is_visual:
        count = feature.shape[0]
        if feature.names is not None and len(feature.shape) == 1 and len(feature.names) != count:
            raise ConfigError(f"feature '{name}': {len(feature.names)} names for {count} elements")
        return
    if len(feature.shape) != 3 or feature.shape[2] != 3:
        raise ConfigError(f"feature '{name}': shape {feature.shape}; pictures are (height, width, 3)")
    if feature.dtype == "video" and (feature.shape[0] % 2 or feature.shape[1] % 2):
        raise ConfigError(
            f"feature '{name}': {feature.shape[1]}x{feature.shape[0]}; a video needs an even width and height. "
            "Crop the picture by one pixel, or use dtype 'image'."
        )


def checked_value(name: str, feature: Feature, value: Any) -> Any:
    """`value` in the type of its column: an array (*shape), or a string.

    Raises:
        ConfigError: it has another shape, or another kind of type.
    """
    if feature.dtype == "string":
        if not isinstance(value, str):
            raise ConfigError(f"'{name}' is a string, got {type(value).__name__}")
        return value
    array = np.asarray(value)
    wanted = np.dtype("uint8" if feature.is_visual else feature.dtype)
    if array.shape != feature.shape and not (feature.is_scalar and array.shape == ()):
        raise ConfigError(f"'{name}' has shape {array.shape}, the dataset {feature.shape}")
    if feature.is_visual and array.dtype != wanted:
        raise ConfigError(f"'{name}' has type {array.dtype}; pictures are uint8 from 0 to 255")
    if not np.can_cast(array.dtype, wanted, casting="same_kind"):
        raise ConfigError(f"'{name}' has type {array.dtype}, which does not fit the dataset's {wanted}")
    return array.astype(wanted).reshape(feature.shape)  # a copy: the caller may use its buffer again


def feature_to_json(feature: Feature) -> dict[str, Any]:
    """As `meta/info.json` has it."""
    names = None if feature.names is None else list(feature.names)
    return {"dtype": feature.dtype, "shape": list(feature.shape), "names": names}


def feature_from_json(name: str, data: Mapping[str, Any]) -> Feature:
    """Read a feature; names given as a mapping of lists become one list, "channel" becomes "channels".

    Raises:
        DatasetError: not a feature.
    """
    try:
        names = data.get("names")
        if isinstance(names, Mapping):
            names = [str(item) for group in names.values() for item in (group if isinstance(group, list) else [group])]
        if data["dtype"] in VISUAL and names is not None:
            names = ["channels" if item == "channel" else item for item in names]
        shape = tuple(int(size) for size in data["shape"]) or (1,)
        return Feature(str(data["dtype"]), shape, None if names is None else tuple(map(str, names)))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DatasetError(f"feature '{name}' in meta/info.json is not readable: {error!r}") from error


def feature_differences(stored: Mapping[str, Feature], offered: Mapping[str, Feature]) -> list[str]:
    """One line for each column that is not equal in both."""
    lines = []
    for name in sorted({*stored, *offered} - set(DEFAULT_FEATURES)):
        old, new = stored.get(name), offered.get(name)
        if old is None:
            lines.append(f"{name}: not in the dataset, offered {_brief(new)}")
        elif new is None:
            lines.append(f"{name}: {_brief(old)} in the dataset, not offered")
        elif old != new:
            lines.append(f"{name}: {_brief(old)} in the dataset, offered {_brief(new)}")
    return lines


def _brief(feature: Feature | None) -> str:
    if feature is None:
        return "nothing"
    names = "" if feature.names is None else f" ({', '.join(feature.names)})"
    return f"{feature.dtype} {list(feature.shape)}{names}"
